// SPDX-License-Identifier: MIT
// Sums to learn addition from: numbers as digits, and the carries that are in no example but must be found.
// Knows no model. Numbers are unsigned; digits are counted from the lowest.
//   T digits, N sums
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "examples/seq2seq/pairs.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace seq2seq {

struct Sum {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  auto operator<=>(const Sum&) const = default;
};

inline constexpr int kMostBits = 62;    // so that a sum fits into 64 bits
inline constexpr int kMostDigits = 18;  // the same for decimal digits

// The lowest `count` digits of n to this base, the lowest first.
std::vector<int> digits_of(std::uint64_t n, int base, int count);
// The carry out of each of the lowest `count` digits of a + b: 0 or 1.
std::vector<int> carries_of(const Sum& sum, int base, int count);

// Two random numbers of this many bits, high bits as often 0 as 1. 1 <= bits <= kMostBits.
Sum random_binary_sum(int bits, tapeloop::Random& random);
// `count` different ones, or all there are.
std::vector<Sum> different_binary_sums(std::int64_t count, int bits, tapeloop::Random& random);
// What a network reads, [bits + 1, N, 2]: in step t bit t of a and of b; the last step, of zeros, leaves room for the carry.
tapeloop::Tensor addend_bits(std::span<const Sum> sums, int bits);
// What it is to say, [bits + 1, N, 1]: bit t of a + b.
tapeloop::Tensor sum_bits(std::span<const Sum> sums, int bits);

// Two random numbers of 1 to `digits` decimal digits each, all lengths equally likely.
Sum random_decimal_sum(int digits, tapeloop::Random& random);
// "57+168" and "522": the sum is written from its lowest digit, as one calculates it.
Pair decimal_pair(const Sum& sum);
// One in ten, a function of the numbers in either order: these are never trained on.
bool held_out(const Sum& sum);

// "57+168", spaces allowed, digits of this base. Empty where the text is no sum or a number has more than `most` digits.
std::optional<Sum> parse_sum(std::string_view text, int base, int most);
std::string to_text(std::uint64_t n, int base);

}  // namespace seq2seq
