// SPDX-License-Identifier: MIT
// Shared by the benchmark programs: counters, the number of threads, errors as rows, counted
// allocations. Measures nothing itself. Compare only rows of one run: machines differ, and other
// programs use them too.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <exception>
#include <string>

#include "tapeloop/autograd/device/cpu/threads.h"
#include "tests/allocations.h"

namespace bench {

using tapeloop::test::allocations;

// Makes the program end with status 1, so that a row that could not run is not taken for one that
// did (main.cpp).
void mark_failed();

// Runs a row. If it throws, the library's message becomes the row's error.
template <class F>
void guarded(benchmark::State& state, F&& row) {
  try {
    row();
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
    mark_failed();
  }
}

// Sets this many threads while it exists, then one again.
class Threads {
 public:
  explicit Threads(std::int64_t count) { tapeloop::set_num_threads(static_cast<int>(count)); }
  ~Threads() { tapeloop::set_num_threads(1); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

// Shows a rate such as "tokens/s" or "GFLOPS"; `amount` is the work of one iteration.
inline void count_rate(benchmark::State& state, const std::string& name, double amount) {
  state.counters[name] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}
// Shows "time/unit": seconds for each of the `units` of an iteration; the console shows ns, us or
// ms.
inline void count_time(benchmark::State& state, const std::string& name, double units) {
  state.counters[name] = benchmark::Counter(
      units, static_cast<benchmark::Counter::Flags>(benchmark::Counter::kIsIterationInvariantRate |
                                                    benchmark::Counter::kInvert));
}

// Counts the calls of operator new since its construction, for each of `units` in each iteration.
class AllocationCount {
 public:
  void report(benchmark::State& state, const char* name, double units = 1) const {
    // Counted before `name` allocates.
    const auto since = static_cast<double>(allocations() - before_);
    state.counters[name] = benchmark::Counter(since / units, benchmark::Counter::kAvgIterations);
  }

 private:
  std::int64_t before_ = allocations();
};

// Measures step() after `warm` calls, which allocate the memory and start the threads. Reports the
// allocations of a call.
template <class Step>
void measure(benchmark::State& state, Step step, int warm = 2) {
  for (int i = 0; i < warm; ++i) step();
  const AllocationCount allocations;
  for (auto _ : state) step();
  allocations.report(state, "allocations");
}

}  // namespace bench
