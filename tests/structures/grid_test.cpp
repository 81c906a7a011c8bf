// SPDX-License-Identifier: MIT
// Grid: directions, stacks, sizes of samples, sides, names, errors, threads.
#include "tests/structures/md_cells.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::distance;
using test::MdLstmByOperations;
using test::message_of;
using test::random_tensor;

constexpr double kClose = 1e-12;

std::vector<std::string> names(const auto& model) {
  std::vector<std::string> result;
  for (const NamedVar& p : parameters(model)) result.push_back(p.name);
  return result;
}

// The same weights in all cells.
void share(const MdLstm& grid) {
  for (std::size_t i = 1; i < grid.cells().size(); ++i) {
    const ParameterList from = parameters(grid.cells()[0]), to = parameters(grid.cells()[i]);
    for (std::size_t k = 0; k < from.size(); ++k) to[k].var.set_value(from[k].var.value().clone());
  }
}

// x with the order reversed in each dimension whose digit is 1.
Tensor flipped(const Tensor& x, const std::string& direction) {
  Var result(x);
  for (std::size_t d = 0; d < direction.size(); ++d) {
    if (direction[d] == '1') result = flip(result, static_cast<int>(d));
  }
  return result.value();
}

TEST_CASE("each direction is: flip, run from the first corner, flip back") {
  for (const int D : {1, 2, 3, 4}) {
    Random random(1);
    const std::vector<std::string> all = all_directions(D);
    const MdLstm grid(
        {.input = 2, .hidden = 3, .dimensions = D, .directions = all, .dtype = DType::float64},
        random);
    const MdLstm plain({.input = 2, .hidden = 3, .dimensions = D, .dtype = DType::float64}, random);
    share(grid);
    load_state_dict(plain, [&] {
      StateDict saved;
      for (const NamedVar& p : parameters(grid.cells()[0]))
        saved.push_back({p.name + "_l0", p.var.value()});
      return saved;
    }());
    const std::int64_t axes[] = {3, 2, 3, 2, 0, 0};
    Shape shape(std::span(axes, static_cast<std::size_t>(D + 2)));
    shape[D] = 2, shape[D + 1] = 2;
    const Tensor xs = random_tensor(shape, 3);
    const Tensor ys = grid(Var(xs)).ys.value();
    REQUIRE(ys.dim(-1) == 3 * static_cast<std::int64_t>(all.size()));
    for (std::size_t r = 0; r < all.size(); ++r) {
      CAPTURE(all[r]);
      const Tensor expected = flipped(plain(Var(flipped(xs, all[r]))).ys.value(), all[r]);
      const auto first = 3 * static_cast<std::int64_t>(r);
      CHECK(distance(ys.slice(-1, first, first + 3), expected) < kClose);
    }
  }
}

TEST_CASE("directions stand side by side or are added, and the next layer reads them") {
  CHECK(all_directions(2) == std::vector<std::string>{"00", "01", "10", "11"});
  const std::vector<std::string> two = {"01", "10"};
  Random random(1), same(1);
  const GridOptions options{.input = 2, .hidden = 3, .directions = two, .dtype = DType::float64};
  GridOptions added = options;
  added.sum_directions = true;
  const MdLstm beside(options, random), sum(added, same);
  const Var xs(random_tensor({3, 4, 2, 2}, 3));
  const Tensor ys = beside(xs).ys.value();
  const Var expected = Var(ys.slice(-1, 0, 3)) + Var(ys.slice(-1, 3, 6));
  CHECK(distance(sum(xs).ys.value(), expected.value()) < kClose);
  CHECK(beside.output_size() == 6);
  CHECK(sum.output_size() == 3);

  Random again(2);
  GridOptions stack = options;
  stack.layers = 2;
  const MdLstm layers(stack, again);
  CHECK(layers.cells()[2].weight_ih.shape() == Shape{15, 6});
  CHECK(names(layers) ==
        std::vector<std::string>{"weight_ih_l0_r01", "weight_hh_l0_r01", "bias_ih_l0_r01",
                                 "weight_ih_l0_r10", "weight_hh_l0_r10", "bias_ih_l0_r10",
                                 "weight_ih_l1_r01", "weight_hh_l1_r01", "bias_ih_l1_r01",
                                 "weight_ih_l1_r10", "weight_hh_l1_r10", "bias_ih_l1_r10"});
  Random own(3);
  const MdLstm line({.input = 1, .hidden = 1, .dimensions = 1, .directions = {"0", "1"}}, own,
                    {.peepholes = true});
  CHECK(names(line)[3] == "weight_ch_l0");
  CHECK(names(line)[7] == "weight_ch_l0_reverse");
}

