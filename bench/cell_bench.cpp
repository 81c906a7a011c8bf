// SPDX-License-Identifier: MIT
// Training steps (forward and backward, float32) of the built-in cells, and of a user's copy of the LSTM beside them.
// No optimizer. Compare rows of one run: machines differ and are shared.
#include <benchmark/benchmark.h>

#include "autograd/cpu/kernels.h"
#include "examples/custom_cell/my_lstm.h"
#include "nn/nn.h"

namespace {

using namespace tapeloop;

template <class Cell>
void train(benchmark::State& state, double gates) {
  const std::int64_t steps = state.range(0), batch = state.range(1), input = state.range(2),
                     hidden = state.range(3);
  Random random(1);
  nn::Recurrent<Cell> model({.input = input, .hidden = hidden}, random);
  ParameterList parameters = nn::parameters(model);
  Var xs(random_normal({steps, batch, input}, 0, 1, random));
  for (auto _ : state) {
    Tape tape;
    auto [ys, last] = model(xs);
    tape.backward(sum(ys));
    benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
    for (const NamedVar& p : parameters) p.var.zero_grad();
  }
  double flops = 3.0 * 2.0 * static_cast<double>(steps * batch) * gates *
                 static_cast<double>(hidden * (input + hidden));
  state.counters["GFLOPS"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["tokens/s"] = benchmark::Counter(static_cast<double>(steps * batch),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"T", "N", "I", "H"})->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
  b->Args({64, 1, 64, 64})->Args({64, 32, 128, 128})->Args({64, 32, 256, 256});
}

void lstm(benchmark::State& state) { train<nn::LstmCell>(state, 4); }
void user_lstm(benchmark::State& state) { train<my::LstmCell>(state, 4); }
void gru(benchmark::State& state) { train<nn::GruCell>(state, 3); }
void rnn(benchmark::State& state) { train<nn::RnnCell>(state, 1); }

}  // namespace

BENCHMARK(lstm)->Name("train/lstm")->Apply(shapes);
BENCHMARK(user_lstm)->Name("train/user_lstm")->Apply(shapes);
BENCHMARK(gru)->Name("train/gru")->Apply(shapes);
BENCHMARK(rnn)->Name("train/rnn")->Apply(shapes);

int main(int argc, char** argv) {
  benchmark::AddCustomContext("kernels", tapeloop::cpu::isa_name());
  benchmark::AddCustomContext("threads", std::to_string(tapeloop::num_threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
