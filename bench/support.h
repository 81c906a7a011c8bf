// SPDX-License-Identifier: MIT
// What the benchmark programs share: counters, the number of threads, errors as rows, allocations counted.
// Measures nothing itself. Compare rows of one run: machines differ and are shared.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <exception>
#include <string>

#include "tapeloop/autograd/device/cpu/threads.h"
#include "tests/allocations.h"

namespace bench {

using tapeloop::test::allocations;

// Makes the program end with status 1: a row that could not run must not look like one that did (main.cpp).
void mark_failed();

// Runs a row; what it throws becomes the row's error, with the library's own words.
template <class F>
void guarded(benchmark::State& state, F&& row) {
  try {
    row();
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
    mark_failed();
  }
}

// This many threads while it lives, then one again.
class Threads {
 public:
  explicit Threads(std::int64_t count) { tapeloop::set_num_threads(static_cast<int>(count)); }
  ~Threads() { tapeloop::set_num_threads(1); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
};

// "tokens/s", "GFLOPS": `amount` of it is done in each iteration.
inline void count_rate(benchmark::State& state, const std::string& name, double amount) {
  state.counters[name] = benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}
// "time/unit": seconds for each of the `units` of an iteration; the console shows ns, us or ms.
inline void count_time(benchmark::State& state, const std::string& name, double units) {
  state.counters[name] = benchmark::Counter(
      units, static_cast<benchmark::Counter::Flags>(benchmark::Counter::kIsIterationInvariantRate |
                                                    benchmark::Counter::kInvert));
}

// How often operator new was called since it was made, for each of `units` in each iteration.
class AllocationCount {
 public:
  void report(benchmark::State& state, const char* name, double units = 1) const {
    const auto since = static_cast<double>(allocations() - before_);  // before `name` allocates
    state.counters[name] = benchmark::Counter(since / units, benchmark::Counter::kAvgIterations);
  }

 private:
  std::int64_t before_ = allocations();
};

}  // namespace bench
