// SPDX-License-Identifier: MIT
// Long sums in float32: compares every operation that adds up many numbers with sums in long
// double. The error must be within the bound of the operation's header. The lengths are those of
// real batches, up to 2 10^7.
#include <numeric>

#include "tapeloop/autograd/device/cpu/row_weights.h"
#include "tapeloop/optim/clip.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

constexpr double kUnit = 0x1p-24;  // half a unit in the last place of a float32
constexpr std::int64_t kLong = 20'000'003;

// The bound of ops.h, for numbers whose absolute values sum to `sizes`.
double bound(std::int64_t count, double sizes) {
  return (512 + std::log2(static_cast<double>(count))) * kUnit * sizes;
}

// Numbers of one sign: there a running sum loses most digits.
Tensor positive(const Shape& shape) {
  Random random(kSeed);
  return random_uniform(shape, 0, 1, random);
}
double exact_sum(const Tensor& x) {
  const Tensor flat = x.contiguous();
  const float* values = flat.read<float>();
  long double sum = 0;
  for (std::int64_t i = 0; i < flat.numel(); ++i) sum += static_cast<long double>(values[i]);
  return static_cast<double>(sum);
}
double relative(double got, double exact) { return std::abs(got - exact) / std::abs(exact); }

constexpr float kLog2 = 0.6931472f;

}  // namespace

TEST_CASE("the mean of twenty million equal numbers is that number") {
  const Var x(Tensor::full({kLong}, kLog2));
  CHECK(relative(mean(x).value().item(), kLog2) < 1e-6);
  const Var columns(Tensor::full({kLong / 3, 3}, kLog2));
  for (int column = 0; column < 3; ++column) {
    CHECK(relative(mean(columns, {0}).value().at({column}), kLog2) < 2e-6);
  }
  CHECK(relative(mean(columns).value().item(), kLog2) < 1e-6);
}

