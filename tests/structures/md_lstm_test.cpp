// SPDX-License-Identifier: MIT
// MdLstmCell: every variant in one to five dimensions against the same step by operations,
// gradients, and cells that are equal to others.
#include "tests/structures/md_cells.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::distance;
using test::kMdKinds;
using test::MdKind;
using test::MdLstmByOperations;
using test::random_tensor;

constexpr double kClose = 1e-12;

Shape small_sizes(int D) {
  const std::int64_t sizes[] = {3, 2, 2, 1, 2};
  return Shape(std::span(sizes, static_cast<std::size_t>(D)));
}

void set(const Var& parameter, const Tensor& value) {
  REQUIRE(parameter.shape() == value.shape());
  parameter.set_value(value.clone());
}

// Rows first .. first + count - 1 of a weight, and columns likewise.
Tensor part(const Var& w, std::int64_t first, std::int64_t count) {
  return w.value().slice(0, first, first + count);
}

TEST_CASE("every variant of MdLstmCell equals its step by operations, in one to five dimensions") {
  for (const MdKind& kind : kMdKinds) {
    for (int D = 1; D <= 5; ++D) {
      CAPTURE(std::string(kind.name));
      CAPTURE(D);
      const std::vector<std::string> all = all_directions(D);
      const GridOptions options{.input = 3,
                                .hidden = 3,
                                .dimensions = D,
                                .directions = {all.front(), all.back()},
                                .layers = 2,
                                .dtype = DType::float64};
      Random random(1), same(1);
      const MdLstm grid(options, random, kind.options);
      const Grid<MdLstmByOperations> naive(options, same, kind.options);
      const Shape sizes = small_sizes(D);
      const Var xs = parameter(random_tensor({sizes.numel() * 2, 3}, 5));
      const auto outcome = [&](const auto& model) {
        Tape tape;
        const auto result = model.rows(xs, sizes, {.all_parts = true});
        PoolVector<Tensor> values{result.ys.value()};
        Var loss = sum(result.ys * Var(random_tensor(result.ys.shape(), 6)));
        for (const State<2>& state : result.states) {
          values.push_back(state[1].value());
          loss = loss + sum(state[1] * Var(random_tensor(state[1].shape(), 7)));
        }
        tape.backward(loss);
        values.push_back(xs.grad().value().clone());
        for (const NamedVar& p : parameters(model)) values.push_back(p.var.grad().value());
        xs.zero_grad();
        return values;
      };
      const PoolVector<Tensor> one = outcome(grid), other = outcome(naive);
      REQUIRE(one.size() == other.size());
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(distance(one[i], other[i]) < kClose);
    }
  }
}

