// SPDX-License-Identifier: MIT
// The part of a sequence that one block of a persistent kernel calculates: its place, its shared
// memory, its product, and the exchange with the other blocks.
#pragma once

#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/slice_product.cuh"

namespace tapeloop::cuda {

// Shared by forward and backward.
template <bool kBackward>
struct Slice {
  const PersistentRun& run;
  int units, row_count, columns, chunks;  // of the block
  int inner;
  int slice, group, first_unit, first_row;
  Chunk* weights;     // [chunks][columns]
  float* work;        // stages, then sums [parts][row][column]; finally totals in the first part
  float* bias;        // [column], or zeros
  float* operands;    // [operand][row][unit]
  int elements;       // row_count * units
  Chunk* exchange;    // of the group: two buffers
  int buffer_chunks;  // of one of them
  // The elements of this thread: one unit of the rows first_own, first_own + own_step, ...
  int unit, first_own, end_own, own_step;
  int hidden_unit;       // of all H
  int gate_row;          // gates * hidden: elements between rows of gates
  SliceProduct product;  // of this warp; multiply() adds the rows

  __device__ explicit Slice(const PersistentRun& r)
      : run(r),
        units(r.plan.units),
        row_count(r.plan.rows),
        columns(units * (kBackward ? 1 : r.gates)),
        inner(r.hidden * (kBackward ? r.gates : 1)),
        slice(static_cast<int>(blockIdx.x)),
        group(static_cast<int>(blockIdx.y)),
        first_unit(slice * units),
        first_row(group * row_count),
        elements(row_count * units) {
    chunks = (inner + kChunkSize - 1) / kChunkSize;
    weights = shared_memory<Chunk>();
    work = reinterpret_cast<float*>(weights + chunks * columns);
    bias = work + r.plan.work_bytes / 4;
    operands = bias + columns;
    const int thread = static_cast<int>(threadIdx.x);
    own_step = kBlockThreads / units;
    first_own = thread / units;
    unit = thread - first_own * units;
    end_own = r.batch - first_row < row_count ? r.batch - first_row : row_count;
    if (first_own >= own_step || first_unit + unit >= r.hidden) first_own = end_own;
    hidden_unit = first_unit + unit;
    gate_row = r.gates * r.hidden;
    buffer_chunks = chunks * row_count;
    exchange = r.exchange + std::int64_t{2} * group * buffer_chunks;
    prepare_product();
  }
  __device__ void prepare_product() {
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
    const int tiles = run.plan.column_tiles, splits = run.plan.splits;
    const int split = warp / tiles, tile = warp - split * tiles;
    SliceProduct& p = product;
    p.columns = columns;
    p.row_count = row_count;
    p.stage_chunks = run.plan.stage_chunks;
    p.stages = ((chunks + splits - 1) / splits + p.stage_chunks - 1) / p.stage_chunks;
    p.column_bits = run.plan.column_bits;
    p.row_bits = run.plan.row_bits;
    p.member = thread - split * tiles * 32;
    p.members = tiles * 32;
    p.stage = chunks * columns + split * p.stage_chunks * row_count;
    p.stage_step = splits * p.stage_chunks * row_count;
    if (split < splits) {
      p.first_column = tile * run.plan.tile_width;
      p.first = chunks * split / splits;
      p.last = chunks * (split + 1) / splits;
    } else {  // this warp only takes part in barriers
      p.first_column = columns;
      p.first = p.last = 0;
    }
    const int inner_bits = 5 - p.column_bits - p.row_bits;
    p.sums = chunks * columns * kChunkSize + (split << inner_bits) * row_count * columns;
  }

  struct Element {
    int row;    // in the block
    int at;     // in the block's operands
    int state;  // in [N, H]
    int gate;   // in [N, G*H], of the first gate
  };
  template <class Body>
  __device__ __forceinline__ void for_elements(Body body) const {
    const int n = first_row + first_own;
    Element e{first_own, first_own * units + unit, n * run.hidden + hidden_unit,
              n * gate_row + hidden_unit};
#pragma unroll 1
    while (e.row < end_own) {
      body(e);
      e.row += own_step;
      e.at += own_step * units;
      e.state += own_step * run.hidden;
      e.gate += own_step * gate_row;
    }
  }
  __device__ float& operand(int which, const Element& e) const {
    return operands[which * elements + e.at];
  }
  __device__ int gate_at(const Element& e, int gate) const {  // in [N, G*H]
    return e.gate + gate * run.hidden;
  }
  __device__ std::int64_t gate_step() const {
    return std::int64_t{run.batch} * run.gates * run.hidden;
  }
  __device__ std::int64_t state_step() const { return std::int64_t{run.batch} * run.hidden; }
  __device__ std::int64_t time(std::int64_t step) const {
    return run.reverse ? run.steps - 1 - step : step;
  }
  __device__ const float* previous(int part, std::int64_t step) const {  // [N, H]
    return step == 0 ? run.initial[part] : run.states[part].at(time(step - 1));
  }