TEST_CASE("a sum is within its bound, however its numbers lie in memory") {
  const Tensor x = positive({kLong});
  const auto check = [](const Tensor& view, std::span<const int> axes) {
    CAPTURE(view.describe());
    const double exact = exact_sum(view);
    const Var sums = sum(Var(view), axes);
    const double got = exact_sum(sums.value());
    CHECK(std::abs(got - exact) <= bound(view.numel(), exact));
    CHECK(relative(got, exact) < 1e-5);
  };
  const int both[] = {0, 1};
  const int first[] = {0};
  const int last[] = {1};
  check(x, first);
  check(x.slice(0, 0, kLong, 3), first);                                          // strided
  check(x.slice(0, 0, 20'000'000).reshape({2'500'000, 8}).slice(1, 0, 7), both);  // short rows
  check(x.slice(0, 0, 20'000'000).reshape({200'000, 100}), first);                // whole rows
  check(x.slice(0, 0, 20'000'001).reshape({6'666'667, 3}), first);  // columns, one by one
  check(x.slice(0, 0, 20'000'000).reshape({4, 5'000'000}), last);
}

TEST_CASE("a running sum is exact but for one rounding, at every place") {
  const Tensor x = positive({kLong});
  const Tensor sums = cumsum(Var(x), 0).value();
  const float* values = x.read<float>();
  const float* got = sums.read<float>();
  long double exact = 0;
  double worst = 0;
  for (std::int64_t i = 0; i < kLong; ++i) {
    exact += static_cast<long double>(values[i]);
    worst = std::max(worst, relative(got[i], static_cast<double>(exact)));
  }
  CHECK(worst <= 1.001 * kUnit);
}

TEST_CASE("variance, norm and logsumexp of twenty million numbers") {
  const Tensor x = positive({kLong});
  const float* values = x.read<float>();
  const double centre = exact_sum(x) / static_cast<double>(kLong);
  long double squares = 0, deviations = 0, exponentials = 0;
  for (std::int64_t i = 0; i < kLong; ++i) {
    const long double value = static_cast<long double>(values[i]);
    squares += value * value;
    deviations +=
        (value - static_cast<long double>(centre)) * (value - static_cast<long double>(centre));
    exponentials += std::exp(value);
  }
  const double n = static_cast<double>(kLong);
  CHECK(relative(var(Var(x), {0}).value().item(), static_cast<double>(deviations) / (n - 1)) <
        2e-6);
  CHECK(relative(norm(Var(x)).value().item(), std::sqrt(static_cast<double>(squares))) < 1e-6);
  CHECK(relative(logsumexp(Var(x), {0}).value().item(),
                 std::log(static_cast<double>(exponentials))) < 2 * kUnit);
  const Var parameter = tapeloop::parameter(Tensor::zeros({1}));
  Var& gradient = parameter.body()->grad;
  gradient = Var(x);
  const double clipped = optim::clip_grad_norm({{"x", parameter}}, 1e30).value();
  CHECK(relative(clipped, std::sqrt(static_cast<double>(squares))) < 1e-9);
}

TEST_CASE("losses over millions of rows") {
  constexpr std::int64_t kRows = 7'000'001;
  // All logits are equal: the loss of each row is log 2, and so is the mean.
  const Var logits(Tensor::zeros({kRows, 2}));
  const Tensor target = Tensor::zeros({kRows}, DType::int64);
  CHECK(relative(cross_entropy(logits, target).value().item(), std::log(2.0)) < 1e-6);
  const Var x(Tensor::full({kRows}, 0.1));
  const double square = static_cast<double>(0.1f) * static_cast<double>(0.1f);
  CHECK(relative(mse(x, Var(Tensor::zeros({kRows}))).value().item(), square) < 1e-6);
  CHECK(relative(l1_loss(x, Var(Tensor::zeros({kRows}))).value().item(), 0.1f) < 1e-6);
}

TEST_CASE("layer_norm of a row of millions has mean 0 and variance 1") {
  constexpr std::int64_t kFeatures = 4'000'001;
  const Var x(positive({1, kFeatures}));
  const Var y = layer_norm(x, Var(Tensor::full({kFeatures}, 1.0)), Var(Tensor::zeros({kFeatures})));
  const double centre = exact_sum(y.value()) / static_cast<double>(kFeatures);
  CHECK(std::abs(centre) < 1e-6);
  const double spread = exact_sum(square(y).value()) / static_cast<double>(kFeatures);
  CHECK(std::abs(spread - 1) < 2e-4);  // epsilon is 1.2e-4 of the variance, 1 / 12
}

TEST_CASE("products over a long inner dimension are within the bound of gemm.h") {
  constexpr std::int64_t kInner = 1'000'003;
  const auto check = [](const Tensor& x, double usual) {
    const double exact = exact_sum(square(Var(x)).value());
    for (const std::int64_t rows : {1, 3, 16}) {
      for (const std::int64_t columns : {1, 3, 8, 16}) {
        CAPTURE(rows);
        CAPTURE(columns);
        const Var a(x.reshape({1, kInner}).expand({rows, kInner}).contiguous());
        const Var w(x.reshape({1, kInner}).expand({columns, kInner}).contiguous());
        const Var products[] = {matmul(a, transpose(w)), linear(a, w)};
        for (const Var& product : products) {
          const double got = product.value().at({rows - 1, columns - 1});
          CHECK(std::abs(got - exact) <= (1024.0 + kInner / 128.0) * kUnit * exact);
          CHECK(relative(got, exact) < usual);
        }
      }
    }
  };
  check(positive({kInner}), 3e-6);
  check(Tensor::full({kInner}, kLog2), 5e-5);
}

TEST_CASE("the product of a Stepper with hundreds of thousands of inputs") {
  constexpr std::int64_t kInputs = 200'003;
  const std::vector<float> x(kInputs, kLog2), init(64, 0.0f);
  for (const Weights format : {Weights::float32, Weights::bfloat16}) {
    for (const std::int64_t outputs : {1, 17}) {
      CAPTURE(outputs);
      const cpu::RowWeights weights(std::array{Tensor::full({outputs, kInputs}, 1.0)}, format);
      std::vector<float> y(64);
      weights.multiply(x.data(), init.data(), y.data(), false);
      CHECK(relative(y[0], static_cast<double>(kLog2) * kInputs) < 1e-5);
    }
  }
}

TEST_CASE("gradients that many rows add to") {
  constexpr std::int64_t kRows = 1'000'003;
  const double exact = static_cast<double>(kLog2) * static_cast<double>(kRows);
  const Var w = parameter(Tensor::full({3, 2}, 1.0));
  const Var b = parameter(Tensor::zeros({3}));
  const Var table = parameter(Tensor::full({3, 2}, 1.0));
  const Var numbers = parameter(Tensor::full({3}, 1.0));
  Tape tape;
  const Var y = linear(Var(Tensor::full({kRows, 2}, kLog2)), w, b);
  const Tensor index = Tensor::full({kRows}, 1, DType::int64);
  tape.backward(sum(y) + sum(y) * kLog2 + sum(embedding(table, index)) * kLog2 +
                sum(gather(numbers, index, 0)) * kLog2);
  CHECK(relative(w.grad().value().at({0, 0}), exact * (1 + static_cast<double>(kLog2))) < 5e-5);
  CHECK(relative(b.grad().value().at({0}),
                 static_cast<double>(kRows) * (1 + static_cast<double>(kLog2))) < 5e-5);
  CHECK(relative(table.grad().value().at({1, 1}), exact) < 2 * kUnit);
  CHECK(table.grad().value().at({0, 1}) == 0);
  CHECK(relative(numbers.grad().value().at({1}), exact) < 2 * kUnit);
}

TEST_CASE("gradients of one frequent row in a table that is longer than the index") {
  constexpr std::int64_t kRows = 50'001, kHits = 50'000;
  const Tensor index = Tensor::full({kHits}, 0, DType::int64);
  const Var table = parameter(Tensor::full({kRows, 1}, 1.0));
  const Var numbers = parameter(Tensor::full({kRows}, 1.0));
  Tape tape;
  tape.backward(sum(embedding(table, index)) * 0.1 + sum(gather(numbers, index, 0)) * 0.1);
  const double exact = static_cast<double>(0.1f) * static_cast<double>(kHits);
  CHECK(relative(table.grad().value().at({0, 0}), exact) < 2 * kUnit);
  CHECK(relative(numbers.grad().value().at({0}), exact) < 2 * kUnit);
}

TEST_CASE("long sums have the same bits for any number of threads") {
  const Tensor x = positive({3, 700'001});
  const auto results = [&] {
    std::vector<Tensor> all;
    for (const Var& y : {sum(Var(x)), sum(Var(x), {0}), sum(Var(x), {1}), var(Var(x), {0, 1}),
                         matmul(Var(x), transpose(Var(x))), cumsum(Var(x), 1)}) {
      all.push_back(y.value());
    }
    return all;
  };
  const std::vector<Tensor> alone = results();
  for (const int count : {2, 3, 7}) {
    const Threads scope(count);
    const std::vector<Tensor> shared = results();
    for (std::size_t i = 0; i < alone.size(); ++i) CHECK(same_bits(alone[i], shared[i]));
  }
}

TEST_CASE("the mean of ones is 1, for any count of them") {
  const Tensor ones = Tensor::full({16'777'216 * 2 + 16'777'216 / 2 + 5}, 1.0);
  const Tensor wide = Tensor::full({5000, 2}, 1.0);
  std::vector<std::int64_t> counts(3000);
  std::iota(counts.begin(), counts.end(), 1);
  for (const std::int64_t n : {4096, 4097, 12'289, 1'000'003, 16'777'217, 16'777'219, 33'554'435,
                               16'777'216 * 2 + 16'777'216 / 2 + 5}) {
    counts.push_back(n);
  }
  int wrong = 0;
  for (const std::int64_t n : counts) {
    wrong += sum(Var(ones.slice(0, 0, n))).value().item() == static_cast<float>(n) ? 0 : 1;
    wrong += mean(Var(ones.slice(0, 0, n))).value().item() == 1 ? 0 : 1;
    if (n > wide.dim(0)) continue;
    wrong += mean(Var(wide.slice(0, 0, n)), {0}).value().at({1}) == 1 ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("the variance of equal numbers is 0, and layer_norm leaves its bias") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const double value : {1.0, 0.1, -3.3, 1e5 + 0.1, 1e30, 1e-30}) {
      for (const std::int64_t n : {2, 3, 7, 10, 49, 100, 1000, 5001}) {
        CAPTURE(value);
        CAPTURE(n);
        const Var x(Tensor::full({n, 3}, value, dtype));
        for (int column = 0; column < 3; ++column) {
          CHECK(var(x, {0}).value().at({column}) == 0);
        }
        CHECK(var(x, {0, 1}, 0).value().item() == 0);
        const Var row(Tensor::full({1, n}, value, dtype));
        const Var y = layer_norm(row, Var(Tensor::full({n}, 2.0, dtype)),
                                 Var(Tensor::full({n}, 0.25, dtype)));
        CHECK(y.value().at({0, n - 1}) == 0.25);
      }
    }
  }
}

}  // namespace tapeloop::test
