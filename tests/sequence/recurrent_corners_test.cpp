// SPDX-License-Identifier: MIT
// Steps and orders that are rarely written: gradients by two threads where values of different
// widths meet, and second order where a part is a constant, a formula reads parameters alone, or
// zeros stand beside given states.
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

struct Curve {
  static constexpr const char* name = "curve";
  TL_HD auto operator()(auto a) const { return tanh(a); }
};
struct Gated {
  static constexpr const char* name = "gated";
  TL_HD auto operator()(auto a, auto b) const { return tanh(a) * sigmoid(b) + 0.1 * a; }
};
struct Mixed {
  static constexpr const char* name = "mixed";
  TL_HD auto operator()(auto a, auto b, auto c) const {
    return outputs(tanh(a + b) * sigmoid(c), tanh(b * c) - 0.3 * a);
  }
};

Var drawn(const Shape& shape, std::uint64_t seed, DType dtype = DType::float64,
          double limit = 1.0) {
  return parameter(random_tensor(shape, seed, dtype, -limit, limit));
}

// The gradients of the squares of all results have the same bits for one and for two threads.
void check_threads(const Recurrence& recurrence, const Var& x, const std::vector<Var>& initial,
                   const std::vector<std::int64_t>& sizes, const Schedule& schedule,
                   const std::vector<Var>& parameters) {
  std::vector<Var> expected;
  for (int run = 0; run < 12; ++run) {
    const Threads threads(run == 0 ? 1 : 2);
    Tape tape;
    const auto result = recurrent(recurrence, x * 1.0, initial, sizes, schedule);
    Var loss = sum(square(result.hs));
    for (std::size_t k = 1; k < result.last.size(); ++k) loss = loss + sum(square(result.last[k]));
    const std::vector<Var> found = tape.gradient(loss, parameters);
    if (run == 0) {
      expected = found;
      continue;
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(same_bits(found[i].value(), expected[i].value()));
    }
  }
}

// First derivatives that are calculated as one operation, and those that can be differentiated.
void check_orders(Tape& tape, const Var& loss, const std::vector<Var>& parameters) {
  const std::vector<Var> one = tape.gradient(loss, parameters, {.retain = true});
  const std::vector<Var> by_operations = tape.gradient(loss, parameters, {.create_graph = true});
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(distance(by_operations[i].value(), one[i].value()) < 1e-11);
  }
}

}  // namespace

TEST_CASE("threads agree where a layer norm and a product read a part of another width") {
  constexpr std::int64_t H = 128, N = 48, T = 4;
  const DType dtype = DType::float32;
  const Var p = drawn({2 * H}, 1, dtype), u = drawn({2 * H, 2 * H}, 2, dtype, 0.1);
  const Var x = drawn({T * N, 2 * H}, 3, dtype);
  Recurrence r;
  const auto s = r.stage(Mixed{}, of::unit(p) + of::product(u, of::state(1)), of::state(0));
  r.next({s[0], r.value(of::layer_norm(of::state(1), Var(), Var(), 1, 0.1))});
  const std::vector<Var> initial = {Var(Tensor::zeros({N, H}, dtype)),
                                    Var(Tensor::zeros({N, 2 * H}, dtype))};
  check_threads(r, x, initial, {H, 2 * H}, Schedule::sequences(T, N), {u, x, p});
  std::vector<std::uint8_t> resets(static_cast<std::size_t>(T * N), 0);
  for (std::size_t i = static_cast<std::size_t>(N); i < resets.size(); i += 3) resets[i] = 1;
  check_threads(r, x, initial, {H, 2 * H}, Schedule::sequences(T, N, {.resets = resets}),
                {u, x, p});
}

TEST_CASE("threads agree where a step leaves out columns of its input") {
  constexpr std::int64_t H = 128, N = 48, T = 4;
  const DType dtype = DType::float32;
  const Var w = drawn({3 * H, H}, 4, dtype, 0.1), x = drawn({T * N, 5 * H}, 5, dtype);
  Recurrence r;
  const auto s = r.stage(Mixed{}, of::input(H, 3 * H) + of::product(w));
  r.next({s[0]});
  check_threads(r, x, {Var(Tensor::zeros({N, H}, dtype))}, {H}, Schedule::sequences(T, N), {w, x});
}

TEST_CASE("a part of the state may be a constant in the second order") {
  const Var w = drawn({3, 3}, 6), x(random_tensor({4, 2, 6}, 7, DType::float64, -1, 1));
  Recurrence r;
  const auto h = r.stage(Curve{}, of::input(0, 3) + of::product(w));
  const auto m = r.stage(Curve{}, of::input(3, 3));
  r.next({h[0], m[0]});
  const Var zeros(Tensor::zeros({2, 3}, DType::float64));
  Tape tape;
  const auto y = recurrent(r, x, {zeros, zeros});
  const Var one(Tensor::full({}, 1, DType::float64));
  check_orders(tape, sum(square(y.last[0])) + sum(y.last[1] * one), {w});
}

TEST_CASE("a formula may read parameters alone") {
  const std::vector<std::int64_t> begins = {0, 2, 2}, neighbours = {1, 1};
  const Schedule graph = Schedule::graph({begins, neighbours});
  const Var p = drawn({2}, 8), x = drawn({2, 2}, 9), s = drawn({2, 2}, 10);
  const std::vector<std::int64_t> sizes = {2};
  Recurrence r;
  const auto d = r.stage(Curve{}, of::unit(p));
  const auto e = r.stage(Gated{}, of::edge_state(0), d[0]);
  const auto h = r.stage(Gated{}, of::input(), of::sum_of_edges(e[0]));
  r.next({h[0]});
  Tape tape;
  const std::vector<Var> initial = {s};
  check_orders(tape, sum(square(recurrent(r, x, initial, sizes, graph).hs)), {p, x, s});
  Recurrence alone;
  alone.next({alone.stage(Curve{}, of::unit(p))[0]});
  CHECK(alone.step(Var(), std::vector<Var>{s})[0].shape() == Shape{2, 2});
}

TEST_CASE("zeros of a tree stand beside given states of a grid") {
  const std::vector<std::int64_t> children = {-1, -1}, sample_sizes = {1, 1};
  const std::vector<Schedule> parts = {Schedule::trees_by_children(children, 2),
                                       Schedule::grid({2, 2}, 1, {.sample_sizes = sample_sizes})};
  const Schedule both = Schedule::join(parts);
  const Var x = drawn({both.nodes(), 3}, 11), s = drawn({both.initial_rows(), 3}, 12);
  const std::vector<std::int64_t> sizes = {3};
  Recurrence r;
  r.next({r.stage(Mixed{}, of::input(), of::state(0, 0), of::state(0, 1))[0]});
  Tape tape;
  const std::vector<Var> initial = {s};
  check_orders(tape, sum(square(recurrent(r, x, initial, sizes, both).hs)), {x, s});
}

TEST_CASE("a step of parameters and states alone runs without an input") {
  const Var u = drawn({3}, 13);
  const std::vector<std::int64_t> sizes = {3};
  const std::vector<Var> none(1);
  Recurrence r;
  r.next({r.stage(Gated{}, of::unit(u), of::state(0))[0]});
  const Tensor hs = recurrent(r, Var(), none, sizes, Schedule::sequences(2, 1)).hs.value();
  CHECK(hs.shape() == Shape{2, 3});
  const double a = u.value().at({0}), first = std::tanh(a) * 0.5 + 0.1 * a;
  CHECK(hs.at({0, 0}) == doctest::Approx(first).epsilon(1e-12));
}

}  // namespace tapeloop::test
