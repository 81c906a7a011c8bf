// SPDX-License-Identifier: MIT
// Random numbers: published answers of Philox4x32-10, ranges and moments, streams that do not
// overlap, and the same numbers for any number of threads. Checks moments on fixed seeds, with
// bounds of several standard errors.
#include <limits>
#include <random>
#include <set>

#include "tapeloop/nn/layers/init.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

using Words = std::array<std::uint32_t, 4>;

// Philox4x32-10 as in the paper (Salmon et al. 2011, section 3.3), for any counter.
Words philox_by_the_paper(Words counter, std::uint32_t key0, std::uint32_t key1) {
  const auto high = [](std::uint32_t a, std::uint32_t b) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(a) * b >> 32);
  };
  for (int round = 0; round < 10; ++round) {
    const auto [r0, l0, r1, l1] = counter;
    counter = {high(0xCD9E8D57u, r1) ^ l0 ^ key0, 0xCD9E8D57u * r1,
               high(0xD2511F53u, r0) ^ l1 ^ key1, 0xD2511F53u * r0};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - 0.5) * (y[i] - 0.5);
  return 12 * sum / static_cast<double>(x.size());
}

}  // namespace

TEST_CASE("Philox gives the published answers") {
  const Words zeros = philox_by_the_paper({0, 0, 0, 0}, 0, 0);
  CHECK(zeros == Words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  constexpr std::uint32_t kOnes = 0xffffffffu;
  CHECK(philox_by_the_paper({kOnes, kOnes, kOnes, kOnes}, kOnes, kOnes) ==
        Words{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(philox_by_the_paper({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0xa4093822u,
                            0x299f31d0u) ==
        Words{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
  // The library's counters have the last word 0.
  std::mt19937_64 engine(kSeed);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t seed = i == 0 ? 0 : engine();
    const std::uint64_t block = i == 0 ? 0 : engine();
    const std::uint32_t use = i == 0 ? 0 : static_cast<std::uint32_t>(engine());
    const Philox4 ours = philox(seed, block, use);
    CHECK(Words{ours.word[0], ours.word[1], ours.word[2], ours.word[3]} ==
          philox_by_the_paper(
              {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), use, 0},
              static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)));
  }
}

TEST_CASE("uniform numbers fill [0, 1) evenly, and tensors of them any range") {
  constexpr std::int64_t kCount = 200000;
  Random random(kSeed);
  const std::vector<double> x = random_uniform({kCount}, 0, 1, random).to_vector<double>();
  CHECK(*std::min_element(x.begin(), x.end()) >= 0);
  CHECK(*std::max_element(x.begin(), x.end()) < 1);
  std::array<int, 20> buckets{};
  double mean = 0;
  for (double value : x) {
    ++buckets[static_cast<std::size_t>(value * 20)];
    mean += value / kCount;
  }
  CHECK(std::abs(mean - 0.5) < 5 * std::sqrt(1.0 / 12 / kCount));
  double chi_square = 0;
  for (int count : buckets) chi_square += std::pow(count - kCount / 20, 2) / (kCount / 20.0);
  CHECK(chi_square < 50);  // 19 degrees of freedom: exceeded once in 7000 seeds

  const std::vector<double> y =
      random_uniform({1000}, -3, 5, random, DType::float64).to_vector<double>();
  CHECK(*std::min_element(y.begin(), y.end()) >= -3);
  CHECK(*std::min_element(y.begin(), y.end()) < -2.9);
  CHECK(*std::max_element(y.begin(), y.end()) < 5);
  CHECK(*std::max_element(y.begin(), y.end()) > 4.9);
}

TEST_CASE("normal numbers have the moments of the normal distribution") {
  constexpr std::int64_t kCount = 200000;
  Random random(kSeed);
  const Tensor tensor = random_normal({kCount}, 2, 3, random, DType::float64);
  double moments[5] = {};
  for (double value : tensor.to_vector<double>()) {
    const double z = (value - 2) / 3;
    for (int k = 1; k <= 4; ++k) moments[k] += std::pow(z, k) / kCount;
  }
  const double error =
      5 /
      std::sqrt(static_cast<double>(kCount));  // five standard errors, times that of each moment
  CHECK(std::abs(moments[1]) < error);
  CHECK(std::abs(moments[2] - 1) < error * std::sqrt(2.0));
  CHECK(std::abs(moments[3]) < error * std::sqrt(15.0));
  CHECK(std::abs(moments[4] - 3) < error * std::sqrt(96.0));
  for (double value : random_normal({100000}, 0, 1, random).to_vector<double>())
    REQUIRE(std::isfinite(value));
}

TEST_CASE("single numbers: uniform() uses 53 bits, below() stays below and reaches every value") {
  Random random(3);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(random.below(7));
    const double u = random.uniform();
    CHECK((u >= 0 && u < 1));
  }
  CHECK(seen == std::set<std::uint64_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(random.below(1) == 0);
  bool fine = false;
  for (int i = 0; i < 100 && !fine; ++i) {
    const double scaled = random.uniform() * 0x1p32;
    fine = scaled != std::floor(scaled);
  }
  CHECK(fine);
}

TEST_CASE("a seed and a place fix all that follows, and what is taken is never handed out again") {
  Random a(42);
  Random b(42);
  CHECK(same_bits(random_uniform({10}, 0, 1, a), random_uniform({10}, 0, 1, b)));
  CHECK(a == b);
  const Random saved = a;
  const Tensor next = random_normal({5}, 0, 1, a);
  Random resumed = saved;
  CHECK(same_bits(next, random_normal({5}, 0, 1, resumed)));
  CHECK(a == resumed);
  // Ten calls of odd sizes give ten different tensors.
  std::set<float> firsts;
  for (int i = 0; i < 10; ++i) firsts.insert(random_uniform({3}, 0, 1, a).to_vector<float>()[0]);
  CHECK(firsts.size() == 10);
  // float32 and float64 tensors at one place of the stream hold the same numbers.
  Random c(7);
  Random d(7);
  CHECK(distance(random_uniform({9}, 0, 1, c), random_uniform({9}, 0, 1, d, DType::float64)) == 0);
}

TEST_CASE("split streams, neighbouring seeds and the parent stream are uncorrelated") {
  constexpr std::int64_t kCount = 50000;
  Random parent(11);
  Random first = parent.split();
  Random second = parent.split();
  Random neighbour(12);
  CHECK(first.seed != second.seed);
  CHECK(first.seed != parent.seed);
  std::vector<std::vector<double>> streams;
  for (Random* random : {&parent, &first, &second, &neighbour}) {
    streams.push_back(random_uniform({kCount}, 0, 1, *random).to_vector<double>());
  }
  for (std::size_t i = 0; i < streams.size(); ++i) {
    for (std::size_t k = i + 1; k < streams.size(); ++k) {
      CAPTURE(i);
      CAPTURE(k);
      CHECK(std::abs(correlation(streams[i], streams[k])) <
            5 / std::sqrt(static_cast<double>(kCount)));
    }
  }
  Random again(11);
  CHECK(again.split() == Random(first.seed));
}

TEST_CASE("any number of threads gives the same random numbers") {
  for (const std::int64_t count : {5, 65537, 200003}) {
    Tensor uniform;
    Tensor normal;
    for (const int threads : {1, 2, 3}) {
      const Threads scope(threads);
      Random random(kSeed);
      const Tensor u = random_uniform({count}, -1, 1, random);
      const Tensor n = random_normal({count}, 0, 1, random, DType::float64);
      if (threads == 1) {
        uniform = u;
        normal = n;
      }
      CHECK(same_bits(u, uniform));
      CHECK(same_bits(n, normal));
    }
  }
}

TEST_CASE("uniform numbers stay in [low, high), whatever is rounded") {
  struct Range {
    double low, high;
  };
  const double largest = std::numeric_limits<float>::max();
  // 2^-25 from the largest random number to 1: of each range the last one would be rounded to
  // `high`.
  for (const Range& range : {Range{1, 2},
                             {-3, 5},
                             {0.7, 0.9},
                             {1e8, 1e8 + 64},
                             {-1, 1},
                             {1000, 1000.001},
                             {0, 1e-44},
                             {-largest, largest},
                             {-1e-3, 1e9}}) {
    const double low = range.low, high = range.high;
    CAPTURE(low);
    CAPTURE(high);
    for (const DType dtype : {DType::float32, DType::float64}) {
      Random random(kSeed);
      const Tensor x = random_uniform({3'000'000}, low, high, random, dtype);
      CHECK(min(Var(x), {0}).value().to(DType::float64).item() >= low);
      CHECK(max(Var(x), {0}).value().to(DType::float64).item() < high);
    }
  }
  Random random(kSeed);
  const double most = std::numeric_limits<double>::max();
  const Tensor wide = random_uniform({100'000}, -most, most, random, DType::float64);
  CHECK(std::isfinite(max(Var(wide), {0}).value().item()));
  CHECK(max(Var(wide), {0}).value().item() > 0.99 * most);
  CHECK(min(Var(wide), {0}).value().item() < -0.99 * most);
  CHECK(max(Var(random_uniform({5}, 3, 3, random)), {0}).value().item() == 3);
}

TEST_CASE("the largest random number does not become the end of a range") {
  // A search found this seed and a place whose number is 1 - 2^-24.
  std::uint64_t place = 0;
  while (uniform_at(kSeed, place) != 1 - 0x1p-24f) ++place;
  Random random(kSeed);
  random.next = place / 4 * 4;
  const Tensor x = random_uniform({4}, 1, 2, random);
  CHECK(max(Var(x), {0}).value().item() == 2 - 0x1p-23);
  Random again(kSeed);
  again.next = place / 4 * 4;
  const Var weight = parameter(Tensor::zeros({4}));
  nn::init::uniform(weight, -1, 2, again);
  CHECK(max(weight, {0}).value().item() < 2);
}

TEST_CASE("random tensors refuse ranges that have no number") {
  Random random(1);
  CHECK(
      throws_with("random_uniform: low is 2, high 1", [&] { random_uniform({2}, 2, 1, random); }));
  CHECK(throws_with("low is nan", [&] { random_uniform({2}, NAN, 1, random); }));
  CHECK(throws_with("high inf", [&] { random_uniform({2}, 0, INFINITY, random); }));
  CHECK(throws_with("high 1e+39|float32", [&] { random_uniform({2}, 0, 1e39, random); }));
  CHECK(throws_with("no number of float32 lies in [1.00000001, 1.00000002)|float64",
                    [&] { random_uniform({2}, 1.00000001, 1.00000002, random); }));
  CHECK(throws_with("random_normal: mean is 0, deviation -1",
                    [&] { random_normal({2}, 0, -1, random); }));
  CHECK(throws_with("deviation 1e+38|float32", [&] { random_normal({2}, 0, 1e38, random); }));
  CHECK(throws_with("mean is nan", [&] { random_normal({2}, NAN, 1, random); }));
  CHECK(random.next == 0);  // no number was used
}

TEST_CASE("the farthest normal number is finite and where random.h says") {
  const double farthest = std::sqrt(-2 * std::log(0.5 / 4294967296.0));
  CHECK(farthest <= kFarthestNormal);
  CHECK(farthest > kFarthestNormal - 0.001);
}

}  // namespace tapeloop::test
