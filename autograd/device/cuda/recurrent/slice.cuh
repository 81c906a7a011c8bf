// SPDX-License-Identifier: MIT
// The part of a sequence that one block of a persistent kernel calculates: its place, its shared
// memory, its product, and the exchange with the other blocks.
#pragma once

#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/persistent.h"
#include "tapeloop/autograd/device/cuda/recurrent/slice_product.cuh"

namespace tapeloop::cuda {

// Shared by forward and backward: the block's place, its shared memory, and the product.
template <class T, bool kBackward>
struct Slice {
  const PersistentRun& run;
  int units, row_count, row_step, columns, chunks;  // of the block
  int inner_per_unit, inner;
  int slice, group, first_unit, first_row;
  bool cluster;
  Chunk<T>* weights;   // [chunks][columns]
  Chunk<T>* exchange;  // [2][chunks][row_step]: in a cluster
  T* work;             // of all warps
  T* operands;         // [operand][row][unit]
  int work_size;

  __device__ explicit Slice(const PersistentRun& r)
      : run(r),
        units(static_cast<int>(r.plan.units)),
        row_count(static_cast<int>(r.plan.rows)),
        row_step(static_cast<int>(r.plan.row_step)),
        columns(units * (kBackward ? 1 : r.gates)),
        inner_per_unit(kBackward ? r.gates : 1),
        inner(r.hidden * inner_per_unit),
        slice(static_cast<int>(blockIdx.x)),
        group(static_cast<int>(blockIdx.y)),
        first_unit(slice * units),
        first_row(group * row_count),
        cluster(r.plan.form == RecurrentForm::cluster),
        work_size(static_cast<int>(r.plan.work_bytes) / static_cast<int>(sizeof(T))) {
    chunks = (inner + Chunk<T>::size - 1) / Chunk<T>::size;
    weights = shared_memory<Chunk<T>>();
    exchange = weights + chunks * columns;
    work = reinterpret_cast<T*>(exchange + (cluster ? 2 * chunks * row_step : 0));
    operands = work + kWarps * work_size;
  }

  // --- the block's elements: a thread has the same elements at each step ---
  __device__ int elements() const { return row_count * units; }
  struct Element {
    int index, row, unit;  // in the block
    int n, j;              // in the batch, in the state
  };
  template <class Body>
  __device__ void for_elements(Body body) const {
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < elements(); i += kWarps * 32) {
      const int row = i / units, unit = i - row * units;
      const Element e{i, row, unit, first_row + row, first_unit + unit};
      if (e.n < run.batch && e.j < run.hidden) body(e);
    }
  }
  __device__ T& operand(int which, const Element& e) const {
    return operands[which * elements() + e.index];
  }
  __device__ std::int64_t state_at(const Element& e) const {  // in [N, H]
    return std::int64_t{e.n} * run.hidden + e.j;
  }
  __device__ std::int64_t gate_at(const Element& e, int gate) const {  // in [N, G*H]
    return (std::int64_t{e.n} * run.gates + gate) * run.hidden + e.j;
  }
  __device__ std::int64_t gate_step() const {
    return std::int64_t{run.batch} * run.gates * run.hidden;
  }
  __device__ std::int64_t state_step() const { return std::int64_t{run.batch} * run.hidden; }
  __device__ std::int64_t time(std::int64_t step) const {
    return run.reverse ? run.steps - 1 - step : step;
  }
  __device__ bool running(const Element& e, std::int64_t t) const {
    return run.lengths == nullptr || t < run.lengths[e.n];
  }
  __device__ const T* previous(int part, std::int64_t step) const {  // [N, H]
    if (step == 0) return static_cast<const T*>(run.initial[part]);
    return static_cast<const T*>(run.states[part].data) + run.states[part].step * time(step - 1);
  }

  // --- weights: once for a sequence ---
  __device__ void load_weights() const {
    const T* const w = static_cast<const T*>(run.w);
    for (int i = static_cast<int>(threadIdx.x); i < chunks * columns; i += kWarps * 32) {
      const int chunk = i / columns, column = i - chunk * columns;
      Chunk<T> loaded;
#pragma unroll
      for (int v = 0; v < Chunk<T>::size; ++v) {
        const int k = chunk * Chunk<T>::size + v;
        // Forward: column (gate, unit), inner index over all h. Backward: column (unit), inner
        // index (unit, gate) over all dz.
        const int gate = kBackward ? k % run.gates : column / units;
        const int from = kBackward ? first_unit + column : k;
        const int to = kBackward ? k / run.gates : first_unit + column - gate * units;
        const bool there = k < inner && from < run.hidden && to < run.hidden;
        loaded.at[v] = there ? w[(std::int64_t{gate} * run.hidden + to) * run.w_row +
                                 std::int64_t{from} * run.w_column]
                             : T{0};
      }
      weights[i] = loaded;
    }
  }

