// SPDX-License-Identifier: MIT
// What cells and unroll() refuse, and how they say it.
#include "tapeloop/nn/nn.h"
#include "tests/nn/cell_sizes.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

// Its input() leaves every second step out.
struct HalfCell {
  using State = nn::State<1>;
  std::array<std::int64_t, 1> state_sizes() const { return {kInput}; }
  Var input(const Var& x) const { return slice(x, 0, 0, x.dim(0), 2); }
  State step(const Var& x, const State& s) const { return State(tanh(x + s.h())); }
  void visit(Visitor&) const {}
};

}  // namespace

TEST_CASE("lengths count the steps that a cell's input() gives") {
  const HalfCell cell;
  const Var xs(random_tensor({4, 2, kInput}));
  const std::int64_t too_long[] = {4, 2}, fits[] = {2, 1};
  CHECK(test::throws_with("length 4 of sequence 0|0..2",
                          [&] { unroll(cell, xs, {}, {.lengths = too_long}); }));
  const auto run = unroll(cell, xs, {}, {.lengths = fits});
  REQUIRE(run.ys.shape() == Shape{2, 2, kInput});
  CHECK(run.ys.value().at({1, 0, 0}) != 0);
  CHECK(run.ys.value().at({1, 1, 0}) == 0);
}

TEST_CASE("cells refuse sizes and options that make no sense, and say which") {
  Random random(24);
  CHECK(test::throws_with("lstm|input is 0|hidden 3", [&] { LstmCell({.hidden = 3}, random); }));
  CHECK(test::throws_with("gru|input is 2|hidden 0", [&] { GruCell({.input = 2}, random); }));
  CHECK(test::throws_with("slstm: hidden is 6, heads 4; expected heads that divide",
                          [&] { SlstmCell({.input = 2, .hidden = 6}, random, {.heads = 4}); }));
  CHECK(test::throws_with("mlstm: hidden is 6, heads 0; expected heads that divide",
                          [&] { MlstmCell({.input = 2, .hidden = 6}, random, {.heads = 0}); }));
  CHECK(test::throws_with("mlstm: chunk is -1, expected a number of steps, or 0",
                          [&] { MlstmCell({.input = 2, .hidden = 6}, random, {.chunk = -1}); }));
  CHECK(test::throws_with("rnn|hidden -1", [&] { RnnCell({.input = 2, .hidden = -1}, random); }));
  CHECK(test::throws_with("lstm|hidden 4611686018427387904|at most 2^40", [&] {
    LstmCell({.input = 2, .hidden = std::int64_t{1} << 62}, random);
  }));
  CHECK(test::throws_with("lstm|projection 3|smaller than hidden",
                          [&] { LstmCell(sizes(), random, {.projection = 3}); }));
  CHECK(test::throws_with("lstm|projection -1",
                          [&] { LstmCell(sizes(), random, {.projection = -1}); }));
  RecurrentOptions whole = sizes();
  whole.dtype = DType::int64;
  CHECK(test::throws_with("int64[12, 2]|float32 or float64", [&] { LstmCell(whole, random); }));
}

TEST_CASE(
    "unroll refuses sequences, states and lengths that do not fit, and says what was given and "
    "expected") {
  Random random(25);
  LstmCell cell(sizes(), random);
  Var xs(random_tensor({4, 2, kInput}));
  auto zeros = [](const Shape& shape) { return Var(Tensor::zeros(shape, DType::float64)); };
  CHECK(test::throws_with("[T, N, I]|[2, 2]|insert_axis", [&] { unroll(cell, zeros({2, 2})); }));
  CHECK(test::throws_with("[T, N, I]|undefined", [&] { unroll(cell, Var()); }));
  CHECK(test::throws_with("lstm|x has 5 features|input = 2|[4, 2, 5]", [&] {
    unroll(cell, zeros({4, 2, 5}));
  }));
  CHECK(test::throws_with("part 1 of the initial state is [3, 3]|[N=2, 3]", [&] {
    unroll(cell, xs, State<2>(zeros({2, kHidden}), zeros({3, kHidden})));
  }));
  CHECK(test::throws_with("part 0 of the initial state is [2, 4]|[N=2, 3]", [&] {
    unroll(cell, xs, State<2>(zeros({2, 4}), zeros({2, kHidden})));
  }));
  const std::int64_t three[] = {1, 2, 3};
  const std::int64_t long_one[] = {4, 5};
  const std::int64_t negative[] = {-1, 2};
  CHECK(test::throws_with("3 lengths|batch of 2|[4, 2, 2]",
                          [&] { unroll(cell, xs, {}, {.lengths = three}); }));
  CHECK(test::throws_with("length 5 of sequence 1|0..4",
                          [&] { unroll(cell, xs, {}, {.lengths = long_one}); }));
  CHECK(test::throws_with("length -1 of sequence 0",
                          [&] { unroll(cell, xs, {}, {.lengths = negative}); }));
  CHECK(test::throws_with("float32|float64", [&] { unroll(cell, to(xs, DType::float32)); }));
  // The error names the function that the user called.
  const Lstm model(sizes(), random);
  const auto begins_with = [](const std::string& start, const auto& call) {
    try {
      call();
    } catch (const Error& error) {
      return std::string(error.what()).starts_with(start);
    }
    return false;
  };
  CHECK(begins_with("unroll: xs must be [T, N, I]", [&] { unroll(cell, Var()); }));
  CHECK(begins_with("recurrent: xs must be [T, N, I]", [&] { model(Var()); }));
  CHECK(begins_with("unroll: length 5", [&] { unroll(cell, xs, {}, {.lengths = long_one}); }));
  CHECK(begins_with("recurrent: length 5", [&] { model(xs, {}, long_one); }));
  const std::uint8_t seven[7] = {}, eight[8] = {};
  CHECK(begins_with("recurrent: 7 resets were given for T = 4 and N = 2; give 8",
                    [&] { model(xs, {}, {}, seven); }));
  RecurrentOptions in_segments = sizes();
  in_segments.recompute.steps = 2;
  CHECK(begins_with("recurrent: resets were given together with recompute",
                    [&] { Lstm(in_segments, random)(xs, {}, {}, eight); }));
  CHECK(begins_with("unroll: resets were given together with recompute",
                    [&] { unroll(cell, xs, {}, {.resets = eight, .recompute = {.steps = 2}}); }));
}

}  // namespace tapeloop::nn
