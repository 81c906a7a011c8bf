// SPDX-License-Identifier: MIT
// GridLstm: against a naive loop over blocks, gradients, and grids that are equal to other models.
#include <map>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::distance;
using test::message_of;
using test::random_tensor;

constexpr double kClose = 1e-12;
constexpr std::int64_t kH = 3, kN = 2;

void set(const Var& parameter, const Tensor& value) {
  REQUIRE(parameter.shape() == value.shape());
  parameter.set_value(value.clone());
}

// Random sides, as parameters.
GridSides sides_of(const GridLstm& grid, const Shape& sizes, std::int64_t n = kN,
                   std::uint64_t seed = 40) {
  GridSides in;
  const std::int64_t H = grid.options().hidden;
  for (int d = 0; d < sizes.rank(); ++d) {
    const Shape shape = sizes.removed(d).inserted(sizes.rank() - 1, n).inserted(sizes.rank(), H);
    const DType dtype = grid.options().dtype;
    in.h.push_back(parameter(random_tensor(shape, seed++, dtype)));
    const bool lstm = grid.options().cells[static_cast<std::size_t>(d)] == GridCellKind::lstm;
    in.m.push_back(lstm ? parameter(random_tensor(shape, seed++, dtype)) : Var());
  }
  return in;
}

std::vector<Var> all_of(const GridSides& sides) {
  std::vector<Var> result(sides.h.begin(), sides.h.end());
  for (const Var& m : sides.m) {
    if (m.defined()) result.push_back(m);
  }
  return result;
}

void check_equal(const GridSides& a, const GridSides& b) {
  const std::vector<Var> one = all_of(a), other = all_of(b);
  REQUIRE(one.size() == other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    REQUIRE(one[i].shape() == other[i].shape());
    CHECK(distance(one[i].value(), other[i].value()) < kClose);
  }
}

// Block by block, in row-major order, from the equations of the paper.
class Naive {
 public:
  Naive(const GridLstm& grid, const GridSides& in, const Shape& sizes)
      : grid_(grid), in_(in), sizes_(sizes), D_(sizes.rank()) {}

  GridSides run() {
    test::Index p(static_cast<std::size_t>(D_), 0);
    for (std::int64_t i = 0; i < sizes_.numel(); ++i) {
      std::int64_t rest = i;
      for (int d = D_; d-- > 0; rest /= sizes_[d]) p[at(d)] = rest % sizes_[d];
      block(p);
    }
    GridSides out;
    for (int d = 0; d < D_; ++d) {
      out.h.push_back(far(h_, d));
      out.m.push_back(lstm(d) ? far(m_, d) : Var());
    }
    return out;
  }

 private:
  using States = std::map<std::pair<int, test::Index>, Var>;
  static std::size_t at(int d) { return static_cast<std::size_t>(d); }
  bool lstm(int d) const { return grid_.options().cells[at(d)] == GridCellKind::lstm; }