TEST_CASE("weights are saved and loaded by name") {
  Random random(1);
  const GridOptions options{.input = 2, .hidden = 3, .directions = all_directions(2), .layers = 2};
  const MdLstm one(options, random), other(options, random);
  const Var xs(random_tensor({3, 4, 2, 2}, 3, DType::float32));
  const Tensor ys = one(xs).ys.value();
  CHECK(distance(ys, other(xs).ys.value()) > 1e-3);
  load_state_dict(other, state_dict(one));
  CHECK(test::same_bits(ys, other(xs).ys.value()));
}

TEST_CASE("a sample of a size of its own gets what it gets alone, and padding is not used") {
  Random random(1);
  const GridOptions options{.input = 2,
                            .hidden = 3,
                            .directions = all_directions(2),
                            .layers = 2,
                            .dtype = DType::float64};
  const MdLstm grid(options, random);
  const std::vector<std::int64_t> sizes = {4, 3, 2, 3, 1, 1, 0, 3, 3, 2};
  const Tensor given = random_tensor({4, 3, 5, 2}, 3);
  const auto inside = [&](std::int64_t row, std::int64_t column, std::int64_t n) {
    return row < sizes[static_cast<std::size_t>(2 * n)] &&
           column < sizes[static_cast<std::size_t>(2 * n + 1)];
  };
  Tensor padded = given.clone();
  for (std::int64_t row = 0; row < 4; ++row) {
    for (std::int64_t column = 0; column < 3; ++column) {
      for (std::int64_t n = 0; n < 5; ++n) {
        if (!inside(row, column, n)) padded.select(0, row).select(0, column).select(0, n).fill(NAN);
      }
    }
  }
  const Var xs = parameter(padded);
  Tape tape;
  const Var ys = grid(xs, {.sizes = sizes}).ys;
  tape.backward(sum(square(ys)));
  const Tensor dx = xs.grad().value();
  for (std::int64_t n = 0; n < 5; ++n) {
    CAPTURE(n);
    const std::int64_t rows = sizes[static_cast<std::size_t>(2 * n)],
                       columns = sizes[static_cast<std::size_t>(2 * n + 1)];
    const auto of_sample = [&](const Tensor& x) {
      return x.slice(0, 0, rows).slice(1, 0, columns).slice(2, n, n + 1);
    };
    if (rows > 0) {
      const PauseRecording pause;
      const Tensor alone = grid(Var(of_sample(given).contiguous())).ys.value();
      CHECK(distance(of_sample(ys.value()), alone) < kClose);
    }
    for (std::int64_t row = 0; row < 4; ++row) {
      for (std::int64_t column = 0; column < 3; ++column) {
        if (inside(row, column, n)) continue;
        const auto cell = [&](const Tensor& x) {
          return sum(abs(Var(x.select(0, row).select(0, column).select(0, n)))).item();
        };
        CHECK(cell(ys.value()) == 0);
        CHECK(cell(dx) == 0);
      }
    }
  }
}

TEST_CASE("a grid in two bands, the second from the states of the first, is the whole grid") {
  Random random(1), same(1);
  const GridOptions options{.input = 2, .hidden = 3, .layers = 2, .dtype = DType::float64};
  const MdLstm grid(options, random);
  const Grid<MdLstmByOperations> naive(options, same);
  const Var xs(random_tensor({5, 4, 2, 2}, 3));
  const auto check = [&](const auto& model) {
    const auto whole = model(xs, {.all_parts = true});
    CHECK(test::same_bits(whole.states[1][0].value(), whole.ys.value()));
    const auto upper = model(slice(xs, 0, 0, 2), {.all_parts = true});
    std::vector<State<2>> sides;
    for (const State<2>& state : upper.states) {
      State<2> side;
      for (std::size_t k = 0; k < 2; ++k) {
        const Var left(Tensor::zeros({3, 2, 3}, DType::float64));  // of dimension 1: zeros
        side[k] = join_sides(std::array{select_index(state[k], 0, 1), left});
      }
      sides.push_back(side);
    }
    const auto lower = model(slice(xs, 0, 2, 5), {.sides = sides, .all_parts = true});
    CHECK(distance(lower.ys.value(), whole.ys.value().slice(0, 2, 5)) < kClose);
    CHECK(distance(lower.states[0][1].value(), whole.states[0][1].value().slice(0, 2, 5)) < kClose);
  };
  check(grid);
  check(naive);
}

