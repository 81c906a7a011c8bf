// SPDX-License-Identifier: MIT
// The memory of a training step of an LSTM, and how time and memory grow with the number of time
// steps. One thread, float32. Counts the bytes that the library's pool has handed out, and the
// growth of the process.
//   T time steps, N batch, I input size, H hidden size
#include <malloc.h>

#include <fstream>
#include <functional>
#include <future>
#include <string>

#include "bench/support.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

double mib(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// A model, its inputs, and a training step without an optimizer.
class TrainingStep {
 public:
  TrainingStep(std::int64_t steps, std::int64_t batch, std::int64_t input, std::int64_t hidden)
      : random_(1),
        model_({.input = input, .hidden = hidden}, random_),
        parameters_(nn::parameters(model_)),
        xs_(random_normal({steps, batch, input}, 0, 1, random_)),
        dys_(random_normal({steps, batch, hidden}, 0, 1, random_)) {}
  explicit TrainingStep(const benchmark::State& row)
      : TrainingStep(row.range(0), row.range(1), row.range(2), row.range(3)) {}
  void operator()() const {
    Tape tape;
    const auto [ys, last] = model_(xs_);
    tape.backward(ys, dys_);
    for (const NamedVar& p : parameters_) p.var.zero_grad();
  }

 private:
  Random random_;
  nn::Lstm model_;
  ParameterList parameters_;
  Var xs_, dys_;
};

// A value of /proc/self/status in MiB; below 0 if the file does not have it.
double resident_mib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) / 1024;
  }
  return -1;
}
bool reset_resident_peak() {
  std::ofstream reset("/proc/self/clear_refs");
  return static_cast<bool>(reset << "5" << std::flush);
}

struct Peak {
  // Bytes of the weights, the inputs and the upstream gradient; and the peak of all bytes in use.
  std::int64_t held = 0, highest = 0;
  // Growth of the process in the first step, in MiB; below 0 if the system does not say.
  double resident = -1;
};

// Runs two steps; the first one allocates everything.
Peak measure_peak(const benchmark::State& row) {
  const TrainingStep step(row);
  Peak peak;
  peak.held = memory::stats().live_bytes;
  memory::reset_peak();
  malloc_trim(0);
  const double before = resident_mib("VmRSS");
  const bool can_reset = reset_resident_peak();
  step();
  if (can_reset && before >= 0) peak.resident = resident_mib("VmHWM") - before;
  step();
  peak.highest = memory::stats().peak_bytes;
  return peak;
}
// The same in a new thread, whose pool and tape records start empty, independent of earlier rows.
Peak peak_of_steps(const benchmark::State& row) {
  return std::async(std::launch::async, measure_peak, std::cref(row)).get();
}

void report(benchmark::State& state, const Peak& peak) {
  state.counters["peak_MiB"] = mib(peak.highest - peak.held);
  state.counters["absolute_MiB"] = mib(peak.highest);
}

void memory_of_step(benchmark::State& state) {
  bench::guarded(state, [&] {
    // Loads the code that the step needs.
    TrainingStep(2, state.range(1), state.range(2), state.range(3))();
    const Peak peak = peak_of_steps(state);
    report(state, peak);
    if (peak.resident >= 0) state.counters["resident_MiB"] = peak.resident;
    const TrainingStep step(state);
    step();
    for (auto _ : state) step();
    bench::count_rate(state, "tokens/s", static_cast<double>(state.range(0) * state.range(1)));
  });
}

void linear_growth(benchmark::State& state) {
  bench::guarded(state, [&] {
    report(state, peak_of_steps(state));
    const TrainingStep step(state);
    step();
    for (auto _ : state) step();
    bench::count_time(state, "time/step", static_cast<double>(state.range(0)));
  });
}

void growing(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"T", "N", "I", "H"})->Unit(benchmark::kMillisecond);
  for (std::int64_t steps = 64; steps <= 4096; steps *= 2) rows->Args({steps, 1, 64, 64});
  for (std::int64_t steps = 64; steps <= 4096; steps *= 2) rows->Args({steps, 8, 32, 32});
}

}  // namespace

BENCHMARK(memory_of_step)
    ->Name("memory/lstm")
    ->ArgNames({"T", "N", "I", "H"})
    ->Args({1000, 32, 256, 256})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(linear_growth)->Name("linear_growth")->Apply(growing);
