// SPDX-License-Identifier: MIT
// Operations at their limits: ties, kinks, zeros, infinities, targets that are all ignored.
// ops_test.cpp checks other values, op_errors_test.cpp wrong calls.
#include "tests/support.h"

#include <cmath>
#include <limits>

namespace tapeloop::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Tensor indices(std::initializer_list<std::int64_t> values) {
  return Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}
Var vector(std::initializer_list<double> values) {
  return parameter(Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values));
}

// d(sum f(x))/dx and d2(sum f(x))/dx2 for an elementwise f.
using Derivatives = std::pair<std::vector<double>, std::vector<double>>;
Derivatives derivatives(const std::function<Var(const Var&)>& f, const Var& x) {
  Tape tape;
  const Var first = tape.gradient(sum(f(x)), {x}, {.create_graph = true})[0];
  std::vector<double> slopes = first.value().to_vector<double>();
  if (!first.requires_grad()) return {slopes, std::vector<double>(slopes.size(), 0.0)};
  return {slopes, tape.gradient(sum(first), {x})[0].value().to_vector<double>()};
}

}  // namespace

TEST_CASE("derivatives at kinks and at the ends of domains are the documented ones") {
  using Values = std::vector<double>;
  const Var zero = vector({0.0});
  const auto first = [](const std::function<Var(const Var&)>& f, const Var& x) {
    return derivatives(f, x).first;
  };
  CHECK(first([](const Var& x) { return relu(x); }, zero) == Values{0});
  CHECK(first([](const Var& x) { return abs(x); }, zero) == Values{0});
  CHECK(first([](const Var& x) { return leaky_relu(x, 0.2); }, zero) == Values{0.2});
  CHECK(first([](const Var& x) { return elu(x); }, zero) == Values{1});
  CHECK(first([](const Var& x) { return elu(x, 1.5); }, zero) == Values{1.5});
  CHECK(first([](const Var& x) { return elu(x); }, vector({800.0, -800.0})) == Values{1, 0});
  CHECK(first([](const Var& x) { return clamp(x, -1, 1); }, vector({-1.0, 1.0, 1.5, -2})) ==
        Values{1, 1, 0, 0});
  CHECK(first([](const Var& x) { return max(x, Var(Tensor::zeros({1}, DType::float64))); }, zero) ==
        Values{0.5});
  CHECK(first([](const Var& x) { return min(x, x); }, zero) == Values{1});
  CHECK(first([](const Var& x) { return max(x, {0}); }, vector({2, 1, 2})) == Values{0.5, 0, 0.5});
  CHECK(first([](const Var& x) { return norm(x); }, vector({0, 0})) == Values{0, 0});
  CHECK(distance(first([](const Var& x) { return norm(x); }, vector({3, 4})), Values{0.6, 0.8}) <
        1e-15);
}

TEST_CASE("powers have finite derivatives of both orders at zero where the true ones are") {
  using Values = std::vector<double>;
  const Var x = vector({0, 2});
  CHECK(derivatives([](const Var& v) { return pow(v, 0.0); }, x) == Derivatives{{0, 0}, {0, 0}});
  CHECK(derivatives([](const Var& v) { return pow(v, 1.0); }, x) == Derivatives{{1, 1}, {0, 0}});
  CHECK(derivatives([](const Var& v) { return pow(v, 2.0); }, x) == Derivatives{{0, 4}, {2, 2}});
  CHECK(derivatives([](const Var& v) { return pow(v, 3.0); }, x) == Derivatives{{0, 12}, {0, 12}});
  const Var exponents(Tensor::from<double>({2}, {0, 1}));
  CHECK(derivatives([&](const Var& v) { return pow(v, exponents); }, vector({0, 0})).first ==
        Values{0, 1});
  const Var base(Tensor::from<double>({3}, {0, 1, 2}));
  const Values slopes =
      derivatives([&](const Var& v) { return pow(base, v); }, vector({2, 2, 2})).first;
  CHECK(slopes[0] == 0);
  CHECK(slopes[1] == 0);
  CHECK(slopes[2] == doctest::Approx(4 * std::log(2.0)).epsilon(1e-14));
}

