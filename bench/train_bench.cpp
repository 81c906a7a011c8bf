// SPDX-License-Identifier: MIT
// Training steps (float32) of the built-in cells, of a user's copy of the LSTM as a functor, and of
// one op by op. No optimizer: forward, backward with a dense upstream gradient, gradients of
// weights, biases and xs.
// GFLOPS counts the products, 3 x 2TN x G x H(I+H): compare it with gemm/peak_fma.
//   T time steps, N batch, I input size, H hidden size, G gates
#include "bench/op_by_op_cell.h"
#include "bench/support.h"
#include "examples/custom_cell/my_lstm.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

template <class Cell, int kGates>
void train(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t steps = state.range(0), batch = state.range(1), input = state.range(2),
                       hidden = state.range(3);
    const bench::Threads threads(state.range(4));
    Random random(1);
    const nn::Recurrent<Cell> model({.input = input, .hidden = hidden}, random);
    const ParameterList parameters = nn::parameters(model);
    const Var xs = parameter(random_normal({steps, batch, input}, 0, 1, random));
    const Var dys(random_normal({steps, batch, hidden}, 0, 1, random));
    const auto step = [&] {
      Tape tape;
      const auto [ys, last] = model(xs);
      tape.backward(ys, dys);
      benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
      for (const NamedVar& p : parameters) p.var.zero_grad();
      xs.zero_grad();
    };
    bench::measure(state, step);
    const auto tokens = static_cast<double>(steps * batch);
    const double products = 3 * static_cast<double>(hidden * (input + hidden));
    bench::count_rate(state, "GFLOPS", 2e-9 * tokens * kGates * products);
    bench::count_rate(state, "tokens/s", tokens);
  });
}

void shapes(benchmark::internal::Benchmark* rows, std::int64_t threads) {
  rows->ArgNames({"T", "N", "I", "H", "threads"})->Unit(benchmark::kMillisecond);
  rows->Args({64, 1, 64, 64, threads})
      ->Args({64, 32, 128, 128, threads})
      ->Args({64, 32, 256, 256, threads})
      ->Args({100, 64, 512, 512, threads})
      ->Args({128, 16, 1024, 1024, threads});
}

// Measures one thread by its CPU time, which a busy machine disturbs less; two threads by the
// clock.
void one_thread(benchmark::internal::Benchmark* rows) {
  shapes(rows, 1);
  rows->MeasureProcessCPUTime();
}
void two_threads(benchmark::internal::Benchmark* rows) {
  shapes(rows, 2);
  rows->UseRealTime();
}

}  // namespace

BENCHMARK(train<nn::LstmCell, 4>)->Name("train/lstm")->Apply(one_thread);
BENCHMARK(train<nn::LstmCell, 4>)->Name("train/lstm")->Apply(two_threads);
BENCHMARK(train<nn::AnyCell, 4>)->Name("train/lstm_by_name")->Apply(one_thread);
BENCHMARK(train<nn::GruCell, 3>)->Name("train/gru")->Apply(one_thread);
BENCHMARK(train<nn::GruCell, 3>)->Name("train/gru")->Apply(two_threads);
BENCHMARK(train<nn::RnnCell, 1>)->Name("train/rnn")->Apply(one_thread);
BENCHMARK(train<nn::RnnCell, 1>)->Name("train/rnn")->Apply(two_threads);
BENCHMARK(train<my::LstmCell, 4>)->Name("train/user_cell")->Apply(one_thread);
BENCHMARK(train<my::LstmCell, 4>)->Name("train/user_cell")->Apply(two_threads);
BENCHMARK(train<bench::OpByOpCell, 4>)->Name("train/op_by_op")->Apply(one_thread);
BENCHMARK(train<bench::OpByOpCell, 4>)->Name("train/op_by_op")->Apply(two_threads);
