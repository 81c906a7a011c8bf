// SPDX-License-Identifier: MIT
// Training steps (float32) of batches whose sequences differ: in length, or in the steps at which
// they start again. Forward, backward with a dense upstream gradient, gradients of weights, biases
// and xs. `steps` counts real steps, GFLOPS their products, 3 x 2 x G x H(I+H) each.
//   T time steps, N batch, I input size, H hidden size, G gates
#include <vector>

#include "bench/support.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;
using Lengths = std::vector<std::int64_t>;

// Uniform in [T/4, T], in no order.
Lengths uniform(std::int64_t steps, std::int64_t batch) {
  Lengths lengths;
  for (std::int64_t n = 0; n < batch; ++n) {
    lengths.push_back(steps / 4 + n * 37 % batch * (steps - steps / 4) / (batch - 1));
  }
  return lengths;
}
Lengths full(std::int64_t steps, std::int64_t batch) {
  return Lengths(static_cast<std::size_t>(batch), steps);
}
// The lengths of words: 1 to 9 letters, 5 on average; one word has T letters.
Lengths words(std::int64_t steps, std::int64_t batch) {
  Lengths lengths;
  for (std::int64_t n = 0; n < batch; ++n) lengths.push_back(n == 0 ? steps : 1 + n * 37 % 9);
  return lengths;
}

template <class Step>
void run(benchmark::State& state, const ParameterList& parameters, const Var& xs, double steps,
         double flops, Step forward) {
  Random random(2);
  const Var dys(random_normal({xs.dim(0), xs.dim(1), state.range(3)}, 0, 1, random));
  const auto step = [&] {
    Tape tape;
    tape.backward(forward(), dys);
    benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
    for (const NamedVar& p : parameters) p.var.zero_grad();
    xs.zero_grad();
  };
  bench::measure(state, step);
  bench::count_rate(state, "GFLOPS", 1e-9 * steps * flops);
  bench::count_rate(state, "steps/s", steps);
}

template <class Cell, int kGates, Lengths lengths_of(std::int64_t, std::int64_t)>
void ragged(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t steps = state.range(0), batch = state.range(1), input = state.range(2),
                       hidden = state.range(3);
    const bench::Threads threads(state.range(4));
    Random random(1);
    const nn::Recurrent<Cell> model({.input = input, .hidden = hidden}, random);
    const Lengths lengths = lengths_of(steps, batch);
    const Var xs = parameter(random_normal({steps, batch, input}, 0, 1, random));
    std::int64_t real = 0;
    for (const std::int64_t length : lengths) real += length;
    run(state, nn::parameters(model), xs, static_cast<double>(real),
        6.0 * kGates * static_cast<double>(hidden * (input + hidden)),
        [&] { return model(xs, {}, lengths).ys; });
  });
}

// An LSTM whose sequences start again at one step of 50.
void resets(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t steps = state.range(0), batch = state.range(1), input = state.range(2),
                       hidden = state.range(3);
    const bench::Threads threads(state.range(4));
    Random random(1);
    const nn::LstmCell cell({.input = input, .hidden = hidden}, random);
    const Var xs = parameter(random_normal({steps, batch, input}, 0, 1, random));
    const Var zeros(Tensor::zeros({batch, hidden}));
    std::vector<std::uint8_t> flags;
    for (std::int64_t i = 0; i < steps * batch; ++i) flags.push_back(i * 7919 % 50 == 0);
    run(state, nn::parameters(cell), xs, static_cast<double>(steps * batch),
        24.0 * static_cast<double>(hidden * (input + hidden)), [&] {
          return recurrent(cell.recurrence(), cell.input(xs), {zeros, zeros}, {.resets = flags}).hs;
        });
  });
}

void rows(benchmark::internal::Benchmark* benchmark, const std::vector<std::int64_t>& shape) {
  benchmark->ArgNames({"T", "N", "I", "H", "threads"})->Unit(benchmark::kMillisecond);
  benchmark->Args(shape)->MeasureProcessCPUTime();
}
void batches(benchmark::internal::Benchmark* benchmark) { rows(benchmark, {128, 32, 128, 128, 1}); }
void dictionary(benchmark::internal::Benchmark* benchmark) {
  rows(benchmark, {60, 800, 64, 128, 1});
}

}  // namespace

BENCHMARK(ragged<nn::LstmCell, 4, full>)->Name("ragged/full")->Apply(batches);
BENCHMARK(ragged<nn::LstmCell, 4, uniform>)->Name("ragged/lstm")->Apply(batches);
BENCHMARK(resets)->Name("ragged/resets")->Apply(batches);
BENCHMARK(ragged<nn::GruCell, 3, words>)->Name("ragged/words")->Apply(dictionary);
