// SPDX-License-Identifier: MIT
// Letters to copy or to write in reverse: tasks whose difficulty grows with their length alone.
// Knows no model.
#pragma once

#include <string>
#include <vector>

#include "examples/seq2seq/data/pairs.h"
#include "tapeloop/autograd/number/random.h"

namespace seq2seq {

enum class Order { copy, reverse };

inline constexpr int kLetters = 16;  // a to p

// `length` random letters, and the same letters in this order.
Pair letters_pair(Order order, int length, tapeloop::Random& random);
// Lengths 1 to `longest`, all equally likely.
std::vector<Pair> letters_pairs(Order order, std::int64_t count, int longest,
                                tapeloop::Random& random);
// The lengths to measure: about twelve from 1 to twice `longest`; `longest` is one of them.
std::vector<int> measured_lengths(int longest);

}  // namespace seq2seq