  // What block p sees along dimension d.
  Var before(const States& states, const PoolVector<Var>& sides, int d, test::Index p) const {
    if (p[at(d)] > 0) {
      --p[at(d)];
      return states.at({d, p});
    }
    Var side = sides[at(d)];
    for (int e = 0; e < D_; ++e) {
      if (e != d) side = select_index(side, 0, p[at(e)]);
    }
    return side;
  }
  void block(const test::Index& p) {
    const GridLstmOptions& o = grid_.options();
    PoolVector<Var> h;
    for (int d = 0; d < D_; ++d) h.push_back(before(h_, in_.h, d, p));
    const auto run = [&](int d) {
      const std::int64_t k = o.untied < 0 ? 0 : p[at(o.untied)];
      const Var z = linear(concat(h, 1), grid_.weight(d, k), grid_.bias(d, k));
      switch (o.cells[at(d)]) {
        case GridCellKind::tanh: return tanh(z);
        case GridCellKind::relu: return relu(z);
        case GridCellKind::identity: return z;
        default: break;
      }
      const PoolVector<Var> g = chunk(z, 4, 1);
      const Var m = sigmoid(g[1]) * before(m_, in_.m, d, p) + sigmoid(g[0]) * tanh(g[2]);
      m_[{d, p}] = m;
      return o.output == GridOutput::tanh_om ? tanh(sigmoid(g[3]) * m) : sigmoid(g[3]) * tanh(m);
    };
    PoolVector<Var> made(at(D_));
    const auto listed = [&](int d) { return std::ranges::count(o.priority, d) > 0; };
    for (int d = 0; d < D_; ++d) {
      if (!listed(d)) made[at(d)] = run(d);
    }
    for (int d = 0; d < D_; ++d) {
      if (!listed(d)) h[at(d)] = made[at(d)];
    }
    for (const int d : o.priority) h[at(d)] = run(d);
    for (int d = 0; d < D_; ++d) h_[{d, p}] = h[at(d)];
  }
  Var far(const States& states, int d) const {
    PoolVector<Var> parts;  // std::map has the blocks in row-major order
    for (const auto& [key, value] : states) {
      if (key.first == d && key.second[at(d)] == sizes_[d] - 1) parts.push_back(value);
    }
    const Shape others = sizes_.removed(d);
    return reshape(stack(parts), others.inserted(D_ - 1, kN).inserted(D_, kH));
  }

  const GridLstm& grid_;
  const GridSides& in_;
  Shape sizes_;
  int D_;
  States h_, m_;
};

struct Row {
  const char* name;
  Shape sizes;
  GridLstmOptions options;
};

std::vector<Row> rows() {
  using enum GridCellKind;
  std::vector<Row> result = {
      {"depth alone", {4}, {.dimensions = 1}},
      {"depth alone, no LSTM", {3}, {.dimensions = 1, .cells = {relu}}},
      {"plane", {3, 4}, {.dimensions = 2}},
      {"one row", {1, 4}, {.dimensions = 2, .output = GridOutput::o_tanh_m}},
      {"priority", {3, 2}, {.dimensions = 2, .priority = {1}, .bias = true}},
      {"all have priority", {2, 3}, {.dimensions = 2, .priority = {1, 0}}},
      {"shared", {3, 2}, {.dimensions = 2, .shared = true, .bias = true}},
      {"tanh and LSTM", {2, 3}, {.dimensions = 2, .cells = {tanh, lstm}, .bias = true}},
      {"identity with priority",
       {3, 3},
       {.dimensions = 2, .cells = {lstm, identity}, .priority = {1}}},
      {"relu, shared", {2, 2}, {.dimensions = 2, .cells = {relu, relu}, .shared = true}},
      {"untied depth", {3, 2}, {.dimensions = 2, .untied = 1, .untied_size = 2, .bias = true}},
      {"untied time, shared",
       {3, 2},
       {.dimensions = 2, .shared = true, .untied = 0, .untied_size = 3}},
      {"space", {2, 3, 2}, {.dimensions = 3}},
      {"space, everything",
       {2, 2, 3},
       {.dimensions = 3,
        .cells = {lstm, tanh, lstm},
        .priority = {2, 0},
        .untied = 2,
        .untied_size = 3,
        .output = GridOutput::o_tanh_m,
        .bias = true}},
      {"space, untied in the middle, shared",
       {2, 2, 2},
       {.dimensions = 3, .shared = true, .untied = 1, .untied_size = 2}},
      {"four dimensions", {2, 1, 2, 2}, {.dimensions = 4, .priority = {3}}},
  };
  for (Row& row : result) {
    row.options.hidden = kH;
    row.options.dtype = DType::float64;
  }
  return result;
}

