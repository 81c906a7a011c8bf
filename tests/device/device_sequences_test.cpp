// SPDX-License-Identifier: MIT
// Sequence to sequence on Device::cuda against the CPU: training, every kind of decoding, CTC; and
// counted memory. Runs on a GPU; a second program runs it on the emulated GPU (cuda_emulation/).
// device_models_test.cpp tests layers.
#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/nn/cells/cells.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/nn/seq2seq/seq2seq.h"
#include "tests/device/device.h"

namespace tapeloop::test {
namespace {

using nn::Attend;
using nn::Score;

struct Kind {
  Attend attend;
  Score score;
  bool feeding;
};
constexpr Kind kKinds[] = {{Attend::never, Score::additive, false},
                           {Attend::before_step, Score::additive, false},
                           {Attend::before_step, Score::dot, false},
                           {Attend::after_step, Score::general, true},
                           {Attend::after_step, Score::cosine, false}};

const std::vector<std::int64_t> kLengths{4, 2, 1};

nn::Seq2Seq<nn::GruCell> model_of(const Kind& kind) {
  Random random(3);
  return {{.source_vocabulary = 6,
           .encoder = {.input = 4, .hidden = 5, .dtype = DType::float64},
           .decoder = {.vocabulary = 7,
                       .embedding = 4,
                       .cell = {.hidden = 5, .dtype = DType::float64},
                       .attend = kind.attend,
                       .attention = {.score = kind.score},
                       .input_feeding = kind.feeding}},
          random};
}

TEST_CASE("a model with attention has one loss and one gradient on every device") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Tensor source = index_tensor({4, 3}, 6, 1), target = index_tensor({3, 3}, 7, 2);
  for (const Kind& kind : kKinds) {
    CAPTURE(static_cast<int>(kind.attend));
    CAPTURE(static_cast<int>(kind.score));
    std::vector<Tensor> results[2];
    for (const Device device : {Device::cpu, Device::cuda}) {
      const auto model = model_of(kind);
      nn::move(model, device);
      Random random(4);
      Tape tape;
      const auto encoded = model.encode(source, kLengths);
      const Var loss = cross_entropy(model(encoded, target), target) +
                       cross_entropy(model(encoded, target, 0.5, random), target);
      tape.backward(loss);
      auto& own = results[device == Device::cuda];
      own.push_back(loss.value().to(Device::cpu));
      for (const NamedVar& p : nn::parameters(model))
        own.push_back(p.var.grad().value().to(Device::cpu));
    }
    REQUIRE(results[0].size() == results[1].size());
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      CHECK(distance(results[1][i], results[0][i]) < tolerance(DType::float64));
    }
  }
}

TEST_CASE("greedy, sampled and beam search find on the GPU what they find on the CPU") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Tensor source = index_tensor({4, 3}, 6, 1);
  nn::BeamOptions options;
  options.max_length = 6;
  options.beams = 3;
  for (const Kind& kind : kKinds) {
    CAPTURE(static_cast<int>(kind.attend));
    CAPTURE(static_cast<int>(kind.score));
    std::vector<nn::Hypothesis> found[2];
    for (const Device device : {Device::cpu, Device::cuda}) {
      const auto model = model_of(kind);
      nn::move(model, device);
      nn::DecoderSearch<nn::GruCell> search(model.decoder, model.encode(source, kLengths));
      auto& own = found[device == Device::cuda];
      own = nn::decode_greedily(search, options);
      Random random(5);
      for (auto& h : nn::decode_by_sampling(search, options, random)) own.push_back(h);
      options.coverage_penalty = kind.attend == Attend::never ? 0 : 0.2;
      for (auto& sentence : nn::beam_search(search, options)) own.push_back(sentence[0]);
    }
    REQUIRE(found[0].size() == 9);
    for (std::size_t i = 0; i < found[0].size(); ++i) {
      CHECK(found[1][i].symbols == found[0][i].symbols);
      CHECK(found[1][i].score == doctest::Approx(found[0][i].score).epsilon(1e-10));
      if (!found[0][i].weights.defined()) continue;
      CHECK(distance(found[1][i].weights, found[0][i].weights) < tolerance(DType::float64));
    }
  }
}

