// SPDX-License-Identifier: MIT
// RowWeights: products of one vector, and rounding to bfloat16, against plain loops.
#include "tapeloop/autograd/device/cpu/row_weights.h"

#include <cmath>
#include <limits>

#include "tests/support.h"

namespace tapeloop {
namespace {

using cpu::RowWeights;
using test::random_tensor;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float rounded(float x) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(cpu::round_to_bfloat16(x)) << 16);
}

void check_product(std::int64_t rows, std::int64_t k_of_first, std::int64_t k_of_second,
                   Weights format) {
  CAPTURE(rows);
  CAPTURE(k_of_first);
  CAPTURE(k_of_second);
  CAPTURE(format);
  const Tensor first = random_tensor({rows, k_of_first}, 1, DType::float32);
  const Tensor second = random_tensor({rows, k_of_second}, 2, DType::float32);
  const RowWeights weights(std::array{first, second}, format);
  const std::int64_t k = k_of_first + k_of_second;
  const auto padded = static_cast<std::size_t>((rows + 63) / 64 * 64);
  std::vector<float> a = random_tensor({k}, 3, DType::float32).to_vector<float>();
  const std::vector<float> init =
      random_tensor({static_cast<std::int64_t>(padded)}, 4, DType::float32).to_vector<float>();
  a.resize(a.size() + 64, kNan);  // must not be read, not even to be multiplied by zero
  std::vector<float> y(padded, kNan), backwards(padded, kNan);
  weights.multiply(a.data(), init.data(), y.data(), false);
  weights.multiply(a.data(), init.data(), backwards.data(), true);
  const std::vector<float> w[] = {first.to_vector<float>(), second.to_vector<float>()};
  double worst = 0;
  for (std::int64_t i = 0; i < rows; ++i) {
    double sum = static_cast<double>(init[static_cast<std::size_t>(i)]);
    for (std::int64_t p = 0; p < k; ++p) {
      const float weight = p < k_of_first
                               ? w[0][static_cast<std::size_t>(i * k_of_first + p)]
                               : w[1][static_cast<std::size_t>(i * k_of_second + p - k_of_first)];
      sum += static_cast<double>(format == Weights::bfloat16 ? rounded(weight) : weight) *
             static_cast<double>(a[static_cast<std::size_t>(p)]);
    }
    const float result = y[static_cast<std::size_t>(i)];
    worst = std::max(worst, std::isnan(result) ? 1e9 : std::abs(result - sum));
    REQUIRE(result == backwards[static_cast<std::size_t>(i)]);
  }
  // k roundings of sums that stay below k / 4 for factors within [-1, 1]; in practice a tenth of it.
  CHECK(worst < 6e-8 * static_cast<double>(k + 1) * (1 + static_cast<double>(k) / 4));
}

}  // namespace

TEST_CASE("one row's product agrees with a plain loop, at every odd size and both formats") {
  for (const Weights format : {Weights::float32, Weights::bfloat16}) {
    for (const std::int64_t rows : {1, 2, 4, 5, 15, 17, 63, 65, 129, 160, 260}) {
      for (const std::int64_t k : {1, 2, 3, 15, 17, 63, 65}) {
        check_product(rows, k, 1, format);
        check_product(rows, k, 2, format);
      }
    }
    check_product(520, 301, 300, format);  // beyond a core's own cache
    check_product(800, 500, 301, format);
    check_product(3, 9000, 11, format);  // sums in several blocks
    check_product(70, 4096, 1, format);
  }
}

TEST_CASE("bfloat16 is the nearest one, ties go to the even one, and what is special stays so") {
  CHECK(rounded(1.0f) == 1.0f);
  CHECK(rounded(1.0f + 0x1p-8f) == 1.0f);               // a tie, down to even
  CHECK(rounded(1.0f + 0x1.8p-7f) == 1.0f + 0x1p-6f);   // a tie, up to even
  CHECK(rounded(1.0f + 0x1.02p-8f) == 1.0f + 0x1p-7f);  // just above a tie
  CHECK(rounded(1.0f + 0x1.fep-9f) == 1.0f);            // just below
  CHECK(rounded(-1.0f - 0x1.8p-7f) == -1.0f - 0x1p-6f);
  CHECK(rounded(2.0f - 0x1p-20f) == 2.0f);  // into the next power of two
  CHECK(std::signbit(rounded(-0.0f)));
  CHECK(rounded(0x1p-133f) == 0x1p-133f);  // the smallest there is
  CHECK(rounded(0x1p-135f) == 0.0f);
  CHECK(rounded(kInfinity) == kInfinity);
  CHECK(rounded(-kInfinity) == -kInfinity);
  CHECK(rounded(std::numeric_limits<float>::max()) == kInfinity);
  CHECK(std::isnan(rounded(kNan)));
  CHECK(std::isnan(
      rounded(__builtin_bit_cast(float, 0x7f800001u))));  // its upper half alone is infinity
  CHECK(std::isnan(rounded(__builtin_bit_cast(float, 0xffffffffu))));
}

}  // namespace tapeloop
