// SPDX-License-Identifier: MIT
// sample(): the most likely symbol, temperature, top-k, top-p, the frequencies of draws, and wrong
// use. training_test.cpp tests that a warm call makes no heap allocations.
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

constexpr std::int64_t kDraws = 20000;

Tensor logits_of(const std::vector<double>& probabilities, DType dtype = DType::float64) {
  std::vector<double> logits;
  for (double p : probabilities) logits.push_back(std::log(p));
  return Tensor::from({1, static_cast<std::int64_t>(logits.size())}, logits).to(dtype);
}

// The share of each class in 20000 draws, all rows of one call.
std::vector<double> shares(const Tensor& logits, const SampleOptions& options,
                           std::uint64_t seed = test::kSeed) {
  Random random(seed);
  std::vector<double> result(static_cast<std::size_t>(logits.dim(1)), 0.0);
  Tensor many = logits.expand({kDraws, logits.dim(1)});
  for (std::int64_t symbol : sample(many, random, options).to_vector<std::int64_t>()) {
    result.at(static_cast<std::size_t>(symbol)) += 1.0 / kDraws;
  }
  return result;
}

// Checks shares within four standard deviations of the probabilities; a probability of 0 needs a
// share of 0.
void check_shares(const std::vector<double>& shares, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double deviation = std::sqrt(expected[i] * (1 - expected[i]) / kDraws);
    CHECK_MESSAGE(std::abs(shares[i] - expected[i]) <= 4 * deviation + 1e-9, "class ", i, ": ",
                  shares[i], " of ", expected[i]);
  }
}

TEST_CASE(
    "temperature 0 takes the most likely symbol of each row, the first of equals, and no random "
    "number") {
  Tensor logits = Tensor::from<double>({3, 4}, {1, 3, 2, 0, -1, -2, -3, -0.5, 2, 7, 7, 1});
  Random random(1);
  for (DType dtype : {DType::float32, DType::float64}) {
    Tensor chosen = sample(logits.to(dtype), random, {.temperature = 0});
    CHECK(chosen.dtype() == DType::int64);
    CHECK(chosen.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 3, 1});
    CHECK(test::same_bits(chosen, argmax(logits.to(dtype))));
  }
  CHECK(random == Random(1));
}

TEST_CASE("draws have the probabilities of softmax") {
  const std::vector<double> p{0.5, 0.05, 0.15, 0.3};
  check_shares(shares(logits_of(p), {}), p);
  check_shares(shares(logits_of(p, DType::float32), {}), p);
}

TEST_CASE("a temperature divides the logits") {
  const std::vector<double> p{0.5, 0.05, 0.15, 0.3};
  for (double temperature : {0.5, 2.0}) {
    std::vector<double> expected;
    double total = 0;
    for (double x : p) total += std::pow(x, 1 / temperature);
    for (double x : p) expected.push_back(std::pow(x, 1 / temperature) / total);
    check_shares(shares(logits_of(p), {.temperature = temperature}), expected);
  }
}

TEST_CASE("a tiny temperature is the most likely symbol, a huge one any") {
  const std::vector<double> p{0.2, 0.5, 0.3};
  check_shares(shares(logits_of(p), {.temperature = 1e-300}), {0, 1, 0});
  check_shares(shares(logits_of(p), {.temperature = 1e300}), {1.0 / 3, 1.0 / 3, 1.0 / 3});
}

TEST_CASE("top_k keeps the k most likely and scales them to 1") {
  const std::vector<double> p{0.1, 0.4, 0.05, 0.3, 0.15};
  check_shares(shares(logits_of(p), {.top_k = 1}), {0, 1, 0, 0, 0});
  check_shares(shares(logits_of(p), {.top_k = 2}), {0, 0.4 / 0.7, 0, 0.3 / 0.7, 0});
  check_shares(shares(logits_of(p), {.top_k = 5}), p);
  check_shares(shares(logits_of(p), {.top_k = 1000}), p);
}

TEST_CASE("top_p keeps the most likely that first reach p together") {
  const std::vector<double> p{0.1, 0.4, 0.05, 0.3, 0.15};
  check_shares(shares(logits_of(p), {.top_p = 0.39}), {0, 1, 0, 0, 0});
  check_shares(shares(logits_of(p), {.top_p = 0.41}), {0, 0.4 / 0.7, 0, 0.3 / 0.7, 0});
  check_shares(shares(logits_of(p), {.top_p = 0.8}), {0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85});
  check_shares(shares(logits_of(p), {.top_p = 1e-9}), {0, 1, 0, 0, 0});
  check_shares(shares(logits_of(p), {.top_p = 1.0}), p);
}

