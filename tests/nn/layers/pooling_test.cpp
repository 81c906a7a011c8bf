// SPDX-License-Identifier: MIT
// Pooling over time against naive loops and by gradcheck; lengths, odd sizes, wrong use.
#include "tapeloop/nn/layers/pooling.h"

#include <limits>

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using Lengths = std::vector<std::int64_t>;

constexpr std::int64_t kSteps = 5, kBatch = 3, kSize = 7;
const Lengths kLengths{3, 5, 1};

AttentionPooling make() {
  Random random(7);
  return {kSize, 4, random, DType::float64};
}

struct Pooling {
  const char* name;
  std::function<Var(const Var&, const Lengths&)> pool;
};
std::vector<Pooling> poolings() {
  return {{"mean_over_time", [](const Var& x, const Lengths& l) { return mean_over_time(x, l); }},
          {"max_over_time", [](const Var& x, const Lengths& l) { return max_over_time(x, l); }},
          {"attention_pooling",
           [a = make()](const Var& x, const Lengths& l) { return a(x, l).pooled; }}};
}

// The weights of the steps of sequence n by the formula of the layer.
std::vector<double> attention_weights(const AttentionPooling& a, const Tensor& x, std::int64_t n,
                                      std::int64_t length) {
  std::vector<double> weights;
  double sum = 0;
  for (std::int64_t t = 0; t < length; ++t) {
    double score = 0;
    for (std::int64_t i = 0; i < a.key.weight.dim(0); ++i) {
      double u = a.key.bias.value().at({i});
      for (std::int64_t h = 0; h < kSize; ++h) {
        u += a.key.weight.value().at({i, h}) * x.at({t, n, h});
      }
      score += a.v.weight.value().at({0, i}) * std::tanh(u);
    }
    weights.push_back(std::exp(score));
    sum += weights.back();
  }
  for (double& w : weights) w /= sum;
  return weights;
}

TEST_CASE("pooling over time is that of plain loops") {
  const Tensor x = random_tensor({kSteps, kBatch, kSize});
  const AttentionPooling attention = make();
  for (const Lengths& lengths : {Lengths(), kLengths, Lengths(kBatch, kSteps)}) {
    const Tensor by_mean = mean_over_time(Var(x), lengths).value();
    const Tensor by_max = max_over_time(Var(x), lengths).value();
    const AttentionPooled attended = attention(Var(x), lengths);
    REQUIRE(by_mean.shape() == Shape{kBatch, kSize});
    REQUIRE(attended.weights.shape() == Shape{kSteps, kBatch});
    for (std::int64_t n = 0; n < kBatch; ++n) {
      const std::int64_t length = lengths.empty() ? kSteps : lengths[static_cast<std::size_t>(n)];
      const std::vector<double> weights = attention_weights(attention, x, n, length);
      for (std::int64_t h = 0; h < kSize; ++h) {
        double sum = 0, most = -2, weighted = 0;
        for (std::int64_t t = 0; t < length; ++t) {
          sum += x.at({t, n, h});
          most = std::max(most, x.at({t, n, h}));
          weighted += weights[static_cast<std::size_t>(t)] * x.at({t, n, h});
        }
        CHECK(by_mean.at({n, h}) ==
              doctest::Approx(sum / static_cast<double>(length)).epsilon(1e-12));
        CHECK(by_max.at({n, h}) == most);
        CHECK(attended.pooled.value().at({n, h}) == doctest::Approx(weighted).epsilon(1e-12));
      }
      for (std::int64_t t = 0; t < kSteps; ++t) {
        const double expected = t < length ? weights[static_cast<std::size_t>(t)] : 0.0;
        CHECK(attended.weights.value().at({t, n}) == doctest::Approx(expected).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("gradients of pooling over time are right to second order") {
  for (const Pooling& p : poolings()) {
    for (const Lengths& lengths : {Lengths(), kLengths}) {
      for (const bool second : {false, true}) {
        const GradcheckReport report =
            gradcheck([&](std::span<const Var> x) { return p.pool(x[0], lengths); },
                      {random_tensor({kSteps, kBatch, kSize})}, {.second_order = second});
        CHECK_MESSAGE(report.ok, p.name << "\n" << report.str());
      }
    }
  }
  const AttentionPooling attention = make();
  const Var x(random_tensor({kSteps, kBatch, kSize}));
  for (const bool second : {false, true}) {
    const GradcheckReport report = gradcheck([&] { return attention(x, kLengths).pooled; },
                                             nn::parameters(attention), {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("pooling does not read past the lengths") {
  const Tensor clean = random_tensor({kSteps, kBatch, kSize}), dirty = clean.clone();
  for (std::size_t n = 0; n < kLengths.size(); ++n) {
    dirty.select(1, static_cast<std::int64_t>(n))
        .slice(0, kLengths[n], kSteps)
        .fill(std::numeric_limits<double>::quiet_NaN());
  }
  for (const Pooling& p : poolings()) {
    CAPTURE(p.name);
    Tape tape;
    const Var x = parameter(dirty);
    const Var y = p.pool(x, kLengths);
    CHECK(test::same_bits(y.value(), p.pool(Var(clean), kLengths).value()));
    const Tensor g = tape.gradient(sum(square(y)), {x})[0].value();
    for (std::size_t n = 0; n < kLengths.size(); ++n) {
      const Tensor own = g.select(1, static_cast<std::int64_t>(n));
      for (double v : own.slice(0, kLengths[n], kSteps).to_vector<double>()) CHECK(v == 0);
      for (double v : own.slice(0, 0, kLengths[n]).to_vector<double>()) CHECK(std::isfinite(v));
    }
  }
}

TEST_CASE("wrong use of pooling is named") {
  for (const Pooling& p : poolings()) {
    const auto refused = [&](const Tensor& x, const Lengths& lengths, const std::string& text) {
      CHECK_MESSAGE(test::throws_with(std::string(p.name) + "|" + text,
                                      [&] { p.pool(x.defined() ? Var(x) : Var(), lengths); }),
                    p.name << ": " << text);
    };
    const Tensor x = random_tensor({kSteps, kBatch, kSize});
    refused(Tensor(), {}, "xs are undefined, expected [T, N, H]");
    refused(random_tensor({kSteps, kSize}), {}, "xs are float64[5, 7]");
    refused(Tensor::zeros({0, kBatch, kSize}, DType::float64), {}, "at least one time step");
    refused(x, {1, 2}, "2 lengths were given for a batch of 3");
    refused(x, {1, 6, 2}, "length 6 of sequence 1");
    refused(x, {1, 0, 2}, "sequence 1 has length 0, expected 1..5");
  }
  CHECK_THROWS_WITH_AS(make()(Var(random_tensor({kSteps, kBatch, 2}))),
                       doctest::Contains("xs are [5, 3, 2], expected [T, N, 7]"), Error);
  CHECK_THROWS_WITH_AS(AttentionPooling()(Var(random_tensor({2, 1, 2}))),
                       doctest::Contains("attention_pooling"), Error);
}

}  // namespace
}  // namespace tapeloop::nn
