// SPDX-License-Identifier: MIT
// Dual numbers: their types carry no partial that is zero, and what they give is the gradient written by hand. Loops over
// tensors are in pointwise_test.cpp.
#include "tests/support.h"

namespace tapeloop::test {
namespace {

using Values = std::vector<double>;

Var weights(const Shape& shape, std::uint64_t seed) {
  return parameter(random_tensor(shape, seed));
}

struct LstmGates {
  static constexpr const char* name = "lstm_gates";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c) const {
    auto next = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(next), next);
  }
};

}  // namespace

TEST_CASE("the gradient of the LSTM formula equals the one written by hand") {
  constexpr std::int64_t kRows = 5, kHidden = 9;
  const Var z = weights({kRows, 4 * kHidden}, 1);
  const Var c = weights({kRows, kHidden}, 2);
  const Tensor dh = random_tensor({kRows, kHidden}, 3);
  const Tensor dc = random_tensor({kRows, kHidden}, 4);
  Values dz(static_cast<std::size_t>(z.numel()));
  Values dc_before(static_cast<std::size_t>(c.numel()));
  for (std::int64_t n = 0; n < kRows; ++n) {
    for (std::int64_t k = 0; k < kHidden; ++k) {
      const auto gate = [&](std::int64_t g) { return z.value().at({n, g * kHidden + k}); };
      const double i = 1 / (1 + std::exp(-gate(0)));
      const double f = 1 / (1 + std::exp(-gate(1)));
      const double g = std::tanh(gate(2));
      const double o = 1 / (1 + std::exp(-gate(3)));
      const double before = c.value().at({n, k});
      const double t = std::tanh(f * before + i * g);
      const double dnext = dc.at({n, k}) + dh.at({n, k}) * o * (1 - t * t);
      const double by_gate[] = {dnext * g * i * (1 - i), dnext * before * f * (1 - f),
                                dnext * i * (1 - g * g), dh.at({n, k}) * t * o * (1 - o)};
      for (std::int64_t m = 0; m < 4; ++m)
        dz[static_cast<std::size_t>((n * 4 + m) * kHidden + k)] = by_gate[m];
      dc_before[static_cast<std::size_t>(n * kHidden + k)] = dnext * f;
    }
  }
  Tape tape;
  const std::array<Var, 2> y = pointwise(LstmGates{}, columns<4>(z), c);
  const std::vector<Var> gradients =
      tape.gradient(sum(y[0] * Var(dh)) + sum(y[1] * Var(dc)), {z, c});
  CHECK(distance(gradients[0].value().to_vector<double>(), dz) < 1e-12);
  CHECK(distance(gradients[1].value().to_vector<double>(), dc_before) < 1e-12);
}

TEST_CASE("a dual number has exactly the partials that it depends on: the others do not exist") {
  using X = Dual<double, 1>;
  using Y = Dual<double, 2>;
  using Z = Dual<double, 4>;
  static_assert(sizeof(X) == 2 * sizeof(double));
  static_assert(std::is_same_v<decltype(X{} * Z{}), Dual<double, 5>>);
  static_assert(sizeof(X{} * Z{}) == 3 * sizeof(double));
  static_assert(std::is_same_v<decltype(X{} + 1.0), X>);
  static_assert(std::is_same_v<decltype(tanh(X{}) * X{}), X>);
  static_assert(std::is_same_v<decltype(sign(X{}) * Y{}), Y>);
  static_assert(std::is_same_v<decltype(select(X{} > Z{}, Y{}, 0.0)), Y>);
  static_assert(std::is_same_v<decltype(max(X{}, Z{})), Dual<double, 5>>);
  using Gates =
      decltype(LstmGates{}(seed<1>(0.5), seed<2>(0.5), seed<4>(0.5), seed<8>(0.5), seed<16>(0.5)));
  static_assert(std::is_same_v<decltype(Output<0, Dual<double, 31>>{}.value),
                               std::remove_cvref_t<decltype(output<0>(Gates{}))>>);
  static_assert(std::is_same_v<std::remove_cvref_t<decltype(output<1>(Gates{}))>,
                               Dual<double, 23>>);  // c': not o
  static_assert(kArity<LstmGates> == 5 && kResultCount<LstmGates> == 2);
  static_assert(kArity<Backward<LstmGates>> == 7 && kResultCount<Backward<LstmGates>> == 5);
  const auto y = seed<1>(3.0) * seed<4>(5.0) + 2.0;
  CHECK(y.value == 17);
  CHECK(y.partial[0] == 5);
  CHECK(y.partial[1] == 3);
}

}  // namespace tapeloop::test