TEST_CASE("top_p counts among what top_k left") {
  // Of 0.4, 0.3, 0.15 scaled to 1, the first two sum to 0.82.
  const std::vector<double> p{0.1, 0.4, 0.05, 0.3, 0.15};
  check_shares(shares(logits_of(p), {.top_k = 3, .top_p = 0.8}), {0, 0.4 / 0.7, 0, 0.3 / 0.7, 0});
}

TEST_CASE("top_p follows the temperature") {
  // At temperature 0.5 the first of 0.5, 0.3, 0.2 has the probability 0.25 / 0.38 = 0.66.
  check_shares(shares(logits_of({0.5, 0.3, 0.2}), {.temperature = 0.5, .top_p = 0.6}), {1, 0, 0});
  check_shares(shares(logits_of({0.5, 0.3, 0.2}), {.top_p = 0.6}), {0.625, 0.375, 0});
}

TEST_CASE("a symbol with a logit of -inf never comes") {
  Tensor logits = Tensor::from<double>({1, 4}, {-INFINITY, 0, -INFINITY, 0});
  check_shares(shares(logits, {}), {0, 0.5, 0, 0.5});
  check_shares(shares(logits, {.temperature = 1e300}), {0, 0.5, 0, 0.5});
  check_shares(shares(logits, {.top_k = 3, .top_p = 0.999999}), {0, 0.5, 0, 0.5});
}

TEST_CASE("logits far from 0 do not overflow") {
  check_shares(shares(Tensor::from<double>({1, 2}, {1e308, 1e308}), {}), {0.5, 0.5});
  check_shares(shares(Tensor::from<double>({1, 2}, {-1e308, 1e308}), {}), {0, 1});
  check_shares(shares(Tensor::from<double>({1, 2}, {-5000, -5000}), {}), {0.5, 0.5});
}

TEST_CASE("the same random state draws the same symbols, another one others") {
  Tensor logits = test::random_tensor({50, 9});
  auto drawn = [&](std::uint64_t seed) {
    Random random(seed);
    return sample(logits, random).to_vector<std::int64_t>();
  };
  CHECK(drawn(1) == drawn(1));
  CHECK(drawn(1) != drawn(2));
}

TEST_CASE("rows are independent, may be strided, and may be none") {
  Tensor logits = Tensor::from<double>({2, 3}, {0, 90, 0, 90, 0, 0});
  Random random(3);
  CHECK(sample(logits, random).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0});
  Tensor columns = Tensor::from<double>({3, 2}, {0, 90, 90, 0, 0, 0});
  CHECK(sample(columns.transpose(0, 1), random).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1, 0});
  CHECK(sample(Tensor::zeros({0, 3}), random).shape() == Shape{0});
  CHECK(sample(Tensor::zeros({2, 1}), random).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 0});
}

TEST_CASE("sample refuses logits and options it has no meaning for, and says what was given") {
  Random random(4);
  Tensor good = Tensor::zeros({1, 3});
  CHECK(test::throws_with("sample|[N, V]|float32[3]", [&] { sample(Tensor::zeros({3}), random); }));
  CHECK(test::throws_with("sample|int64[1, 3]", [&] {
    sample(Tensor::zeros({1, 3}, DType::int64), random);
  }));
  CHECK(test::throws_with("sample|float32[2, 0]", [&] { sample(Tensor::zeros({2, 0}), random); }));
  CHECK(test::throws_with("sample|undefined", [&] { sample(Tensor(), random); }));
  CHECK(test::throws_with("temperature -1", [&] { sample(good, random, {.temperature = -1}); }));
  CHECK(test::throws_with("temperature nan", [&] { sample(good, random, {.temperature = NAN}); }));
  CHECK(test::throws_with("temperature inf",
                          [&] { sample(good, random, {.temperature = INFINITY}); }));
  CHECK(test::throws_with("top_k -1", [&] { sample(good, random, {.top_k = -1}); }));
  CHECK(test::throws_with("top_p 0|0 < top_p <= 1", [&] { sample(good, random, {.top_p = 0}); }));
  CHECK(test::throws_with("top_p 1.5", [&] { sample(good, random, {.top_p = 1.5}); }));
  CHECK(test::throws_with("top_p nan", [&] { sample(good, random, {.top_p = NAN}); }));
  CHECK(test::throws_with("logit [1, 0] is nan|diverged", [&] {
    sample(Tensor::from<double>({2, 2}, {0, 0, NAN, 0}), random);
  }));
  CHECK(test::throws_with("logit [0, 1] is inf", [&] {
    sample(Tensor::from<double>({1, 2}, {0, INFINITY}), random);
  }));
  CHECK(test::throws_with("every logit of row 1 is -inf", [&] {
    sample(Tensor::from<double>({2, 2}, {0, 0, -INFINITY, -INFINITY}), random);
  }));
  CHECK(random == Random(4));
}

}  // namespace
}  // namespace tapeloop::nn
