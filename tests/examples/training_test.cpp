// SPDX-License-Identifier: MIT
// Whole training and inference steps of recurrent models: truncated BPTT, constant memory, no heap
// allocations, the same bits with any number of threads. Other files test single parts.
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tests/allocations.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::allocations;
using test::can_count_allocations;
using test::random_tensor;

// Symbols in, logits of the next symbol out.
struct Model {
  Embedding embed;
  Lstm lstm;
  Linear head;
  Model(std::int64_t symbols, std::int64_t hidden, double dropout = 0) {
    Random random(1);
    embed = Embedding(symbols, hidden, random);
    lstm = Lstm({.input = hidden, .hidden = hidden, .layers = 2, .dropout = dropout}, random);
    head = Linear(hidden, symbols, random);
  }
  void visit(Visitor& v) const {
    v("embed", embed);
    v("lstm", lstm);
    v("head", head);
  }
};

// One chunk of training: forward, cross-entropy, backward, clipping, Adam. Carries the state
// without its history.
struct Trainer {
  const Model& model;
  ParameterList list = parameters(model);
  optim::Adam adam{list, {.learning_rate = 1e-2}};
  State<2> state = {};
  double step(const Tensor& symbols, const Tensor& next) {
    Tape tape;
    auto [ys, last] = model.lstm(model.embed(symbols), state);
    Var loss = cross_entropy(model.head(ys), next);
    adam.zero_grad();
    tape.backward(loss);
    optim::clip_grad_norm(list, 1.0);
    adam.step();
    state = last.detach();
    return loss.item();
  }
};

// --- truncated BPTT ---

TEST_CASE("chunks that carry a detached state give what one long run gives") {
  Random random(2);
  Lstm lstm({.input = 3, .hidden = 4, .layers = 2, .dtype = DType::float64}, random);
  Tensor xs = random_tensor({12, 2, 3}, 3);
  auto whole = lstm(xs);
  State<2> state;
  for (std::int64_t start = 0; start < 12; start += 4) {
    Tape tape;
    auto [ys, last] = lstm(xs.slice(0, start, start + 4), state);
    CHECK(test::distance(ys.value(), whole.ys.value().slice(0, start, start + 4)) < 1e-15);
    state = last.detach();
  }
  CHECK(test::distance(state[0].value(), whole.last[0].value()) < 1e-15);
  CHECK(test::distance(state[1].value(), whole.last[1].value()) < 1e-15);
}

TEST_CASE("gradients stop where the state was detached, and only there") {
  Random random(4);
  Gru gru({.input = 3, .hidden = 4, .dtype = DType::float64}, random);
  Var first = parameter(random_tensor({3, 2, 3}, 5));
  Var second = parameter(random_tensor({3, 2, 3}, 6));
  Var weight = parameters(gru)[1].var;
  auto gradients = [&](bool cut) {
    Tape tape;
    State<1> state = gru(first).last;
    return tape.gradient(sum(square(gru(second, cut ? state.detach() : state).ys)),
                         {first, second, weight});
  };
  auto magnitude = [](const Var& v) { return norm(v).item(); };
  CHECK(magnitude(gradients(true)[0]) == 0.0);
  CHECK(magnitude(gradients(false)[0]) > 1e-3);
  // The later chunk's gradients equal those of a run that starts from the state as a constant.
  Tensor constant = gru(first).last.h().value();
  Tape tape;
  std::vector<Var> expected =
      tape.gradient(sum(square(gru(second, State<1>(Var(constant))).ys)), {second, weight});
  CHECK(test::same_bits(gradients(true)[1].value(), expected[0].value()));
  CHECK(test::same_bits(gradients(true)[2].value(), expected[1].value()));
  CHECK_FALSE(test::same_bits(gradients(false)[2].value(), expected[1].value()));
}

TEST_CASE("a state carried into another tape without detach is an error that says so") {
  Random random(7);
  Lstm lstm({.input = 3, .hidden = 4}, random);
  Tensor xs = random_tensor({2, 2, 3}, 8, DType::float32);
  State<2> state;
  {
    Tape tape;
    state = lstm(xs).last;
  }
  Tape tape;
  CHECK(test::throws_with("detach", [&] { lstm(xs, state); }));
}

TEST_CASE("an LSTM run for 1000 steps keeps memory constant when detached every 50") {
  Random random(9);
  Lstm lstm({.input = 4, .hidden = 8, .layers = 2}, random);
  ParameterList list = parameters(lstm);
  Tensor xs = random_tensor({50, 2, 4}, 10, DType::float32);
  State<2> state;
  std::vector<std::int64_t> live, peak;
  for (int chunk = 0; chunk < 20; ++chunk) {
    memory::reset_peak();
    {
      Tape tape;
      auto [ys, last] = lstm(xs, state);
      tape.backward(sum(square(ys)));
      state = last.detach();
    }
    for (const NamedVar& p : list) p.var.zero_grad();
    live.push_back(memory::stats().live_bytes);
    peak.push_back(memory::stats().peak_bytes);
  }
  for (std::size_t chunk = 2; chunk < 20; ++chunk) {
    CHECK(live[chunk] == live[1]);
    CHECK(peak[chunk] == peak[1]);
  }
}

// --- no heap allocations in the steady state ---