TEST_CASE("gradients of MdLstmCell of first and second order") {
  for (const MdKind& kind : kMdKinds) {
    for (const int D : {1, 2, 3, 5}) {
      CAPTURE(std::string(kind.name));
      CAPTURE(D);
      Random random(3);
      const MdLstm grid({.input = 2, .hidden = 2, .dimensions = D, .dtype = DType::float64}, random,
                        kind.options);
      ParameterList list = parameters(grid);
      const Shape sizes = D == 5 ? Shape{2, 1, 1, 2, 1} : small_sizes(D);
      const Var xs = parameter(random_tensor({sizes.numel(), 2}, 9));
      list.push_back({"xs", xs});
      const GradcheckReport report = gradcheck(
          [&] {
            const auto result = grid.rows(xs, sizes, {.all_parts = true});
            return std::vector<Var>{result.ys, result.states[0][1]};
          },
          list, {.second_order = true});
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

// The weights of `from` in the parameters of `to`: gates are rows of H, b_ih + b_hh is one bias.
void copy_lstm(const LstmCell& from, const MdLstmCell& to) {
  set(to.weight_ih, from.w.weight_ih.value());
  set(to.weight_hh, from.w.weight_hh.value());
  set(to.bias_ih, (from.w.bias_ih + from.w.bias_hh).value());
}

TEST_CASE("MdLstmCell in one dimension is the LSTM, in both directions: standard, mean, stable") {
  for (const MdVariant variant : {MdVariant::standard, MdVariant::mean, MdVariant::stable}) {
    Random random(2);
    const Lstm lstm({.input = 3, .hidden = 4, .bidirectional = true, .dtype = DType::float64},
                    random);
    const MdLstm grid({.input = 3,
                       .hidden = 4,
                       .dimensions = 1,
                       .directions = all_directions(1),
                       .dtype = DType::float64},
                      random, {.variant = variant});
    for (std::size_t i = 0; i < 2; ++i) {
      const MdLstmCell& cell = grid.cells()[i];
      if (variant != MdVariant::stable) {
        copy_lstm(lstm.cells()[i], cell);
        continue;
      }
      const GateWeights& w = lstm.cells()[i].w;  // any weights of the mean of one predecessor
      set(cell.weight_ih, concat({w.weight_ih, Var(part(cell.weight_ih, 16, 4))}, 0).value());
      set(cell.weight_hh, concat({w.weight_hh, Var(part(cell.weight_hh, 16, 4))}, 0).value());
      set(cell.bias_ih, concat({w.bias_ih + w.bias_hh, Var(part(cell.bias_ih, 16, 4))}, 0).value());
    }
    const Var xs(random_tensor({6, 2, 3}, 3));
    CHECK(distance(grid(xs).ys.value(), lstm(xs).ys.value()) < kClose);
  }
}

TEST_CASE("a grid of one column is the LSTM with the rows i f1 g o and the columns of h1") {
  Random random(4);
  constexpr std::int64_t H = 4;
  const MdLstm grid({.input = 3, .hidden = H, .dtype = DType::float64}, random);
  const LstmCell lstm({.input = 3, .hidden = H, .dtype = DType::float64}, random);
  const MdLstmCell& cell = grid.cells()[0];
  const auto rows = [&](const Var& w) {  // without f2
    return concat({Var(part(w, 0, 2 * H)), Var(part(w, 3 * H, 2 * H))}, 0).value();
  };
  set(lstm.w.weight_ih, rows(cell.weight_ih));
  set(lstm.w.weight_hh, rows(cell.weight_hh).slice(1, 0, H));
  set(lstm.w.bias_ih, rows(cell.bias_ih));
  set(lstm.w.bias_hh, Tensor::zeros({4 * H}, DType::float64));
  const Tensor xs = random_tensor({6, 1, 2, 3}, 3);
  const Tensor expected = unroll(lstm, Var(xs.select(1, 0))).ys.value();
  CHECK(distance(grid(Var(xs)).ys.value().select(1, 0), expected) < kClose);
}

TEST_CASE(
    "with the second forget gate shut and no weights along the second dimension each column "
    "is an LSTM") {
  Random random(5);
  constexpr std::int64_t H = 3;
  const MdLstm grid({.input = 2, .hidden = H, .dtype = DType::float64}, random);
  const LstmCell lstm({.input = 2, .hidden = H, .dtype = DType::float64}, random);
  const MdLstmCell& cell = grid.cells()[0];
  const auto rows = [&](const Tensor& w, double f2) {
    Shape shape = w.shape();
    shape[0] = H;
    return concat({Var(w.slice(0, 0, 2 * H)), Var(Tensor::full(shape, f2, DType::float64)),
                   Var(w.slice(0, 2 * H, 4 * H))},
                  0);
  };
  set(cell.weight_ih, rows(lstm.w.weight_ih.value(), 0).value());
  set(cell.bias_ih, rows((lstm.w.bias_ih + lstm.w.bias_hh).value(), -80).value());
  const Var h1 = rows(lstm.w.weight_hh.value(), 0);
  set(cell.weight_hh, concat({h1, Var(Tensor::zeros(h1.shape(), DType::float64))}, 1).value());
  const Tensor xs = random_tensor({5, 3, 2, 2}, 3);
  const Tensor ys = grid(Var(xs)).ys.value();
  for (std::int64_t column = 0; column < 3; ++column) {
    const Tensor expected = unroll(lstm, Var(xs.select(1, column))).ys.value();
    CHECK(distance(ys.select(1, column), expected) < kClose);
  }
}

TEST_CASE("swapping both dimensions with their weights swaps the outputs") {
  for (const MdKind& kind : kMdKinds) {
    CAPTURE(std::string(kind.name));
    Random random(6);
    constexpr std::int64_t H = 3;
    const GridOptions options{.input = 2, .hidden = H, .dtype = DType::float64};
    const MdLstm one(options, random, kind.options), other(options, random, kind.options);
    const MdLstmCell &from = one.cells()[0], &to = other.cells()[0];
    const bool mean =
        kind.options.variant == MdVariant::stable || kind.options.variant == MdVariant::leaky;
    const std::int64_t first = mean ? 4 : 1;  // the gate of dimension 0; the next is dimension 1's
    const auto swapped = [&](const Tensor& w, int axis, std::int64_t gate) {
      const std::int64_t size = w.dim(axis);
      return concat({Var(w.slice(axis, 0, gate * H)),
                     Var(w.slice(axis, (gate + 1) * H, (gate + 2) * H)),
                     Var(w.slice(axis, gate * H, (gate + 1) * H)),
                     Var(w.slice(axis, (gate + 2) * H, size))},
                    axis)
          .value();
    };
    set(to.weight_ih, swapped(from.weight_ih.value(), 0, first));
    set(to.bias_ih, swapped(from.bias_ih.value(), 0, first));
    set(to.weight_hh, swapped(swapped(from.weight_hh.value(), 0, first), 1, 0));
    if (from.weight_ch.defined())
      set(to.weight_ch, swapped(swapped(from.weight_ch.value(), 0, 0), 0, 2));
    const Var xs(random_tensor({4, 3, 2, 2}, 3));
    const Var ys = transpose(other(transpose(xs, 0, 1)).ys, 0, 1);
    CHECK(distance(one(xs).ys.value(), ys.value()) < kClose);
  }
}

TEST_CASE("peepholes of zeros change nothing") {
  for (const MdVariant variant : {MdVariant::standard, MdVariant::mean}) {
    const GridOptions options{.input = 2, .hidden = 5, .dimensions = 3, .dtype = DType::float64};
    Random random(7), same(7);
    const MdLstm plain(options, random, {.variant = variant});
    const MdLstm peepholes(options, same, {.variant = variant, .peepholes = true});
    set(peepholes.cells()[0].weight_ch, Tensor::zeros({35}, DType::float64));
    const Var xs(random_tensor({2, 3, 2, 2, 2}, 3));
    CHECK(distance(plain(xs).ys.value(), peepholes(xs).ys.value()) < kClose);
  }
}

TEST_CASE("the state of the leaky variant stays within 1, that of the sum grows") {
  const GridOptions options{.input = 1, .hidden = 2, .dtype = DType::float64};
  const Var xs(Tensor::full({12, 12, 1, 1}, 1, DType::float64));
  const auto largest = [&](MdVariant variant, std::int64_t forget) {
    Random random(8);
    const MdLstm grid(options, random, {.variant = variant});
    const Tensor bias = grid.cells()[0].bias_ih.value().clone();
    bias.slice(0, forget, forget + 2).fill(4);
    set(grid.cells()[0].bias_ih, bias);
    return max(abs(grid(xs, {.all_parts = true}).states[0][1]), Axes{0, 1, 2, 3}).item();
  };
  CHECK(largest(MdVariant::leaky, 0) <= 1);
  CHECK(largest(MdVariant::standard, 2) > 10);
}

TEST_CASE("options of MdLstmCell that do not fit throw") {
  Random random(1);
  const auto make = [&](const GridOptions& options, const MdLstmOptions& own = {}) {
    return test::message_of<Error>([&, options, own] { MdLstm(options, random, own); });
  };
  CHECK(make({.input = 2, .hidden = 2, .dimensions = 6}) ==
        "grid: 6 dimensions were given, expected 1 to 5");
  CHECK(make({.input = 2, .hidden = 0}) ==
        "md_lstm: input is 2, hidden 0; expected 1 or more, hidden at most 2^40");
  CHECK(make({.input = 2, .hidden = 2}, {.variant = MdVariant::stable, .peepholes = true}) ==
        "md_lstm: peepholes apply to the variants standard and mean; leave `peepholes` at false, "
        "or choose one of these");
  CHECK(make({.input = 2, .hidden = 2}, {.weights = MdWeights::softmax}) ==
        "md_lstm: the option `weights` applies to the variants stable and leaky; leave it at its "
        "default");
  const MdLstm grid({.input = 2, .hidden = 2}, random);
  test::check_contains(test::message_of<Error>([&] {
                         grid(Var(Tensor::zeros({2, 2, 1, 3})));
                       }),
                       "md_lstm: x has 3 features, the cell was built with input = 2");
}

}  // namespace
}  // namespace tapeloop::nn