  // Weights and bias: once for a sequence.
  __device__ void load_constants() const {
    for (int i = static_cast<int>(threadIdx.x); i < chunks * columns; i += kBlockThreads) {
      const int chunk = i / columns, column = i - chunk * columns;
      Chunk loaded;
#pragma unroll
      for (int v = 0; v < kChunkSize; ++v) {
        const int k = chunk * kChunkSize + v;
        // Forward: column (gate, unit), inner index over all h. Backward: column (unit), inner
        // index (unit, gate) over all dz.
        const int gate = kBackward ? k % run.gates : column / units;
        const int from = kBackward ? first_unit + column : k;
        const int to = kBackward ? k / run.gates : first_unit + column - gate * units;
        const bool there = k < inner && from < run.hidden && to < run.hidden;
        loaded.at[v] = there ? run.w[(std::int64_t{gate} * run.hidden + to) * run.w_row +
                                     std::int64_t{from} * run.w_column]
                             : 0.0f;
      }
      weights[i] = loaded;
    }
    for (int i = static_cast<int>(threadIdx.x); i < columns; i += kBlockThreads) {
      const int gate = i / units, from = first_unit + i - gate * units;
      bias[i] = run.bias != nullptr && from < run.hidden ? run.bias[gate * run.hidden + from] : 0;
    }
  }

  // --- the exchange between time steps ---
  __device__ Chunk* buffer(std::int64_t step) const {
    return exchange + (step & 1) * buffer_chunks;
  }
  // The chunk of element k of the inner axis. Unsigned, because such a division is a shift.
  __device__ Chunk& chunk_of(std::int64_t step, const Element& e, int k) const {
    const unsigned chunk = static_cast<unsigned>(k) / kChunkSize;
    return buffer(step)[static_cast<int>(chunk) * row_count + e.row];
  }
  // Passes on element k, or all elements of k's chunk.
  __device__ void hand_on(std::int64_t step, const Element& e, int k, float value) const {
    chunk_of(step, e, k).at[static_cast<unsigned>(k) % kChunkSize] = value;
  }
  __device__ void hand_on(std::int64_t step, const Element& e, int k, const Chunk& values) const {
    chunk_of(step, e, k) = values;
  }
  __device__ unsigned* flags() const { return run.flags + group * run.plan.slices; }
  // Ends a step: other blocks may now read the values that this block has passed on.
  __device__ void publish_step(std::int64_t count) const {
    __syncthreads();
    if (threadIdx.x == 0) publish(flags() + slice, static_cast<unsigned>(count));
  }

  // --- the product ---
  // Waits until all blocks have passed on `handed_on` steps, multiplies, and adds up: total() then
  // has the results.
  __device__ void multiply(std::int64_t step, std::int64_t handed_on) const {
    if (handed_on > 0 && run.plan.slices > 1) {
      const int thread = static_cast<int>(threadIdx.x);
      if (thread < 32) {
        wait_until(flags(), run.plan.slices, static_cast<unsigned>(handed_on), thread);
      }
      __syncthreads();
    }
    SliceProduct p = product;
    p.from = buffer(step);
    multiply_slice(run.plan.tile, p);
    __syncthreads();
    add_up();
    __syncthreads();
  }
  // Adds the parts of each sum, in order, into the first part.
  __device__ void add_up() const {
    const int count = row_count * columns;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlockThreads) {
      float total = 0;
#pragma unroll 8
      for (int part = 0; part < run.plan.parts; ++part) total += work[part * count + i];
      work[i] = total;
    }
  }
  __device__ float total(const Element& e, int gate) const {
    return work[e.row * columns + gate * units + unit];
  }
};

}  // namespace tapeloop::cuda