TEST_CASE("products with one, two or more zeros have the right gradient") {
  using Values = std::vector<double>;
  const auto gradient = [](const Var& x) {
    return derivatives([](const Var& v) { return prod(v, 0); }, x).first;
  };
  CHECK(gradient(vector({2, 0, 3})) == Values{0, 6, 0});
  CHECK(gradient(vector({2, 0, 0})) == Values{0, 0, 0});
  CHECK(gradient(vector({0})) == Values{1});
  CHECK(prod(vector({}), 0).item() == 1);
}

TEST_CASE("softmax, log_softmax and logsumexp are right for huge, equal and infinite logits") {
  using Values = std::vector<double>;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto row = [&](std::initializer_list<double> values) {
      return Var(
          Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values).to(dtype));
    };
    const double huge = dtype == DType::float32 ? 3e38 : 1.5e308;
    CHECK(softmax(row({1000, 1000})).value().to_vector<double>() == Values{0.5, 0.5});
    CHECK(softmax(row({huge, 0})).value().to_vector<double>() == Values{1, 0});
    CHECK(softmax(row({-huge, -huge})).value().to_vector<double>() == Values{0.5, 0.5});
    CHECK(softmax(row({-kInf, 3})).value().to_vector<double>() == Values{0, 1});
    CHECK(logsumexp(row({huge, 0}), {0}).item() == row({huge}).item());
    CHECK(logsumexp(row({-huge, -kInf}), {0}).item() == row({-huge}).item());
    CHECK(logsumexp(row({kInf, 0}), {0}).item() == kInf);
    CHECK(logsumexp(row({-kInf, -kInf}), {0}).item() == -kInf);
    CHECK(log_softmax(row({-kInf, 3})).value().to_vector<double>() == Values{-kInf, 0});
    CHECK(std::isnan(logsumexp(row({std::nan(""), 0}), {0}).item()));
  }
}

TEST_CASE("log_softmax and cross-entropy are as exact for logits around a million as around zero") {
  const Tensor small = Tensor::from<float>({2, 3}, {0, 1, -2, 3, 0, 0});
  const Tensor large = (Var(small) + 1048576.0).value();  // a sum that float32 holds exactly
  for (const double smoothing : {0.0, 0.1}) {
    const auto loss_and_gradient = [&](const Tensor& logits) {
      const Var x = parameter(logits);
      Tape tape;
      const Var loss = cross_entropy(x, indices({2, 0}), {.label_smoothing = smoothing});
      tape.backward(loss);
      std::vector<double> result = x.grad().value().to_vector<double>();
      result.push_back(loss.item());
      return result;
    };
    CHECK(loss_and_gradient(large) == loss_and_gradient(small));
  }
  CHECK(log_softmax(Var(large)).value().to_vector<double>() ==
        log_softmax(Var(small)).value().to_vector<double>());
}

TEST_CASE(
    "cross-entropy of ignored targets: NaN for the mean of none, 0 for their sum, gradient 0, "
    "infinities ignored") {
  const Var logits = parameter(random_tensor({3, 4}));
  const Tensor none = indices({-100, -100, -100});
  CHECK(std::isnan(cross_entropy(logits, none).item()));
  CHECK(cross_entropy(logits, none, {.reduce = Reduce::sum}).item() == 0);
  CHECK(cross_entropy(logits, indices({7, 7, 7}), {.ignore_index = 7, .reduce = Reduce::sum})
            .item() == 0);
  Tape tape;
  tape.backward(cross_entropy(logits, none, {.reduce = Reduce::sum}));
  CHECK(distance(logits.grad().value(), Tensor::zeros({3, 4}, DType::float64)) == 0);

  const std::vector<double> rows[] = {
      {-kInf, 1, 2}, {kInf, 0, 0}, {-kInf, -kInf, -kInf}, {NAN, NAN, NAN}};
  for (const double smoothing : {0.0, 0.1})
    for (std::vector<double> row : rows) {
      row.insert(row.end(), {0, 1, 2});
      const Var masked = parameter(Tensor::from<double>({2, 3}, row));
      Tape inner;
      const Var loss = cross_entropy(masked, indices({-100, 1}), {.label_smoothing = smoothing});
      CHECK(std::isfinite(loss.item()));
      const std::vector<double> gradient =
          inner.gradient(loss, {masked})[0].value().to_vector<double>();
      CHECK(std::all_of(gradient.begin(), gradient.begin() + 3, [](double g) { return g == 0; }));
      CHECK(std::all_of(gradient.begin() + 3, gradient.end(),
                        [](double g) { return std::isfinite(g) && g != 0; }));
    }
}

