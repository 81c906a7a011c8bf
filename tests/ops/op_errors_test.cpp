// SPDX-License-Identifier: MIT
// Wrong calls of every operation: the message must name the operation and the shapes and say what
// to do. Also values at the limits: ties, kinks, zeros, infinities, targets that are all ignored.
// ops_test.cpp checks other values.
#include "tests/support.h"

#include <cmath>
#include <limits>

namespace tapeloop::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

Var zeros(const Shape& shape, DType dtype = DType::float32) {
  return Var(Tensor::zeros(shape, dtype));
}
Tensor indices(std::initializer_list<std::int64_t> values) {
  return Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}
Var vector(std::initializer_list<double> values) {
  return parameter(Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values));
}

struct WrongCall {
  std::string text;  // parts, separated by bars
  std::function<void()> call;
};

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

TEST_CASE("a wrong call of an operation names it, shows the shapes, and says what is expected") {
  const Var a = zeros({2, 3});
  const Var b = zeros({4, 5});
  const Var d = zeros({2, 3}, DType::float64);
  const Var i = zeros({2, 3}, DType::int64);
  Random random(1);
  const std::vector<WrongCall> calls = {
      {"add: cannot broadcast [2, 3] with [4, 5]|sizes 3 and 5 at axis -1|reshape or slice",
       [&] { a + b; }},
      {"mul: inputs must be all float32 or all float64, got float32[2, 3] and float64[2, 3]|to(x, "
       "float32)",
       [&] { a* d; }},
      {"exp: works on float32 and float64, got int64[2, 3]|tensor.to(DType::float32)",
       [&] { exp(i); }},
      {"an undefined variable was used; assign it", [&] { a + Var(); }},
      {"an undefined variable was used", [&] { tanh(Var()); }},
      {"select: cannot broadcast [2, 3] with [4, 5]", [&] { select(a, a, b); }},
      {"pow: cannot broadcast", [&] { pow(a, b); }},
      {"reshape: [2, 3] has 6 elements, [4] has 4; both must have as many",
       [&] { reshape(a, {4}); }},
      {"reshape: no size fits for -1: the other sizes hold 4 elements, [2, 3] has 6",
       [&] {
         reshape(a, {4, -1});
       }},
      {"reshape",
       [&] {
         reshape(a, {-1, -1});
       }},
      {"reshape",
       [&] {
         reshape(a, {-1, 0});
       }},
      {"shape: [-2, -3] is not a shape",
       [&] {
         reshape(a, {-2, -3});
       }},
      {"at most 6",
       [&] {
         reshape(a, {1, 1, 1, 1, 1, 2, 3});
       }},
      {"axis: 2 is not an axis of [2, 3]; give -2 to 1", [&] { transpose(a, 0, 2); }},
      {"permute: [0] does not name each axis of [2, 3] once", [&] { permute(a, {0}); }},
      {"axis: cannot insert an axis at 5 into [2, 3]", [&] { insert_axis(a, 5); }},
      {"expand: [2, 3] cannot be expanded to [2, 4]",
       [&] {
         expand(a, {2, 4});
       }},
      {"sum_to: [2, 3] cannot be summed to [3, 2]",
       [&] {
         sum_to(a, {3, 2});
       }},
      {"sum_to: [4] cannot be summed to [2, 2]",
       [&] {
         sum_to(zeros({4}), {2, 2});
       }},
      {"axis: 2 is not an axis of [2, 3]", [&] { flip(a, 2); }},
      {"slice: [0:9:1] of axis 1 of [2, 3]: need 0 <= start <= stop <= 3",
       [&] { slice(a, 1, 0, 9); }},
      {"select: index 2 is outside axis 0 of [2, 3]", [&] { select_index(a, 0, 2); }},
      {"concat: no parts were given; pass at least one",
       [&] { concat(std::span<const Var>(), 0); }},
      {"concat: part 1 is float32[4, 5], part 0 is float32[2, 3]; they must be equal in all but "
       "axis 0",
       [&] {
         concat({a, b}, 0);
       }},
      {"concat: part 1 is float64[2, 3]",
       [&] {
         concat({a, d}, 0);
       }},
      {"stack: no parts were given", [&] { stack(std::span<const Var>()); }},
      {"stack: part 1 is float32[4, 5], part 0 is float32[2, 3]; they must be equal",
       [&] {
         stack({a, b});
       }},
      {"split: the sizes add up to 2, but axis 1 of [2, 3] has 3",
       [&] {
         const std::int64_t sizes[] = {1, 1};
         split(a, sizes, 1);
       }},
      {"slice",
       [&] {
         const std::int64_t sizes[] = {-1, 4};
         split(a, sizes, 1);
       }},
      {"chunk: axis 1 of [2, 3] cannot be cut into 2 equal parts; use split",
       [&] { chunk(a, 2, 1); }},
      {"chunk", [&] { chunk(a, 0, 1); }},
      {"tril: needs a matrix in the last two axes, got [3]", [&] { tril(zeros({3})); }},
      {"sum: axis 1 of [2, 3] is given twice",
       [&] {
         sum(a, {1, -1});
       }},
      {"sum: works on float32 and float64, got int64[2, 3]", [&] { sum(i); }},
      {"axis: 2 is not an axis of [2, 3]", [&] { mean(a, {2}); }},
      {"mean: x is [0, 3], which has no elements along the given axes",
       [&] {
         mean(zeros({0, 3}));
       }},
      {"max: x is [3, 0], which has no elements along the given axes",
       [&] {
         max(zeros({3, 0}), {1});
       }},
      {"min: x is|no elements along", [&] { min(zeros({0}), {0}); }},
      {"var: x is [2, 1], which has 1 elements along the given axes; expected more than the "
       "correction, 1",
       [&] {
         var(zeros({2, 1}), {1});
       }},
      {"argmax: needs a last axis with elements, got float32[2, 0]",
       [&] {
         argmax(zeros({2, 0}).value());
       }},
      {"softmax: axis 1 of float32[2, 0] has no elements",
       [&] {
         softmax(zeros({2, 0}));
       }},
      {"log_softmax: axis 0 of float32",
       [&] {
         log_softmax(zeros({0, 2}), 0);
       }},
      {"axis: -1 is not an axis of []", [&] { softmax(zeros({})); }},
      {"prod: works on float32 and float64", [&] { prod(i, 0); }},
      {"cumsum: works on float32 and float64", [&] { cumsum(i, 0); }},
      {"matmul: inner dimensions must match: a is [2, 3], b is [4, 5] (3 vs 4)",
       [&] { matmul(a, b); }},
      {"matmul: operands must be of one floating-point type|float32[2, 3] and float64[2, 3]; "
       "convert one by to(x, dtype)",
       [&] { matmul(a, d); }},
      {"matmul: inner dimensions must match: a is [], b is [4, 5]; multiply by a number with *",
       [&] { matmul(zeros({}), b); }},
      {"matmul: cannot broadcast [2] with [3]",
       [&] {
         matmul(zeros({2, 1, 1}), zeros({3, 1, 1}));
       }},
      {"matmul: inner dimensions must match: a is [3], b is [2] (3 vs 2)",
       [&] { matmul(zeros({3}), zeros({2})); }},
      {"linear: x is [2, 3], w is [4, 5]: w must be [out, in] and the last axis of x must be in = "
       "5",
       [&] { linear(a, b); }},
      {"linear: x is [2, 3], w is [3]", [&] { linear(a, zeros({3})); }},
      {"linear_each: x is [2, 3], w is [2, 4, 5]: expected x [N, I] or [T, N, I] and w [N, O, I]",
       [&] {
         linear_each(a, zeros({2, 4, 5}));
       }},
      {"linear_each: x is [2, 3], w is [3, 4, 3]",
       [&] {
         linear_each(a, zeros({3, 4, 3}));
       }},
      {"linear: cannot broadcast [3] with [2, 4]",
       [&] {
         linear(a, zeros({4, 3}), zeros({3}));
       }},
      {"linear: the bias is [5, 2, 4], which does not broadcast to the result [2, 4]",
       [&] {
         linear(a, zeros({4, 3}), zeros({5, 2, 4}));
       }},
      {"embedding: the table must be [V, E], got [3]",
       [&] { embedding(zeros({3}), indices({0})); }},
      {"embedding: index 4 at position 1 of [2] is outside 0..3, the range of axis 0; the table is "
       "[4, 5]",
       [&] {
         embedding(b, indices({0, 4}));
       }},
      {"embedding: index -1 at position 0", [&] { embedding(b, indices({-1})); }},
      {"embedding: the index must be an int64 tensor, got float32[2, 3]",
       [&] { embedding(b, a.value()); }},
      {"embedding: the index must be an int64 tensor, got an undefined tensor",
       [&] { embedding(b, Tensor()); }},
      {"take: the index must have one axis, got [1, 2]",
       [&] {
         take(a, indices({0, 1}).insert_axis(0), 0);
       }},
      {"take: index 2 at position 0 of [1] is outside 0..1", [&] { take(a, indices({2}), 0); }},
      {"gather: the index is [2], x is [2, 3]: their sizes must be equal in all axes but axis 1",
       [&] {
         gather(a, indices({0, 1}), 1);
       }},
      {"gather: index 3 at position 0",
       [&] {
         gather(a, indices({3, 0}).insert_axis(1), 1);
       }},
      {"dropout: p is 1, expected 0 <= p < 1", [&] { dropout(a, 1.0, random); }},
      {"dropout: p is nan", [&] { dropout(a, std::nan(""), random); }},
      {"layer_norm: x is [2, 3], weight [2], bias [2]: weight and bias must be [features]",
       [&] { layer_norm(a, zeros({2}), zeros({2})); }},
      {"cross_entropy: logits are float32[2, 3], target int64[3]; expected logits [..., V] and an "
       "int64 target",
       [&] {
         cross_entropy(a, indices({0, 1, 2}));
       }},
      {"cross_entropy: logits are int64[2, 3]|the logits float32 or float64",
       [&] {
         cross_entropy(zeros({2, 3}, DType::int64), indices({0, 1}));
       }},
      {"cross_entropy: label_smoothing is nan",
       [&] {
         cross_entropy(a, indices({0, 1}), {.label_smoothing = std::nan("")});
       }},
      {"dropout: works on float32 and float64, got int64",
       [&] { dropout(zeros({2}, DType::int64), 0.5, random); }},
      {"random_uniform: works on float32 and float64, got int64",
       [&] { random_uniform({2}, 0, 1, random, DType::int64); }},
      {"random_normal: works on float32 and float64, got int64",
       [&] { random_normal({2}, 0, 1, random, DType::int64); }},
      {"reshape: the sizes are [-1, 3, -1]; expected sizes of 0 or more, at most one of them -1",
       [&] {
         reshape(a, {-1, 3, -1});
       }},
      {"reshape: the sizes are [-1, 4611686018427387904, 4]|a product that fits in 63 bits",
       [&] {
         reshape(a, {-1, std::int64_t{1} << 62, 4});
       }},
      {"cross_entropy: target 3 at position 1 of [2] is outside the 3 classes; ignore_index is "
       "-100",
       [&] {
         cross_entropy(a, indices({0, 3}));
       }},
      {"cross_entropy: target -1 at position 0",
       [&] {
         cross_entropy(a, indices({-1, 0}));
       }},
      {"cross_entropy|target an undefined tensor", [&] { cross_entropy(a, Tensor()); }},
      {"cross_entropy: label_smoothing is 2, expected 0 to 1",
       [&] {
         cross_entropy(a, indices({0, 1}), {.label_smoothing = 2});
       }},
      {"cross_entropy: class_weights are [2], expected one weight for each of the 3 classes",
       [&] {
         cross_entropy(a, indices({0, 1}), {.class_weights = zeros({2})});
       }},
      {"mse: the prediction is [2, 3], the target [3]; shapes must be equal",
       [&] { mse(a, zeros({3})); }},
      {"l1_loss: the prediction", [&] { l1_loss(a, b); }},
      {"huber: the prediction", [&] { huber(a, b); }},
      {"huber: delta is 0, expected more than 0", [&] { huber(a, a, 0); }},
      {"bce_with_logits: the prediction", [&] { bce_with_logits(a, b); }},
      {"kl_divergence: the prediction", [&] { kl_divergence(a, b); }},
  };
  for (const WrongCall& wrong : calls) {
    CAPTURE(wrong.text);
    CHECK(throws_with(wrong.text, wrong.call));
    Tape tape;  // the same during recording
    CHECK(throws_with(wrong.text, wrong.call));
    CHECK(tape.size() == 0);
  }
}

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