TEST_CASE("memory on the GPU is counted, and recomputation fits a model into it") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const std::int64_t before = memory::stats().live_bytes;
  {
    const Tensor some = Tensor::zeros({1000, 100}, DType::float32, Device::cuda);
    CHECK(memory::stats().live_bytes - before >= 400000);
  }
  CHECK(memory::stats().live_bytes == before);
  const auto held = [](double fit_mib) {
    Random random(1);
    const nn::Lstm lstm({.input = 8, .hidden = 32, .recompute = {.fit_mib = fit_mib}}, random);
    nn::move(lstm, Device::cuda);
    const Var xs(random_tensor({300, 4, 8}, 3, DType::float32).to(Device::cuda));
    Tape tape;
    const std::int64_t start = memory::stats().live_bytes;
    const Var ys = lstm(xs).ys;
    return memory::stats().live_bytes - start;
  };
  CHECK(held(0.3) < held(0) / 2);
}

TEST_CASE(
    "the gradients of states are noted on the GPU as on the CPU, in every form of a sequence") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const auto norms = [](Device device, DType dtype) {
    Random random(6);
    const nn::Lstm lstm({.input = 3, .hidden = 5, .layers = 2, .dtype = dtype}, random);
    nn::move(lstm, device);
    Tape tape({.state_gradients = true});
    const Var xs(random_tensor({6, 3, 3}, 7, dtype).to(device));
    tape.backward(sum(square(lstm(xs).ys)));
    return tape.state_gradients();
  };
  struct Case {
    cuda::RecurrentForm form;
    DType dtype;
  };
  for (const Case& c : {Case{cuda::RecurrentForm::alternating, DType::float64},
                        Case{cuda::RecurrentForm::persistent, DType::float32}}) {
    const std::vector<StateGradient> here = norms(Device::cpu, c.dtype);
    REQUIRE(here.size() == 2);
    cuda::set_recurrent_form(c.form);
    const std::vector<StateGradient> there = norms(Device::cuda, c.dtype);
    cuda::set_recurrent_form(cuda::RecurrentForm::automatic);
    REQUIRE(there.size() == 2);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      REQUIRE(there[layer].norms.size() == 6);
      for (std::size_t t = 0; t < 6; ++t) {
        CHECK(there[layer].norms[t] ==
              doctest::Approx(here[layer].norms[t]).epsilon(tolerance(c.dtype)));
      }
    }
  }
}

TEST_CASE("what is uploaded may be changed at once, and may be large") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const std::int64_t count : {1, 1000, 300'000, 900'000}) {
    std::vector<Tensor> there;
    Tensor here = Tensor::empty({count}, DType::float32);
    for (int round = 0; round < 12; ++round) {
      here.fill(round);
      there.push_back(here.to(Device::cuda));
    }
    for (int round = 0; round < 12; ++round) {
      const Tensor back = there[static_cast<std::size_t>(round)].to(Device::cpu);
      CHECK(back.at({0}) == round);
      CHECK(back.at({count - 1}) == round);
    }
  }
}

TEST_CASE("the CTC loss and its gradient are those of the CPU") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Tensor x = random_tensor({7, 3, 5}, 8, DType::float64);
  const Tensor targets = Tensor::from<std::int64_t>({3, 2}, {1, 2, 3, 3, 4, 0});
  const std::vector<std::int64_t> input{7, 5, 6}, lengths{2, 2, 1};
  for (const Reduce reduce : {Reduce::mean, Reduce::sum, Reduce::none}) {
    std::vector<Tensor> results[2];
    for (const Device device : {Device::cpu, Device::cuda}) {
      Tape tape;
      const Var given = parameter(x.to(device));
      const Var loss =
          ctc_loss(log_softmax(given), targets.to(device), input, lengths, {.reduce = reduce});
      CHECK(loss.device() == device);
      tape.backward(sum(loss));
      results[device == Device::cuda] = {loss.value().to(Device::cpu),
                                         given.grad().value().to(Device::cpu)};
    }
    CHECK(distance(results[1][0], results[0][0]) < tolerance(DType::float64));
    CHECK(distance(results[1][1], results[0][1]) < tolerance(DType::float64));
  }
}

}  // namespace
}  // namespace tapeloop::test
