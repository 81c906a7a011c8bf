// SPDX-License-Identifier: MIT
// Random letters.
#include "examples/seq2seq/tasks/lengths.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

Pair letters_pair(Order order, int length, tapeloop::Random& random) {
  if (length < 1) {
    tapeloop::fail("letters", fmt::format("the length is {}, expected 1 or more", length));
  }
  Pair pair;
  for (int i = 0; i < length; ++i) {
    pair.source += static_cast<char>('a' + random.below(kLetters));
  }
  pair.target = pair.source;
  if (order == Order::reverse) std::reverse(pair.target.begin(), pair.target.end());
  return pair;
}

std::vector<Pair> letters_pairs(Order order, std::int64_t count, int longest,
                                tapeloop::Random& random) {
  std::vector<Pair> pairs;
  pairs.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto length = 1 + random.below(static_cast<std::uint64_t>(longest));
    pairs.push_back(letters_pair(order, static_cast<int>(length), random));
  }
  return pairs;
}

std::vector<int> measured_lengths(int longest) {
  const int step = std::max(1, longest / 6);
  std::vector<int> lengths;
  if (longest % step != 1 % step) lengths.push_back(1);
  const int first = longest % step == 0 ? step : longest % step;
  for (int length = first; length <= 2 * longest; length += step) lengths.push_back(length);
  return lengths;
}

}  // namespace seq2seq
