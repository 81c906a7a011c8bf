// SPDX-License-Identifier: MIT
// Stacks of recurrent layers: gradients, sequences of different lengths, names of parameters,
// dropout, wrong use. cells_test.cpp tests single cells and unroll(), training_test.cpp whole
// training steps.
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

constexpr std::int64_t kInput = 2;
constexpr std::int64_t kHidden = 3;

RecurrentOptions stack_of(int layers, bool bidirectional) {
  return {.input = kInput,
          .hidden = kHidden,
          .layers = layers,
          .bidirectional = bidirectional,
          .dtype = DType::float64};
}

template <class R>
typename R::State random_state(const R& layers, std::int64_t n) {
  typename R::State state;
  for (std::size_t k = 0; k < R::State::parts; ++k) {
    std::int64_t count = static_cast<std::int64_t>(layers.cells().size());
    state[k] = parameter(random_tensor({count, n, layers.cells()[0].state_sizes()[k]}, 60 + k));
  }
  return state;
}

// Gradients of first and second order of the outputs and the last state, with respect to all
// weights, the inputs and the initial state.
template <class R>
void check_stack(const RecurrentOptions& options, std::span<const std::int64_t> lengths,
                 const typename R::Options& own = {}) {
  Random random(1);
  R layers(options, random, own);
  Var xs = parameter(random_tensor({2, 2, kInput}, 2));
  typename R::State start = random_state(layers, 2);
  ParameterList list = parameters(layers);
  list.push_back({"xs", xs});
  for (std::size_t k = 0; k < R::State::parts; ++k)
    list.push_back({"state " + std::to_string(k), start[k]});
  for (bool second : {false, true}) {
    GradcheckReport report = gradcheck(
        [&] {
          auto [ys, last] = layers(xs, start, lengths);
          std::vector<Var> all{ys};
          all.insert(all.end(), last.begin(), last.end());
          return all;
        },
        list, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE(
    "gradients of two layers in two directions are right to second order, also with lengths") {
  const std::int64_t some[] = {2, 1};
  for (std::span<const std::int64_t> lengths :
       {std::span<const std::int64_t>{}, std::span<const std::int64_t>(some)}) {
    const RecurrentOptions options = stack_of(2, true);
    check_stack<Rnn>(options, lengths);
    check_stack<Lstm>(options, lengths);
    check_stack<Lstm>(options, lengths, {.projection = 2});
    check_stack<Gru>(options, lengths);
    check_stack<Gru>(options, lengths, {.reset = GruReset::before});
  }
}

// --- the order of layers, directions and states ---

TEST_CASE(
    "a stack is its cells one after the other, the directions side by side, states by layer and "
    "direction") {
  Random random(3);
  Lstm layers(stack_of(2, true), random, {.projection = 2});
  Var xs(random_tensor({4, 3, kInput}, 4));
  State<2> start = random_state(layers, 3);
  auto [ys, last] = layers(xs, start);
  Var layer_input = xs;
  for (int layer = 0; layer < 2; ++layer) {
    std::vector<Var> outputs;
    for (int direction = 0; direction < 2; ++direction) {
      std::int64_t i = layer * 2 + direction;
      State<2> own(select_index(start[0], 0, i), select_index(start[1], 0, i));
      auto one = unroll(layers.cells()[static_cast<std::size_t>(i)], layer_input, own,
                        {.reverse = direction == 1});
      outputs.push_back(one.ys);
      for (std::size_t k = 0; k < 2; ++k) {
        CHECK(test::same_bits(last[k].value().select(0, i), one.last[k].value()));
      }
    }
    layer_input = concat(outputs, -1);
  }
  CHECK(test::same_bits(ys.value(), layer_input.value()));
  CHECK(layers.output_size() == 4);
  CHECK(layers.directions() == 2);
}

std::vector<std::string> names_of(const ParameterList& list) {
  std::vector<std::string> names;
  for (const NamedVar& p : list) names.push_back(p.name);
  return names;
}

TEST_CASE("parameters have PyTorch's names, order and shapes") {
  Random random(5);
  Lstm lstm(stack_of(2, true), random);
  ParameterList list = parameters(lstm);
  std::vector<std::string> expected;
  for (const char* suffix : {"_l0", "_l0_reverse", "_l1", "_l1_reverse"}) {
    for (const char* name : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"})
      expected.push_back(std::string(name) + suffix);
  }
  CHECK(names_of(list) == expected);
  CHECK(list[0].var.shape() == Shape{12, 2});
  CHECK(list[1].var.shape() == Shape{12, 3});
  CHECK(list[2].var.shape() == Shape{12});
  CHECK(list[8].var.shape() == Shape{12, 6});

  RecurrentOptions without_bias = stack_of(1, false);
  without_bias.bias = false;
  Lstm small(without_bias, random, {.projection = 2});
  CHECK(names_of(parameters(small)) ==
        std::vector<std::string>{"weight_ih_l0", "weight_hh_l0", "weight_hr_l0"});
  CHECK(parameters(small)[1].var.shape() == Shape{12, 2});
  CHECK(parameters(small)[2].var.shape() == Shape{2, 3});

  Linear head(3, 4, random);
  CHECK(names_of(parameters(small, head)) ==
        std::vector<std::string>{"0.weight_ih_l0", "0.weight_hh_l0", "0.weight_hr_l0", "1.weight",
                                 "1.bias"});
}

TEST_CASE("weights start within 1 / sqrt(hidden), the same for the same seed and in both types") {
  Random first(6);
  Random again(6);
  Random third(6);
  RecurrentOptions options{.input = 20, .hidden = 25, .layers = 2};
  Lstm a(options, first);
  Lstm b(options, again);
  options.dtype = DType::float64;
  Lstm c(options, third);
  ParameterList of_a = parameters(a), of_b = parameters(b), of_c = parameters(c);
  for (std::size_t i = 0; i < of_a.size(); ++i) {
    CHECK(test::same_bits(of_a[i].var.value(), of_b[i].var.value()));
    CHECK(test::same_bits(of_a[i].var.value(), of_c[i].var.value().to(DType::float32)));
    double largest = 0;
    for (double w : of_a[i].var.value().to_vector<double>())
      largest = std::max(largest, std::abs(w));
    CHECK(largest <= 0.2);
    CHECK(largest > 0.17);
  }
}

// --- a user's cell in a stack ---

struct LeakyCell {
  using State = nn::State<1>;
  Var weight_ih, weight_hh;
  LeakyCell(const RecurrentOptions& o, Random& random)
      : weight_ih(uniform_parameter({o.hidden, o.input}, 1, random, o.dtype)),
        weight_hh(uniform_parameter({o.hidden, o.hidden}, 1, random, o.dtype)) {}
  std::array<std::int64_t, 1> state_sizes() const { return {weight_hh.dim(0)}; }
  State step(const Var& x, const State& s) const {
    return State(0.5 * s.h() + 0.5 * tanh(linear(s.h(), weight_hh, linear(x, weight_ih))));
  }
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
  }
};

TEST_CASE(
    "a user's cell runs in a stack of two directions with lengths, and its gradients are right") {
  const std::int64_t lengths[] = {0, 2};
  check_stack<Recurrent<LeakyCell>>(stack_of(2, true), lengths);
}

// --- sequences of different lengths ---

struct Batch {
  Lstm layers;
  Tensor xs;
  std::vector<std::int64_t> lengths{3, 5, 0, 1};
  explicit Batch(bool bidirectional) {
    Random random(8);
    layers = Lstm(stack_of(2, bidirectional), random);
    xs = random_tensor({5, 4, kInput}, 9);
  }
};

TEST_CASE("each sequence of a batch gives what it gives alone, and zeros past its end") {
  for (bool bidirectional : {false, true}) {
    Batch batch(bidirectional);
    State<2> start = random_state(batch.layers, 4);
    auto [ys, last] = batch.layers(batch.xs, start, batch.lengths);
    CHECK(ys.shape() == Shape{5, 4, batch.layers.output_size()});
    for (std::int64_t n = 0; n < 4; ++n) {
      std::int64_t length = batch.lengths[static_cast<std::size_t>(n)];
      State<2> own(slice(start[0], 1, n, n + 1), slice(start[1], 1, n, n + 1));
      auto alone = batch.layers(batch.xs.slice(1, n, n + 1).slice(0, 0, length), own);
      CHECK(test::distance(ys.value().slice(1, n, n + 1).slice(0, 0, length), alone.ys.value()) <
            1e-15);
      for (std::size_t k = 0; k < 2; ++k) {
        CHECK(test::distance(last[k].value().slice(1, n, n + 1), alone.last[k].value()) < 1e-15);
      }
      for (double y : ys.value().slice(1, n, n + 1).slice(0, length, 5).to_vector<double>())
        CHECK(y == 0.0);
    }
    // Length 0: the last state is the initial one.
    CHECK(test::same_bits(last[0].value().slice(1, 2, 3), start[0].value().slice(1, 2, 3)));
  }
}

struct Results {
  Tensor ys, h, c;
  std::vector<Var> gradients;  // of all weights, then of xs
};

Results run(const Batch& batch, const Tensor& input) {
  Tape tape;
  Var xs = parameter(input.clone());
  auto [ys, last] = batch.layers(xs, {}, batch.lengths);
  std::vector<Var> wanted;
  for (const NamedVar& p : parameters(batch.layers)) wanted.push_back(p.var);
  wanted.push_back(xs);
  Var loss = sum(square(ys + 1.0)) + sum(last[0]) + sum(square(last[1]));
  return {ys.value(), last[0].value(), last[1].value(), tape.gradient(loss, wanted)};
}

TEST_CASE(
    "what stands past the end of a sequence does not matter, not even NaN, and gets a gradient of "
    "exactly 0") {
  for (bool bidirectional : {false, true}) {
    Batch batch(bidirectional);
    Tensor spoilt = batch.xs.clone();
    for (std::int64_t n = 0; n < 4; ++n) {
      std::int64_t length = batch.lengths[static_cast<std::size_t>(n)];
      spoilt.select(1, n).slice(0, length, 5).fill(n == 0 ? NAN : n == 2 ? INFINITY : 1e300);
    }
    Results clean = run(batch, batch.xs);
    Results other = run(batch, spoilt);
    CHECK(test::same_bits(clean.ys, other.ys));
    CHECK(test::same_bits(clean.h, other.h));
    CHECK(test::same_bits(clean.c, other.c));
    REQUIRE(clean.gradients.size() == other.gradients.size());
    for (std::size_t i = 0; i < clean.gradients.size(); ++i) {
      CHECK(test::same_bits(clean.gradients[i].value(), other.gradients[i].value()));
    }
    for (std::int64_t n = 0; n < 4; ++n) {
      std::int64_t length = batch.lengths[static_cast<std::size_t>(n)];
      Tensor padding = clean.gradients.back().value().select(1, n).slice(0, length, 5);
      for (double d : padding.to_vector<double>()) CHECK(d == 0.0);
    }
  }
}

TEST_CASE("lengths that are all T change nothing") {
  Batch batch(true);
  std::vector<std::int64_t> full{5, 5, 5, 5};
  CHECK(test::same_bits(batch.layers(batch.xs).ys.value(),
                        batch.layers(batch.xs, {}, full).ys.value()));
}

TEST_CASE("no steps, and lengths of 0 alone, leave the state as it was") {
  Batch batch(true);
  State<2> start = random_state(batch.layers, 4);
  auto none = batch.layers(batch.xs.slice(0, 0, 0), start);
  CHECK(none.ys.shape() == Shape{0, 4, 6});
  CHECK(test::same_bits(none.last[1].value(), start[1].value()));
  std::vector<std::int64_t> zeros{0, 0, 0, 0};
  auto idle = batch.layers(batch.xs, start, zeros);
  CHECK(test::same_bits(idle.ys.value(), Tensor::zeros({5, 4, 6}, DType::float64)));
  CHECK(test::same_bits(idle.last[1].value(), start[1].value()));
}

TEST_CASE("a state of which one part is given starts the others from zero") {
  Batch batch(false);
  State<2> only_c;
  only_c[1] = random_tensor({2, 4, kHidden}, 10);
  State<2> both(Var(Tensor::zeros({2, 4, kHidden}, DType::float64)), only_c[1]);
  CHECK(test::same_bits(batch.layers(batch.xs, only_c).ys.value(),
                        batch.layers(batch.xs, both).ys.value()));
  CHECK_FALSE(test::same_bits(batch.layers(batch.xs, only_c).ys.value(),
                              batch.layers(batch.xs).ys.value()));
}

// --- dropout ---

TEST_CASE("dropout acts between layers while a tape records, and not without one") {
  RecurrentOptions options = stack_of(2, false);
  options.dropout = 0.5;
  Random random(11);
  Lstm layers(options, random);
  Tensor xs = random_tensor({6, 8, kInput}, 12);
  Tensor without = layers(xs).ys.value();
  CHECK(test::same_bits(without, layers(xs).ys.value()));
  Tensor trained, again;
  {
    Tape tape;
    trained = layers(xs).ys.value();
    again = layers(xs).ys.value();
  }
  CHECK_FALSE(test::same_bits(trained, without));
  CHECK_FALSE(test::same_bits(trained, again));  // a new mask each time

  Random same(11);
  Lstm twin(options, same);
  Tape tape;
  CHECK(test::same_bits(twin(xs).ys.value(), trained));
}

TEST_CASE("dropout leaves the outputs of the last layer alone") {
  Random random(13);
  RecurrentOptions options = stack_of(1, false);
  options.dropout = 0.9;
  Lstm layers(options, random);
  Tensor xs = random_tensor({3, 4, kInput}, 14);
  Tensor without = layers(xs).ys.value();
  Tape tape;
  CHECK(test::same_bits(layers(xs).ys.value(), without));
}

TEST_CASE("the random state of a stack's dropout is found by its name and put back") {
  Random random(15);
  RecurrentOptions options = stack_of(2, false);
  options.dropout = 0.3;
  Gru layers(options, random);
  Tensor xs = random_tensor({3, 4, kInput}, 16);
  auto states = randoms(layers);
  REQUIRE(states.size() == 1);
  CHECK(states[0].first == "dropout.random");
  Random before = *states[0].second;
  Tape tape;
  Tensor first = layers(xs).ys.value();
  *states[0].second = before;
  CHECK(test::same_bits(layers(xs).ys.value(), first));
}

// --- wrong use ---

TEST_CASE("stacks refuse what does not fit, and say what was given and expected") {
  Random random(17);
  CHECK(test::throws_with("layers is 0|1 or more", [&] { Lstm(stack_of(0, false), random); }));
  RecurrentOptions dropping = stack_of(2, false);
  dropping.dropout = 1.0;
  CHECK(test::throws_with("dropout is 1|0 <= p < 1", [&] { Gru(dropping, random); }));
  dropping.dropout = NAN;
  CHECK(test::throws_with("dropout is nan", [&] { Gru(dropping, random); }));
  CHECK(test::throws_with("lstm|hidden 0", [&] { Lstm({.input = 2}, random); }));

  Lstm layers(stack_of(2, true), random);
  auto zeros = [](const Shape& shape) { return Var(Tensor::zeros(shape, DType::float64)); };
  Var xs = zeros({4, 3, kInput});
  CHECK(test::throws_with("[T, N, I]|[4, 2]", [&] { layers(zeros({4, 2})); }));
  CHECK(test::throws_with("x has 7 features|input = 2|[4, 3, 7]", [&] {
    layers(zeros({4, 3, 7}));
  }));
  CHECK(test::throws_with("initial state is [2, 3, 3]|layers * directions = 4, N = 3, 3", [&] {
    layers(xs, State<2>(zeros({2, 3, 3}), zeros({4, 3, 3})));
  }));
  CHECK(test::throws_with("initial state is [4, 1, 3]|N = 3", [&] {
    layers(xs, State<2>(zeros({4, 3, 3}), zeros({4, 1, 3})));
  }));
  const std::int64_t two[] = {1, 2};
  const std::int64_t late[] = {1, 2, 5};
  CHECK(test::throws_with("2 lengths|batch of 3", [&] { layers(xs, {}, two); }));
  CHECK(test::throws_with("length 5 of sequence 2|0..4", [&] { layers(xs, {}, late); }));
  CHECK(test::throws_with("recurrent|construct them with options first", [&] { Lstm()(xs); }));
  CHECK(test::throws_with("recurrent|construct them with options first",
                          [&] { return Lstm().output_size(); }));
}

}  // namespace
}  // namespace tapeloop::nn
