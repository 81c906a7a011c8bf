// SPDX-License-Identifier: MIT
// A character language model: embedding 64, two LSTM layers of 256, 65 symbols. Whole training
// steps, and sampling.
// Symbols are random: the benchmark does not look at what the model learns (examples/char_lm trains
// on a text).
#include "bench/support.h"
#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/nn/decode/sampling.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"

namespace {

using namespace tapeloop;

constexpr std::int64_t kSymbols = 65, kEmbedding = 64, kHidden = 256, kSteps = 100, kStreams = 32;

struct Model {
  nn::Embedding embedding;
  nn::Lstm lstm;
  nn::Linear head;
  explicit Model(Random& random)
      : embedding(kSymbols, kEmbedding, random),
        lstm({.input = kEmbedding, .hidden = kHidden, .layers = 2}, random),
        head(kHidden, kSymbols, random) {}
};

Tensor random_symbols(Random& random) {
  std::vector<std::int64_t> symbols(static_cast<std::size_t>(kSteps * kStreams));
  for (std::int64_t& symbol : symbols) symbol = static_cast<std::int64_t>(random.below(kSymbols));
  return Tensor::from({kSteps, kStreams}, symbols);
}

void train(benchmark::State& state) {
  bench::guarded(state, [&] {
    const bench::Threads threads(state.range(0));
    Random random(1);
    const Model model(random);
    optim::Adam adam(nn::parameters(model.embedding, model.lstm, model.head),
                     {.learning_rate = 2e-3});
    const Tensor tokens = random_symbols(random);
    const Tensor next = random_symbols(random);
    nn::Lstm::State carry;
    const auto step = [&] {
      Tape tape;
      const auto [ys, last] = model.lstm(model.embedding(tokens), carry);
      const Var loss = cross_entropy(model.head(ys), next);
      tape.backward(loss);
      optim::clip_grad_norm(adam.parameters(), 5.0);
      adam.step();
      adam.zero_grad();
      carry = last.detach();
      benchmark::DoNotOptimize(loss.item());
    };
    bench::measure(state, step);  // the second step carries a state
    bench::count_rate(state, "tokens/s", static_cast<double>(kSteps * kStreams));
  });
}

// Feeds each drawn symbol back as the next input.
void sample(benchmark::State& state) {
  bench::guarded(state, [&] {
    Random random(1);
    const Model model(random);
    nn::Lstm::State carry;
    Tensor symbol = Tensor::from<std::int64_t>({1, 1}, {0});
    const auto step = [&] {
      const auto [ys, last] = model.lstm(model.embedding(symbol), carry);
      carry = last;
      symbol = nn::sample(model.head(ys).value().select(0, 0), random).reshape({1, 1});
    };
    bench::measure(state, step, 10);
    bench::count_rate(state, "steps/s", 1);
  });
}

// The same by a Stepper, whose weights are laid out for one stream.
void sample_steps(benchmark::State& state, Weights weights) {
  bench::guarded(state, [&] {
    Random random(1);
    const Model model(random);
    Stepper stepper = nn::make_stepper(model.lstm, model.head, {.weights = weights});
    const auto* embedding = model.embedding.weight.value().read<float>();
    Tensor logits = Tensor::zeros({1, kSymbols});
    std::int64_t symbol = 0;
    const auto step = [&] {
      if (!stepper.step({embedding + symbol * kEmbedding, kEmbedding},
                        {logits.data<float>(), kSymbols})) {
        fail("charlm_bench", text_of(stepper.error()));
      }
      symbol = *nn::sample(logits, random).read<std::int64_t>();
    };
    bench::measure(state, step, 10);
    bench::count_rate(state, "steps/s", 1);
  });
}

}  // namespace

BENCHMARK(train)
    ->Name("charlm/train")
    ->ArgName("threads")
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();
BENCHMARK(train)
    ->Name("charlm/train")
    ->ArgName("threads")
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(sample)->Name("charlm/sample")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample_steps, float32, Weights::float32)
    ->Name("charlm/sample_stepper")
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(sample_steps, bfloat16, Weights::bfloat16)
    ->Name("charlm/sample_stepper_bf16")
    ->Unit(benchmark::kMicrosecond);