  // --- the exchange between time steps ---
  __device__ std::int64_t buffer_chunks() const { return std::int64_t{chunks} * row_step; }
  __device__ Chunk<T>* buffer(std::int64_t step) const {
    Chunk<T>* const all =
        cluster ? exchange : static_cast<Chunk<T>*>(run.exchange) + 2 * buffer_chunks() * group;
    return all + buffer_chunks() * (step & 1);
  }
  // Calls write(place) for chunk number `chunk` in the row of e: in the group's buffer, or in each
  // block of the cluster.
  template <class Write>
  __device__ void hand_on_chunk(std::int64_t step, const Element& e, int chunk, Write write) const {
    Chunk<T>* const place = buffer(step) + chunk * row_step + e.row;
    if (!cluster) return write(*place);
    for (unsigned block = 0; block < gridDim.x; ++block) write(*in_block(place, block));
  }
  // Passes on `count` adjacent elements of the inner axis from k on: value(0) to value(count - 1).
  // Writes whole chunks if possible.
  template <class Value>
  __device__ void hand_on(std::int64_t step, const Element& e, int k, int count,
                          Value value) const {
    constexpr int kSize = Chunk<T>::size;
    if (count % kSize == 0) {  // then k is a multiple of kSize too
      for (int i = 0; i < count; i += kSize) {
        Chunk<T> all;
#pragma unroll
        for (int v = 0; v < kSize; ++v) all.at[v] = value(i + v);
        hand_on_chunk(step, e, (k + i) / kSize, [&](Chunk<T>& place) { place = all; });
      }
      return;
    }
    for (int i = 0; i < count; ++i) {
      const T one = value(i);
      hand_on_chunk(step, e, (k + i) / kSize,
                    [&](Chunk<T>& place) { place.at[(k + i) % kSize] = one; });
    }
  }
  __device__ unsigned* flag(int of) const { return run.flags + group * run.plan.slices + of; }
  // Ends a step: other blocks may now read the values that this block has passed on.
  __device__ void publish_step(std::int64_t count) const {
    if (cluster) {
      meet_cluster();
    } else {
      __syncthreads();
      if (threadIdx.x == 0) publish(flag(slice), static_cast<unsigned>(count));
    }
  }

  // --- the product: sums of the warps; after a barrier sum() adds them up ---
  __device__ void multiply(std::int64_t step, std::int64_t handed_on) const {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int tiles = static_cast<int>(run.plan.column_tiles);
    const int splits = static_cast<int>(run.plan.splits);
    const int split = warp / tiles;
    if (split >= splits) return;
    SliceProduct<T> p;
    p.staged = cluster ? nullptr : buffer(step);
    p.rows = chunks * columns + static_cast<int>(step & 1) * chunks * row_step;
    p.work = chunks * (columns + (cluster ? 2 * row_step : 0)) +
             warp * static_cast<int>(run.plan.work_bytes / kChunkBytes);
    p.columns = columns;
    p.row_count = row_count;
    p.row_step = row_step;
    p.first_column = (warp - split * tiles) * static_cast<int>(run.plan.tile_width);
    p.first = chunks * split / splits;
    p.last = chunks * (split + 1) / splits;
    p.partial_row = static_cast<int>(run.plan.partial_row);
    if (!cluster && handed_on > 0 && p.first < p.last) {
      const int per_block = units * inner_per_unit;
      const int end = p.last * Chunk<T>::size < inner ? p.last * Chunk<T>::size : inner;
      const int first = p.first * Chunk<T>::size / per_block, last = (end - 1) / per_block;
      for (int i = first + static_cast<int>(threadIdx.x) % 32; i <= last; i += 32) {
        wait_until(flag(i), static_cast<unsigned>(handed_on));
      }
      __syncwarp();
    }
    multiply_slice<T>(run.plan.tile, p);
  }
  __device__ T sum(int row, int column) const {
    const int tiles = static_cast<int>(run.plan.column_tiles);
    const int width = static_cast<int>(run.plan.tile_width);
    const int tile = column / width;
    const T* from = work + tile * work_size + row * static_cast<int>(run.plan.partial_row) +
                    column - tile * width;
    T result = 0;
    for (int split = 0; split < static_cast<int>(run.plan.splits); ++split) {
      result += *from;
      from += tiles * work_size;
    }
    return result;
  }
};

}  // namespace tapeloop::cuda
