// SPDX-License-Identifier: MIT
// One sample in, one sample out: an LSTM of H units on one input, then a linear unit, like models
// of audio amplifiers.
// infer/mlstm: an mLSTM of 4 heads with H inputs.
// infer/lstm uses a Stepper, infer/lstm_bf16 a Stepper with bfloat16 weights, infer/operations
// single operations, infer/user_operations those of a user's copy of the LSTM, a Recurrence.
// At 48 kHz one sample lasts 20,800 ns.
#include "bench/support.h"
#include "examples/custom_cell/my_lstm.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

// Makes a bounded signal. Its dependence on the last result makes each call wait for it.
float next_sample(float out) { return 0.5f - 0.9f * out; }

template <class Step>
void time_samples(benchmark::State& state, Step step) {
  float out = 0;
  for (int i = 0; i < 10; ++i) out = step(next_sample(out));
  const bench::AllocationCount allocations;
  for (auto _ : state) out = step(next_sample(out));
  allocations.report(state, "allocations");
  bench::count_time(state, "time/sample", 1);
  benchmark::DoNotOptimize(out);
}

void stepper(benchmark::State& state, Weights weights) {
  bench::guarded(state, [&] {
    Random random(1);
    const nn::Lstm model({.input = 1, .hidden = state.range(0)}, random);
    Stepper steps =
        nn::make_stepper(model, nn::Linear(state.range(0), 1, random), {.weights = weights});
    time_samples(state, [&](float x) {
      float y = 0;
      if (!steps.step({&x, 1}, {&y, 1})) fail("infer_bench", text_of(steps.error()));
      return y;
    });
  });
}

// One step of a cell with as many inputs as units.
void mlstm(benchmark::State& state) {
  bench::guarded(state, [&] {
    Random random(1);
    const std::int64_t size = state.range(0);
    const nn::Mlstm model({.input = size, .hidden = size}, random, {.heads = 4});
    Stepper steps = nn::make_stepper(model);
    std::vector<float> x(static_cast<std::size_t>(size), 0.5f), y = x;
    time_samples(state, [&](float sample) {
      x[0] = sample;
      if (!steps.step(x, y)) fail("infer_bench", text_of(steps.error()));
      return y[0];
    });
  });
}

template <class Cell>
void operations(benchmark::State& state) {
  bench::guarded(state, [&] {
    Random random(1);
    const Cell cell({.input = 1, .hidden = state.range(0)}, random);
    const nn::Linear head(state.range(0), 1, random);
    const Var zeros(Tensor::zeros({1, state.range(0)}));
    typename Cell::State s(zeros, zeros);
    time_samples(state, [&](float sample) {
      s = nn::step(cell, cell.input(Var(Tensor::full({1, 1}, sample))), s);
      const Tensor y = head(s.h()).value();
      return *y.read<float>();
    });
  });
}

void sizes(benchmark::internal::Benchmark* rows) {
  rows->ArgName("H")->Arg(16)->Arg(32)->Arg(40)->Arg(64)->Arg(128);
}

}  // namespace

BENCHMARK_CAPTURE(stepper, float32, Weights::float32)->Name("infer/lstm")->Apply(sizes);
BENCHMARK_CAPTURE(stepper, bfloat16, Weights::bfloat16)->Name("infer/lstm_bf16")->Apply(sizes);
BENCHMARK(mlstm)->Name("infer/mlstm")->Apply(sizes);
BENCHMARK(operations<nn::LstmCell>)->Name("infer/operations")->Apply(sizes);
BENCHMARK(operations<my::LstmCell>)->Name("infer/user_operations")->Apply(sizes);
