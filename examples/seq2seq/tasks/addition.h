// SPDX-License-Identifier: MIT
// Sums to learn addition from: numbers as digits, and their carries, which the model never sees.
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

#include "examples/seq2seq/data/pairs.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace seq2seq {

struct Sum {
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  auto operator<=>(const Sum&) const = default;
};

inline constexpr int kMostBits = 62;    // so that a sum fits into 64 bits
inline constexpr int kMostDigits = 18;  // the same limit for decimal digits

// The lowest `count` digits of n to this base, the lowest first.
std::vector<int> digits_of(std::uint64_t n, int base, int count);
// The carry out of each of the lowest `count` digits of a + b: 0 or 1.
std::vector<int> carries_of(const Sum& sum, int base, int count);

// Two random numbers of this many bits. High bits are as often 0 as 1. 1 <= bits <= kMostBits.
Sum random_binary_sum(int bits, tapeloop::Random& random);
// Makes `count` different sums, or all possible ones if there are fewer.
std::vector<Sum> different_binary_sums(std::int64_t count, int bits, tapeloop::Random& random);
// The input of the network, [bits + 1, N, 2]: in step t bit t of a and of b. The last step is
// zeros: it leaves room for the carry.
tapeloop::Tensor addend_bits(std::span<const Sum> sums, int bits);
// The target of the network, [bits + 1, N, 1]: bit t of a + b.
tapeloop::Tensor sum_bits(std::span<const Sum> sums, int bits);

// Two random numbers of 1 to `digits` decimal digits each, all lengths equally likely.
Sum random_decimal_sum(int digits, tapeloop::Random& random);
// Makes "57+168" and "522": the sum is written from its lowest digit, in the order of the
// calculation.
Pair decimal_pair(const Sum& sum);
// True for one sum in ten, independent of the numbers' order: no training uses these.
bool held_out(const Sum& sum);

// Reads "57+168", with spaces allowed, in digits of this base. Empty if the text is not a sum or a
// number has more than `most` digits.
std::optional<Sum> parse_sum(std::string_view text, int base, int most);
std::string to_text(std::uint64_t n, int base);

}  // namespace seq2seq