TEST_CASE("a GridLstm equals a loop over its blocks, with gradients") {
  for (const Row& row : rows()) {
    CAPTURE(std::string(row.name));
    Random random(1);
    const GridLstm grid(row.options, random);
    const GridSides in = sides_of(grid, row.sizes);
    const auto outcome = [&](bool naive) {
      Tape tape;
      const GridSides out = naive ? Naive(grid, in, row.sizes).run() : grid(in, row.sizes);
      Var loss(Tensor::zeros({}, DType::float64));
      std::uint64_t seed = 70;
      std::vector<Tensor> result;
      for (const Var& x : all_of(out)) {
        loss = loss + sum(x * Var(random_tensor(x.shape(), seed++)));
        result.push_back(x.value());
      }
      tape.backward(loss);
      std::vector<Var> leaves = all_of(in);
      for (const NamedVar& p : parameters(grid)) leaves.push_back(p.var);
      for (const Var& leaf : leaves) {
        result.push_back(leaf.grad().value().clone());
        leaf.zero_grad();
      }
      return result;
    };
    const std::vector<Tensor> one = outcome(false), other = outcome(true);
    REQUIRE(one.size() == other.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      REQUIRE(one[i].shape() == other[i].shape());
      CHECK(distance(one[i], other[i]) < kClose);
    }
  }
}

