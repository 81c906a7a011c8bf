// SPDX-License-Identifier: MIT
// Training steps (float32) of a Multi-Dimensional LSTM on images in one direction, and of an LSTM
// with as many rows in each step, on average, as the levels of the grid have. No optimizer:
// forward, backward with a dense upstream gradient, gradients of weights, biases and xs.
// GFLOPS counts the products: 3 x 2 S^2 N x G x H (I + D H), D = 1 for the LSTM.
//   S the width and height, N batch, I input size, H hidden size, G gates, D dimensions
#include "bench/support.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

// forward(xs) -> ys
template <class Model, class Forward>
void train(benchmark::State& state, const Model& model, const Shape& xs_shape, double products,
           Forward forward) {
  const ParameterList parameters = nn::parameters(model);
  Random random(2);
  const Var xs = parameter(random_normal(xs_shape, 0, 1, random));
  const Shape ys_shape = xs_shape.with(xs_shape.rank() - 1, state.range(3));
  const Var dys(random_normal(ys_shape, 0, 1, random));
  const auto step = [&] {
    Tape tape;
    tape.backward(forward(xs), dys);
    benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
    for (const NamedVar& p : parameters) p.var.zero_grad();
    xs.zero_grad();
  };
  bench::measure(state, step);
  const std::int64_t cells = xs.numel() / xs.dim(-1);
  bench::count_rate(state, "GFLOPS", 6e-9 * products * static_cast<double>(cells));
}

void md_lstm(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t size = state.range(0), batch = state.range(1), input = state.range(2),
                       hidden = state.range(3);
    const bench::Threads threads(state.range(4));
    Random random(1);
    const nn::MdLstm model({.input = input, .hidden = hidden}, random);
    train(state, model, {size, size, batch, input},
          static_cast<double>(5 * hidden * (input + 2 * hidden)),
          [&](const Var& xs) { return model(xs).ys; });
  });
}

void lstm_of_as_many_rows(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t levels = 2 * state.range(0) - 1, input = state.range(2),
                       hidden = state.range(3);
    const std::int64_t rows = state.range(0) * state.range(0) * state.range(1) / levels;
    const bench::Threads threads(state.range(4));
    Random random(1);
    const nn::Lstm model({.input = input, .hidden = hidden}, random);
    train(state, model, {levels, rows, input}, static_cast<double>(4 * hidden * (input + hidden)),
          [&](const Var& xs) { return model(xs).ys; });
  });
}

void shapes(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"S", "N", "I", "H", "threads"})->Unit(benchmark::kMillisecond);
  rows->Args({28, 32, 16, 32, 1})->Args({28, 32, 16, 64, 1});
  rows->MeasureProcessCPUTime();
}

}  // namespace

BENCHMARK(md_lstm)->Name("grid/md_lstm")->Apply(shapes);
// The same under a second name, for the comparison with peers that run the grid cell by cell.
BENCHMARK(md_lstm)->Name("grid/md_lstm_by_cell")->Apply(shapes);
BENCHMARK(lstm_of_as_many_rows)->Name("grid/lstm_rows")->Apply(shapes);
