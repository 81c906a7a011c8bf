// SPDX-License-Identifier: MIT
// One sample in, one sample out: an LSTM of H units on one input, then a linear unit, as models of audio amplifiers are.
// No tape and no batch; 48 kHz leaves 20,800 ns for a sample.
#include "bench/support.h"
#include "nn/nn.h"

namespace {

using namespace tapeloop;

void infer(benchmark::State& state) {
  bench::guarded(state, [&] {
    Random random(1);
    const nn::LstmCell cell({.input = 1, .hidden = state.range(0)}, random);
    const nn::Linear head(state.range(0), 1, random);
    const Tensor in = Tensor::zeros({1, 1});
    const Var x(in);
    nn::LstmCell::State s(Var(Tensor::zeros({1, state.range(0)})),
                          Var(Tensor::zeros({1, state.range(0)})));
    float* const sample = in.data<float>();
    float out = 0;
    const auto step = [&] {
      *sample = 0.5f - 0.9f * out;  // some signal that stays bounded, and waits for the last result
      s = cell.step(cell.input(x), s);
      out = *head(s.h()).value().read<float>();
    };
    for (int i = 0; i < 10; ++i) step();
    const bench::AllocationCount allocations;
    for (auto _ : state) step();
    allocations.report(state, "allocations");
    bench::count_time(state, "time/sample", 1);
    benchmark::DoNotOptimize(out);
  });
}

}  // namespace

BENCHMARK(infer)->Name("infer/lstm")->ArgName("H")->Arg(16)->Arg(32)->Arg(40)->Arg(64)->Arg(128);