TEST_CASE("losses at their edges: targets of zero, certain predictions, errors of any size") {
  const auto number = [](double x) { return Var(Tensor::full({1}, x, DType::float64)); };
  CHECK(kl_divergence(number(-3), number(0)).item() == 0);
  CHECK(std::isnan(kl_divergence(number(-3), number(-0.5)).item()));
  CHECK(bce_with_logits(number(1000), number(1)).item() == 0);
  CHECK(bce_with_logits(number(-1000), number(1)).item() == 1000);
  const Var certain(Tensor::full({1}, 20.0)), yes(Tensor::full({1}, 1.0));  // in float32
  CHECK(bce_with_logits(certain, yes).item() == doctest::Approx(std::log1p(std::exp(-20.0))));
  CHECK(huber(number(1e200), number(0)).item() == 1e200 - 0.5);
  CHECK(softplus(number(1000)).item() == 1000);
  CHECK(sigmoid(number(-kInf)).item() == 0);
}

TEST_CASE(
    "dropout keeps its random place: same state, same mask, in both types; p = 0 changes nothing") {
  Random a(3);
  Random b(3);
  const Tensor ones = Tensor::full({101}, 1);
  const Var first = dropout(Var(ones), 0.5, a);
  CHECK(distance(first.value(), dropout(Var(ones.to(DType::float64)), 0.5, b).value()) == 0);
  CHECK(a == b);
  CHECK(distance(first.value(), dropout(Var(ones), 0.5, a).value()) > 0);
  const Var same(ones);
  CHECK(dropout(same, 0, a).is(same));
}

TEST_CASE("integers carry no gradient: a conversion to int64 cuts the graph") {
  const Var x = vector({1.25, 2.5});
  Tape tape;
  const Var whole = to(to(x, DType::int64), DType::float64);
  CHECK(whole.value().to_vector<double>() == std::vector<double>{1, 2});
  CHECK_FALSE(whole.requires_grad());
  CHECK(argmax(Tensor::from<float>({2, 3}, {1, 3, 3, -1, -2, -3})).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1, 0});
}

TEST_CASE(
    "argmax is the first of the largest, for any size, layout and type; the first NaN is larger "
    "than any number") {
  for (const DType dtype : {DType::float32, DType::float64, DType::int64}) {
    for (const std::int64_t size : {1, 2, 63, 64, 65, 127, 129, 1000}) {
      Tensor x = Tensor::empty({7, size}, DType::float64);
      std::uint64_t state = 1;
      for (std::int64_t i = 0; i < x.numel(); ++i) {  // few values, so that there are ties
        state = state * 6364136223846793005u + 1442695040888963407u;
        x.data<double>()[i] = static_cast<double>(state >> 60);
      }
      if (dtype != DType::int64) {
        const double nan = std::numeric_limits<double>::quiet_NaN();
        x.data<double>()[5 * size] = nan;
        x.data<double>()[6 * size + size / 2] = nan;
      }
      const Tensor rows = x.to(dtype),
                   columns = x.to(dtype).transpose(0, 1).contiguous().transpose(0, 1);
      std::vector<std::int64_t> expected;
      for (std::int64_t row = 0; row < 7; ++row) {
        std::int64_t best = 0;
        for (std::int64_t i = 1; i < size; ++i) {
          const double value = x.at({row, i}), largest = x.at({row, best});
          if (!std::isnan(largest) && !(value <= largest)) best = i;
        }
        expected.push_back(best);
      }
      CHECK(argmax(rows).to_vector<std::int64_t>() == expected);
      CHECK(argmax(columns).to_vector<std::int64_t>() == expected);
    }
  }
}

}  // namespace tapeloop::test