TEST_CASE("gradients of a GridLstm of first and second order") {
  for (const Row& row : rows()) {
    CAPTURE(std::string(row.name));
    if (row.options.cells == std::vector{GridCellKind::relu}) continue;  // kinks
    Random random(3);
    GridLstmOptions options = row.options;
    options.hidden = 2;
    const GridLstm grid(options, random);
    const GridSides in = sides_of(grid, row.sizes, 1);
    ParameterList list = parameters(grid);
    for (const Var& side : all_of(in))
      list.push_back({"side " + std::to_string(list.size()), side});
    const GradcheckReport report =
        gradcheck([&] { return all_of(grid(in, row.sizes)); }, list, {.second_order = true});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("time x depth with an identity in depth and priority is the stacked LSTM") {
  constexpr std::int64_t kLayers = 3, kT = 5;
  Random random(2);
  const Lstm lstm({.input = kH, .hidden = kH, .layers = kLayers, .dtype = DType::float64}, random);
  const GridLstm grid({.hidden = kH,
                       .cells = {GridCellKind::lstm, GridCellKind::identity},
                       .priority = {1},
                       .untied = 1,
                       .untied_size = kLayers,
                       .output = GridOutput::o_tanh_m,
                       .bias = true,
                       .dtype = DType::float64},
                      random);
  const Tensor one = tril(Var(Tensor::full({kH, kH}, 1, DType::float64))).value();
  const Tensor unit = (Var(one) * transpose(Var(one))).value();  // the identity matrix
  for (std::int64_t k = 0; k < kLayers; ++k) {
    const GateWeights& w = lstm.cells()[static_cast<std::size_t>(k)].w;
    set(grid.weight(0, k), concat({w.weight_hh, w.weight_ih}, 1).value());
    set(grid.bias(0, k), (w.bias_ih + w.bias_hh).value());
    set(grid.weight(1, k),
        concat({Var(unit), Var(Tensor::zeros({kH, kH}, DType::float64))}, 1).value());
    set(grid.bias(1, k), Tensor::zeros({kH}, DType::float64));
  }
  const Var xs(random_tensor({kT, kN, kH}, 3));
  State<2> start;
  for (std::size_t k = 0; k < 2; ++k) start[k] = Var(random_tensor({kLayers, kN, kH}, 4 + k));
  const auto [ys, last] = lstm(xs, start);
  const GridSides out = grid({.h = {start[0], xs}, .m = {start[1]}}, {kT, kLayers});
  CHECK(distance(out.h[1].value(), ys.value()) < kClose);
  CHECK(distance(out.h[0].value(), last[0].value()) < kClose);
  CHECK(distance(out.m[0].value(), last[1].value()) < kClose);
}

TEST_CASE("in one dimension with o tanh(m) it is the LSTM without an input") {
  Random random(2);
  const GridLstm grid({.hidden = kH,
                       .dimensions = 1,
                       .output = GridOutput::o_tanh_m,
                       .bias = true,
                       .dtype = DType::float64},
                      random);
  const LstmCell lstm({.input = 1, .hidden = kH, .dtype = DType::float64}, random);
  set(lstm.w.weight_hh, grid.weight(0).value());
  set(lstm.w.bias_ih, grid.bias(0).value());
  set(lstm.w.bias_hh, Tensor::zeros({4 * kH}, DType::float64));
  const GridSides in = sides_of(grid, {6});
  const Var xs(Tensor::zeros({6, kN, 1}, DType::float64));
  const auto [ys, last] = unroll(lstm, xs, State<2>(in.h[0], in.m[0]));
  check_equal(grid(in, {6}), {.h = {last[0]}, .m = {last[1]}});
}

TEST_CASE("shared weights are equal weights, and untied equal weights are tied ones") {
  Random random(2);
  const GridLstmOptions options{.hidden = kH, .bias = true, .dtype = DType::float64};
  GridLstmOptions shared = options, untied = options;
  shared.shared = true;
  untied.untied = 0;
  untied.untied_size = 3;
  const GridLstm grid(options, random), one(shared, random), layers(untied, random);
  for (std::int64_t k = 0; k < 3; ++k) {
    for (const int d : {0, 1}) {
      set(layers.weight(d, k), grid.weight(d).value());
      set(layers.bias(d, k), grid.bias(d).value());
    }
  }
  const Shape sizes{3, 4};
  const GridSides in = sides_of(grid, sizes);
  check_equal(layers(in, sizes), grid(in, sizes));
  for (const int d : {0, 1}) {
    set(grid.weight(d), one.weight(0).value());
    set(grid.bias(d), one.bias(0).value());
  }
  check_equal(one(in, sizes), grid(in, sizes));
}

TEST_CASE("swapping two dimensions swaps the sides") {
  Random random(2);
  const GridLstmOptions options{.hidden = kH, .dtype = DType::float64};
  const GridLstm grid(options, random), other(options, random);
  for (const int d : {0, 1}) {
    const Tensor& w = grid.weight(d).value();
    set(other.weight(1 - d),
        concat({Var(w.slice(1, kH, 2 * kH)), Var(w.slice(1, 0, kH))}, 1).value());
  }
  const GridSides in = sides_of(grid, {3, 4});
  const GridSides out = grid(in, {3, 4});
  check_equal(other({.h = {in.h[1], in.h[0]}, .m = {in.m[1], in.m[0]}}, {4, 3}),
              {.h = {out.h[1], out.h[0]}, .m = {out.m[1], out.m[0]}});
}

TEST_CASE("what leaves the side of time enters the next part of a sequence") {
  Random random(2);
  const GridLstm grid({.hidden = kH, .priority = {1}, .dtype = DType::float64}, random);
  const Var xs(random_tensor({6, kN, kH}, 3));
  const GridSides whole = grid({.h = {Var(), xs}, .m = {}}, {6, 3});
  const GridSides first = grid({.h = {Var(), slice(xs, 0, 0, 2)}, .m = {}}, {2, 3});
  const GridSides second = grid({.h = {first.h[0], slice(xs, 0, 2, 6)}, .m = {first.m[0]}}, {4, 3});
  CHECK(distance(second.h[1].value(), slice(whole.h[1], 0, 2, 6).value()) < kClose);
  CHECK(distance(second.m[0].value(), whole.m[0].value()) < kClose);
}

TEST_CASE("parameters of a GridLstm have names") {
  Random random(2);
  const auto names = [&](const GridLstmOptions& options) {
    std::vector<std::string> result;
    for (const NamedVar& p : parameters(GridLstm(options, random))) result.push_back(p.name);
    return result;
  };
  using Names = std::vector<std::string>;
  CHECK(names({.hidden = 1, .bias = true}) ==
        Names{"weight_d0", "bias_d0", "weight_d1", "bias_d1"});
  CHECK(names({.hidden = 1, .shared = true}) == Names{"weight_d0"});
  CHECK(names({.hidden = 1, .untied = 0, .untied_size = 2}) ==
        Names{"weight_d0_k0", "weight_d0_k1", "weight_d1_k0", "weight_d1_k1"});
}

TEST_CASE("mistakes in the use of a GridLstm throw") {
  Random random(2);
  const auto make = [&](const GridLstmOptions& options) {
    return message_of<Error>([&, options] { GridLstm(options, random); });
  };
  using enum GridCellKind;
  CHECK(make({.hidden = 1, .dimensions = 5}) ==
        "grid_lstm: 5 dimensions were given, expected 1 to 4");
  CHECK(make({}) == "grid_lstm: hidden is 0, expected 1 or more, at most 2^40");
  CHECK(make({.hidden = 1, .cells = {tanh}}) ==
        "grid_lstm: 1 kinds of cells were given for 2 dimensions; give one for each, or none");
  CHECK(make({.hidden = 1, .priority = {2}}) ==
        "grid_lstm: the priority dimension 2 must be one of 0 to 1, and be given once");
  CHECK(make({.hidden = 1, .priority = {1, 1}}) ==
        "grid_lstm: the priority dimension 1 must be one of 0 to 1, and be given once");
  CHECK(make({.hidden = 1, .untied = 1}) ==
        "grid_lstm: untied is 1 and untied_size 0; give a dimension from 0 to 1 and the size of "
        "the grid along it, or -1 and 0");
  CHECK(make({.hidden = 1, .cells = {lstm, relu}, .shared = true}) ==
        "grid_lstm: the dimensions share one weight, but some are LSTMs with four times as many "
        "rows; choose LSTMs for all or for none, or set `shared` to false");
  const GridLstm grid({.hidden = 2, .cells = {lstm, tanh}}, random);
  const GridLstm untied({.hidden = 2, .untied = 1, .untied_size = 3}, random);
  const Var side(Tensor::zeros({3, 2, 2}));
  const auto run = [&](const GridLstm& model, const GridSides& in, const Shape& sizes) {
    return message_of<Error>([&] { model(in, sizes); });
  };
  CHECK(run(grid, {.h = {side}, .m = {}}, {3}) ==
        "grid_lstm: the sizes are [3], expected 2 of 1 or more");
  CHECK(
      run(grid, {.h = {side}, .m = {}}, {2, 4}) ==
      "grid_lstm: side h of dimension 0 is [3, 2, 2], expected [4] and [N=2, 2]: the sizes of the "
      "other dimensions, the batch, H");
  CHECK(
      run(grid, {.h = {side, Var(Tensor::zeros({2, 5, 2}))}, .m = {}}, {2, 3}) ==
      "grid_lstm: side h of dimension 1 is [2, 5, 2], expected [2] and [N=2, 2]: the sizes of the "
      "other dimensions, the batch, H");
  CHECK(run(grid, {.h = {side}, .m = {Var(), side}}, {3, 3}) ==
        "grid_lstm: m was given for dimension 1, which is no LSTM; leave it undefined");
  CHECK(run(grid, {.h = {side, side, side}, .m = {}}, {3, 3}) ==
        "grid_lstm: 3 sides h and 0 sides m were given for 2 dimensions");
  CHECK(run(grid, {}, {3, 3}) ==
        "grid_lstm: no side was given, or a batch of 0; give at least one side");
  CHECK(run(untied, {.h = {side}, .m = {}}, {2, 4}) ==
        "grid_lstm: the sizes are [2, 4], but there are weights for 3 indices along dimension 1");
  CHECK(test::contains(run(GridLstm(), {.h = {side}, .m = {}}, {3, 3}),
                       "made by the default constructor"));
}

}  // namespace
}  // namespace tapeloop::nn