TEST_CASE("a training step makes no heap allocations once warm") {
  if (!can_count_allocations()) return;
  Model model(11, 16, 0.1);
  Trainer trainer{model};
  Tensor symbols = test::index_tensor({6, 3}, 11, 12);
  Tensor next = test::index_tensor({6, 3}, 11, 13);
  for (int i = 0; i < 5; ++i) trainer.step(symbols, next);
  for (int i = 0; i < 5; ++i) {
    std::int64_t before = allocations();
    std::int64_t pool_before = memory::stats().heap_calls;
    trainer.step(symbols, next);
    CHECK(allocations() - before == 0);
    CHECK(memory::stats().heap_calls - pool_before == 0);
  }
}

template <class Layers>
std::int64_t allocations_of_a_step(const Layers& layers, std::span<const std::int64_t> lengths) {
  ParameterList list = parameters(layers);
  Tensor xs = random_tensor({5, 3, 4}, 14, DType::float32);
  std::int64_t counted = 0;
  for (int i = 0; i < 6; ++i) {
    std::int64_t before = allocations();
    Tape tape;
    auto [ys, last] = layers(xs, {}, lengths);
    tape.backward(mean(square(ys)) + sum(last.h()));
    for (const NamedVar& p : list) p.var.zero_grad();
    counted = allocations() - before;
  }
  return counted;
}

TEST_CASE("no kind of recurrent layer makes heap allocations once warm, also with lengths") {
  if (!can_count_allocations()) return;
  Random random(15);
  const RecurrentOptions options{.input = 4, .hidden = 6, .layers = 2, .bidirectional = true};
  const std::int64_t some[] = {5, 2, 0};
  for (std::span<const std::int64_t> lengths :
       {std::span<const std::int64_t>{}, std::span<const std::int64_t>(some)}) {
    CHECK(allocations_of_a_step(Rnn(options, random), lengths) == 0);
    CHECK(allocations_of_a_step(Lstm(options, random), lengths) == 0);
    CHECK(allocations_of_a_step(Lstm(options, random, {.projection = 3}), lengths) == 0);
    CHECK(allocations_of_a_step(Gru(options, random), lengths) == 0);
    CHECK(allocations_of_a_step(Gru(options, random, {.reset = GruReset::before}), lengths) == 0);
  }
}

TEST_CASE(
    "an attentional decoder makes no heap allocations once warm, in training and in its steps") {
  if (!can_count_allocations()) return;
  for (const Attend attend : {Attend::before_step, Attend::after_step}) {
    Random random(17);
    const Seq2Seq<GruCell> model({.source_vocabulary = 9,
                                  .encoder = {.input = 4, .hidden = 6, .bidirectional = true},
                                  .decoder = {.vocabulary = 7,
                                              .embedding = 4,
                                              .cell = {.hidden = 5},
                                              .attend = attend,
                                              .input_feeding = attend == Attend::after_step}},
                                 random);
    const ParameterList list = parameters(model);
    const Tensor source = test::index_tensor({6, 3}, 9), target = test::index_tensor({5, 3}, 7);
    const std::vector<std::int64_t> lengths{6, 2, 4};
    std::int64_t counted = 0;
    for (int i = 0; i < 6; ++i) {
      const std::int64_t before = allocations();
      Tape tape;
      tape.backward(cross_entropy(model(model.encode(source, lengths), target), target));
      for (const NamedVar& p : list) p.var.zero_grad();
      counted = allocations() - before;
    }
    CHECK(counted == 0);
    const auto encoded = model.encode(source, lengths);
    auto state = encoded.state;
    for (int i = 0; i < 6; ++i) {
      const std::int64_t before = allocations();
      const Decoded one = model.decoder.step(target.select(0, 0), state, encoded.source);
      argmax(model.decoder.output(one.features).value());
      counted = allocations() - before;
    }
    CHECK(counted == 0);
  }
}

TEST_CASE("an inference step with sampling makes no heap allocations once warm") {
  if (!can_count_allocations()) return;
  Random random(16);
  LstmCell cell({.input = 8, .hidden = 16}, random);
  Linear head(16, 20, random);
  Embedding embed(20, 8, random);
  Tensor symbol = Tensor::zeros({1}, DType::int64);
  State<2> state(Var(Tensor::zeros({1, 16})), Var(Tensor::zeros({1, 16})));
  auto step = [&] {
    state = cell.step(cell.input(embed(symbol)), state);
    symbol =
        sample(head(state.h()).value(), random, {.temperature = 0.9, .top_k = 10, .top_p = 0.9});
  };
  for (int i = 0; i < 5; ++i) step();
  for (int i = 0; i < 5; ++i) {
    std::int64_t before = allocations();
    step();
    CHECK(allocations() - before == 0);
  }
}

// --- threads, and learning ---

TEST_CASE("training gives the same bits with one thread and with two, and its loss falls") {
  Tensor symbols = test::index_tensor({8, 32}, 40, 17);
  Tensor next = test::index_tensor({8, 32}, 40, 18);
  auto train = [&](int threads, std::vector<double>& losses) {
    test::Threads several(threads);
    Model model(40, 96, 0.2);
    Trainer trainer{model};
    for (int i = 0; i < 3; ++i) losses.push_back(trainer.step(symbols, next));
    return state_dict(model);
  };
  std::vector<double> losses, losses_of_two;
  StateDict one = train(1, losses);
  StateDict two = train(2, losses_of_two);
  CHECK(losses == losses_of_two);
  CHECK(losses[2] < losses[0]);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK_MESSAGE(test::same_bits(one[i].tensor, two[i].tensor), one[i].name);
  }
}

}  // namespace
}  // namespace tapeloop::nn
