// SPDX-License-Identifier: MIT
// Scans over time. With many units a thread runs all time steps of one unit. With few units the
// steps are cut into chunks, which run at the same time: a first kernel joins the steps of each
// chunk, a second one runs over the chunks, and a third one runs the steps of each chunk from the
// state before it. The chunks depend only on the shape. Neighbouring threads have neighbouring
// units, so they read and write whole lines of memory.
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"

namespace tapeloop::cuda {
namespace {

constexpr std::int64_t kManyUnits = 32768;  // enough threads for a GPU
constexpr std::int64_t kLeastChunk = 32;    // steps
constexpr std::int64_t kMostChunks = 256;

// Pointers are those of the first step that runs; steps are negative in reverse.
template <class T>
struct ScanPlan {
  std::int64_t steps, rows, units;  // complex: units are pairs
  const T *a, *b, *start;
  T* h;
  std::int64_t a_step, a_row, b_step, b_row, h_step, h_row;
  std::int64_t chunk, chunks;
  bool delayed;
  T* joined;  // [chunks, 2, numbers]: the a and the b of each chunk; later b is the state before it
};

template <class T, ScanKind kKind>
struct Numbers {
  using V = Vec<T, isa::Lane>;
  using Number = ScanNumber<V, kKind>;
  std::int64_t imaginary;
  TL_HD Number load(const T* from) const {
    if constexpr (kKind == ScanKind::complex) {
      return {V{from[0]}, V{from[imaginary]}};
    } else {
      return {V{from[0]}};
    }
  }
  TL_HD void store(const Number& x, T* to) const {
    to[0] = x.re.raw;
    if constexpr (kKind == ScanKind::complex) to[imaginary] = x.im.raw;
  }
};

// A thread's unit, and the first step and the end of its chunk.
template <class T>
struct ScanPlace {
  std::int64_t row, unit, chunk, first, end, number;
  const T *a, *b;  // of the first step
  bool within;
  TL_HD explicit ScanPlace(const ScanPlan<T>& plan, std::int64_t thread, int parts) {
    const std::int64_t numbers = plan.rows * plan.units;
    const Divided by_chunk = divide(thread, numbers);
    const Divided by_row = divide(by_chunk.rest, plan.units);
    chunk = by_chunk.quotient;
    row = by_row.quotient;
    unit = by_row.rest;
    number = row * plan.units * parts + unit;
    first = chunk * plan.chunk;
    end = first + plan.chunk < plan.steps ? first + plan.chunk : plan.steps;
    within = chunk < plan.chunks;
    a = plan.a + row * plan.a_row + unit + (plan.delayed ? first - 1 : first) * plan.a_step;
    b = plan.b + row * plan.b_row + unit + first * plan.b_step;
  }
};

template <class T, ScanKind kKind>
constexpr int kPartsOf = kKind == ScanKind::complex ? 2 : 1;

// Steps first .. end - 1 as one step: h' = a h + b. A chunk that holds the first step of all has a
// state before it only if there is a start.
template <class T, ScanKind kKind, bool kConjugate, bool kChain>
__global__ void __launch_bounds__(kThreads) join_kernel(ScanPlan<T> plan) {
  using Step = ScanStep<kKind, kConjugate, kChain>;
  constexpr int kParts = kPartsOf<T, kKind>;
  const ScanPlace<T> place(plan, thread_number(), kParts);
  if (!place.within) return;
  const Numbers<T, kKind> numbers{plan.units};
  const T *a = place.a, *b = place.b;
  const bool nothing_before = place.first == 0 && plan.delayed;  // there is no a before step 0
  auto sum = numbers.load(b);
  auto factor = nothing_before ? sum : numbers.load(a);  // of the first chunk it is not used
  if constexpr (kConjugate) factor.im = -factor.im;
  for (std::int64_t t = place.first + 1; t < place.end; ++t) {
    a += plan.a_step;
    b += plan.b_step;
    const auto next = numbers.load(a);
    sum = Step::next(next, sum, numbers.load(b));
    factor = Step::times(next, factor);
  }
  const std::int64_t all = plan.rows * plan.units * kParts;
  T* const to = plan.joined + place.chunk * 2 * all + place.number;
  numbers.store(factor, to);
  numbers.store(sum, to + all);
}

// One thread for each unit: replaces the sums of the chunks by the states before them. The state
// before the first chunk is not written: its kernel reads plan.start.
template <class T, ScanKind kKind, bool kChain>
__global__ void __launch_bounds__(kThreads) chunk_kernel(ScanPlan<T> plan) {
  // The factors of chunks are conjugated already.
  using Step = ScanStep<kKind, false, kChain>;
  constexpr int kParts = kPartsOf<T, kKind>;
  const std::int64_t thread = thread_number();
  if (thread >= plan.rows * plan.units) return;
  const ScanPlace<T> place(plan, thread, kParts);
  const Numbers<T, kKind> numbers{plan.units};
  const std::int64_t all = plan.rows * plan.units * kParts;
  T* joined = plan.joined + place.number;
  auto state = numbers.load(joined + all);
  if (plan.start != nullptr) {
    state = Step::next(numbers.load(joined), numbers.load(plan.start + place.number), state);
  }
  for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
    joined += 2 * all;
    const auto sum = numbers.load(joined + all);
    numbers.store(state, joined + all);
    state = Step::next(numbers.load(joined), state, sum);
  }
}

template <class T, ScanKind kKind, bool kConjugate, bool kChain>
__global__ void __launch_bounds__(kThreads) scan_kernel(ScanPlan<T> plan) {
  using Step = ScanStep<kKind, kConjugate, kChain>;
  constexpr int kParts = kPartsOf<T, kKind>;
  const ScanPlace<T> place(plan, thread_number(), kParts);
  if (!place.within) return;
  const Numbers<T, kKind> numbers{plan.units};
  const T *a = place.a, *b = place.b;
  T* h = plan.h + place.row * plan.h_row + place.unit + place.first * plan.h_step;
  auto state = numbers.load(b);
  const std::int64_t all = plan.rows * plan.units * kParts;
  const T* const before = place.chunk == 0
                              ? (plan.start == nullptr ? nullptr : plan.start + place.number)
                              : plan.joined + place.chunk * 2 * all + all + place.number;
  if (before != nullptr) state = Step::next(numbers.load(a), numbers.load(before), state);
  numbers.store(state, h);
  for (std::int64_t t = place.first + 1; t < place.end; ++t) {
    a += plan.a_step;
    b += plan.b_step;
    h += plan.h_step;
    state = Step::next(numbers.load(a), state, numbers.load(b));
    numbers.store(state, h);
  }
}

template <class T>
ScanPlan<T> plan_of(const ScanRun& scan) {
  const std::int64_t steps = scan.h.dim(0);
  const std::int64_t first = scan.reverse ? steps - 1 : 0, direction = scan.reverse ? -1 : 1;
  ScanPlan<T> plan{};
  plan.steps = steps;
  plan.rows = scan.h.dim(1);
  plan.units = scan.kind == ScanKind::complex ? scan.h.dim(2) / 2 : scan.h.dim(2);
  plan.a = static_cast<const T*>(scan.a.raw()) + first * scan.a.stride(0);
  plan.b = static_cast<const T*>(scan.b.raw()) + first * scan.b.stride(0);
  plan.h = static_cast<T*>(scan.h.raw()) + first * scan.h.stride(0);
  plan.start = scan.start.defined() ? static_cast<const T*>(scan.start.raw()) : nullptr;
  plan.a_step = direction * scan.a.stride(0);
  plan.b_step = direction * scan.b.stride(0);
  plan.h_step = direction * scan.h.stride(0);
  plan.a_row = scan.a.stride(1);
  plan.b_row = scan.b.stride(1);
  plan.h_row = scan.h.stride(1);
  plan.delayed = scan.delayed;
  plan.chunk = steps;
  if (plan.rows * plan.units < kManyUnits && steps > kLeastChunk) {
    plan.chunk = std::max(kLeastChunk, (steps + kMostChunks - 1) / kMostChunks);
  }
  plan.chunks = (steps + plan.chunk - 1) / plan.chunk;
  return plan;
}

}  // namespace

void scan(const ScanRun& scan) {
  if (scan.h.numel() == 0) return;
  scan.h.mark_written();
  with_float_type(scan.h.dtype(), [&]<class T>(T) {
    ScanPlan<T> plan = plan_of<T>(scan);
    const std::int64_t numbers = plan.rows * plan.units;
    const Grid grid(numbers * plan.chunks), units(numbers);
    const Scratch scratch(
        plan.chunks > 1
            ? static_cast<std::size_t>(2 * plan.chunks * plan.rows * scan.h.dim(2)) * sizeof(T)
            : 0);
    with_scan_step(scan, [&]<ScanKind kKind, bool kConjugate, bool kChain>() {
      if (plan.chunks > 1) {
        plan.joined = scratch.template as<T>();
        launch(join_kernel<T, kKind, kConjugate, kChain>, grid.blocks, grid.threads, 0, plan);
        launch(chunk_kernel<T, kKind, kChain>, units.blocks, units.threads, 0, plan);
      }
      launch(scan_kernel<T, kKind, kConjugate, kChain>, grid.blocks, grid.threads, 0, plan);
    });
  });
}

}  // namespace tapeloop::cuda
