// SPDX-License-Identifier: MIT
// Digits, carries and random sums.
#include "examples/seq2seq/tasks/addition.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

using tapeloop::Random;
using tapeloop::Tensor;

namespace {

void check_size(const char* what, int given, int most) {
  if (given < 1 || given > most) {
    tapeloop::fail("addition", fmt::format("{} is {}, expected 1 to {}", what, given, most));
  }
}

// Writes bit t of f(sum) as [bits + 1, N] to every `stride`-th element from `first`.
template <class F>
void write_bits(const Tensor& to, std::span<const Sum> sums, int bits, std::size_t first,
                std::size_t stride, F f) {
  float* data = to.data<float>();
  for (std::size_t t = 0; t <= static_cast<std::size_t>(bits); ++t) {
    for (std::size_t n = 0; n < sums.size(); ++n) {
      data[(t * sums.size() + n) * stride + first] = static_cast<float>(f(sums[n]) >> t & 1u);
    }
  }
}

}  // namespace

std::vector<int> digits_of(std::uint64_t n, int base, int count) {
  std::vector<int> digits;
  for (int i = 0; i < count; ++i, n /= static_cast<std::uint64_t>(base)) {
    digits.push_back(static_cast<int>(n % static_cast<std::uint64_t>(base)));
  }
  return digits;
}

std::vector<int> carries_of(const Sum& sum, int base, int count) {
  const std::vector<int> a = digits_of(sum.a, base, count), b = digits_of(sum.b, base, count);
  std::vector<int> carries;
  int carry = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    carry = a[i] + b[i] + carry >= base ? 1 : 0;
    carries.push_back(carry);
  }
  return carries;
}

Sum random_binary_sum(int bits, Random& random) {
  check_size("bits", bits, kMostBits);
  const auto number = [&] {  // two draws: one has only 53 bits
    const std::uint64_t high = random.below(std::uint64_t{1} << 31);
    const std::uint64_t low = random.below(std::uint64_t{1} << 31);
    return (high << 31 | low) & ((std::uint64_t{1} << bits) - 1);
  };
  const std::uint64_t a = number();
  return {a, number()};
}

std::vector<Sum> different_binary_sums(std::int64_t count, int bits, Random& random) {
  check_size("bits", bits, kMostBits);
  const std::uint64_t numbers = std::uint64_t{1} << bits;
  std::vector<Sum> sums;
  if (bits < 31 && numbers * numbers <= static_cast<std::uint64_t>(count)) {
    for (std::uint64_t a = 0; a < numbers; ++a) {
      for (std::uint64_t b = 0; b < numbers; ++b) sums.push_back({a, b});
    }
    return sums;
  }
  std::set<Sum> known;
  while (static_cast<std::int64_t>(sums.size()) < count) {
    const Sum sum = random_binary_sum(bits, random);
    if (known.insert(sum).second) sums.push_back(sum);
  }
  return sums;
}

Tensor addend_bits(std::span<const Sum> sums, int bits) {
  check_size("bits", bits, kMostBits);
  Tensor x = Tensor::empty({bits + 1, static_cast<std::int64_t>(sums.size()), 2});
  write_bits(x, sums, bits, 0, 2, [](const Sum& sum) { return sum.a; });
  write_bits(x, sums, bits, 1, 2, [](const Sum& sum) { return sum.b; });
  return x;
}

Tensor sum_bits(std::span<const Sum> sums, int bits) {
  check_size("bits", bits, kMostBits);
  Tensor y = Tensor::empty({bits + 1, static_cast<std::int64_t>(sums.size()), 1});
  write_bits(y, sums, bits, 0, 1, [](const Sum& sum) { return sum.a + sum.b; });
  return y;
}

Sum random_decimal_sum(int digits, Random& random) {
  check_size("digits", digits, kMostDigits);
  const auto number = [&] {
    std::uint64_t n = 0;
    const std::uint64_t length = 1 + random.below(static_cast<std::uint64_t>(digits));
    for (std::uint64_t i = 0; i < length; ++i) {
      const bool first_of_several = i == 0 && length > 1;
      n = 10 * n + (first_of_several ? 1 + random.below(9) : random.below(10));
    }
    return n;
  };
  const std::uint64_t a = number();
  return {a, number()};
}

Pair decimal_pair(const Sum& sum) {
  std::string reversed = to_text(sum.a + sum.b, 10);
  std::reverse(reversed.begin(), reversed.end());
  return {fmt::format("{}+{}", sum.a, sum.b), reversed};
}

bool held_out(const Sum& sum) {
  const auto [low, high] = std::minmax(sum.a, sum.b);
  const tapeloop::Philox4 mixed = tapeloop::philox(low, high, 0);
  return mixed.word[0] % 10 == 0;
}

std::string to_text(std::uint64_t n, int base) {
  std::string text;
  do {
    text += static_cast<char>('0' + n % static_cast<std::uint64_t>(base));
    n /= static_cast<std::uint64_t>(base);
  } while (n > 0);
  std::reverse(text.begin(), text.end());
  return text;
}

std::optional<Sum> parse_sum(std::string_view text, int base, int most) {
  Sum sum;
  int digits = 0;
  bool second = false;
  for (char c : text) {
    if (c == ' ') continue;
    if (c == '+' && !second && digits > 0) {
      second = true;
      digits = 0;
      continue;
    }
    if (c < '0' || c >= '0' + base || ++digits > most) return {};
    std::uint64_t& n = second ? sum.b : sum.a;
    n = n * static_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(c - '0');
  }
  if (!second || digits == 0) return {};
  return sum;
}

}  // namespace seq2seq