TEST_CASE("gradients of the sides of a grid") {
  Random random(1);
  const MdLstm grid({.input = 1, .hidden = 2, .directions = {"10"}, .dtype = DType::float64},
                    random);
  ParameterList list;
  PoolVector<Var> parts;
  for (std::uint64_t k = 0; k < 2; ++k) {
    const Var above = parameter(random_tensor({2, 1, 2}, 10 + k));
    const Var left = parameter(random_tensor({3, 1, 2}, 20 + k));
    list.push_back({"above " + std::to_string(k), above});
    list.push_back({"left " + std::to_string(k), left});
  }
  const Var xs(random_tensor({3, 2, 1, 1}, 3));
  const GradcheckReport report = gradcheck(
      [&] {
        const std::array sides{State<2>(join_sides(std::array{list[0].var, list[1].var}),
                                        join_sides(std::array{list[2].var, list[3].var}))};
        return grid(xs, {.sides = sides}).ys;
      },
      list, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("results have the same bits for any number of threads") {
  Random random(1);
  const MdLstm grid({.input = 5, .hidden = 40, .directions = all_directions(2)}, random);
  const std::vector<std::int64_t> sizes = {9, 8, 3, 8, 9, 1};
  const Var xs = parameter(random_tensor({9, 8, 3, 5}, 3, DType::float32));
  for (const bool ragged : {false, true}) {
    const auto outcome = [&](int threads) {
      const test::Threads scope(threads);
      Tape tape;
      const Var ys = grid(xs, {.sizes = ragged ? sizes : std::vector<std::int64_t>{}}).ys;
      tape.backward(sum(square(ys)));
      PoolVector<Tensor> result{ys.value().clone()};
      for (const NamedVar& p : parameters(grid)) {
        result.push_back(p.var.grad().value().clone());
        p.var.zero_grad();
      }
      return result;
    };
    const PoolVector<Tensor> one = outcome(1), three = outcome(3);
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(test::same_bits(one[i], three[i]));
  }
}

TEST_CASE("mistakes in the use of a grid throw") {
  Random random(1);
  const auto make = [&](const GridOptions& options) {
    return message_of<Error>([&, options] { MdLstm(options, random); });
  };
  CHECK(make({.input = 1, .hidden = 1, .directions = {"0"}}) ==
        "grid: the direction \"0\" is not 2 digits of 0 and 1; give a digit for each dimension, 1 "
        "where it runs from last to first");
  CHECK(make({.input = 1, .hidden = 1, .directions = {"00", "01", "00"}}) ==
        "grid: the direction \"00\" was given twice; give each once");
  CHECK(make({.input = 1, .hidden = 1, .layers = 0}) == "grid: layers is 0, expected 1 or more");
  CHECK(make({.input = 1, .hidden = 1, .dropout = 1}) == "grid: dropout is 1, expected 0 <= p < 1");
  const MdLstm grid({.input = 2, .hidden = 2}, random);
  const Var xs(Tensor::zeros({3, 2, 2, 2}));
  const auto run = [&](const std::function<void()>& work) { return message_of<Error>(work); };
  CHECK(run([&] {
          grid(Var(Tensor::zeros({3, 2, 2})));
        }) == "grid: xs is [3, 2, 2], expected 4 axes: the sizes of 2 dimensions, N, I");
  CHECK(run([&] { MdLstm()(xs); }) ==
        "grid: the layers were made by the default constructor and have no weights; construct "
        "them with options first");
  CHECK(run([&] {
          grid.rows(Var(Tensor::zeros({5, 2})), {2, 3});
        }) ==
        "grid: xs has the rows [5, 2], expected [6 N, I] with N of 1 or more for the cells of a "
        "grid [2, 3]");
  CHECK(run([&] {
          grid.rows(Var(Tensor::zeros({6, 2})), {6});
        }) == "grid: the sizes [6] have 1 dimensions, the cells have 2");
  CHECK(run([&] {
          grid(Var(Tensor::zeros({3, 0, 2, 2})));
        }) == "grid: the sizes are [3, 0], expected 1 or more");
  const std::vector<std::int64_t> few = {3, 2, 3}, large = {3, 2, 4, 2};
  CHECK(test::contains(run([&] { grid(xs, {.sizes = few}); }), "3 sample sizes were given"));
  CHECK(test::contains(run([&] { grid(xs, {.sizes = large}); }),
                       "the size 4 of sample 1 in dimension 0 is outside 0..3"));
  const std::array<State<2>, 2> two{};
  CHECK(run([&] { grid(xs, {.sides = two}); }) ==
        "grid: 2 states of sides were given, expected one for each layer and direction: 1");
  const Var short_side(Tensor::zeros({9, 2}));
  const std::array<State<2>, 1> short_sides{State<2>(short_side, short_side)};
  CHECK(test::contains(run([&] { grid(xs, {.sides = short_sides}); }),
                       "part 0 of the initial state is [9, 2], expected [10, 2]"));
  Random same(1);
  const Grid<MdLstmByOperations> naive({.input = 2, .hidden = 2}, same);
  CHECK(run([&] { naive(xs, {.sides = short_sides}); }) ==
        "grid: part 0 of the states outside of the grid is [9, 2], expected [10, 2]");
  CHECK(
      test::contains(run([&] {
                       join_sides(std::array{short_side, Var()});
                     }),
                     "join_sides: side 1 is undefined, expected [sizes of the other dimensions.., "
                     "N, 2]"));
}

}  // namespace
}  // namespace tapeloop::nn
