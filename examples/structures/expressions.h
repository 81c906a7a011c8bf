// SPDX-License-Identifier: MIT
// Random logical expressions, such as ((1 and 0) xor 1), as trees: a node is a truth value or an
// operation on two parts. A Forest is a batch of them, with the numbers that the models read.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace structures {

enum Symbol : std::int64_t { zero, one, conjunction, disjunction, exclusive };  // 0 1 and or xor
inline constexpr std::int64_t kSymbols = 5;

// The nodes of one expression in prefix order: an operation, all of its first part, all of its
// second part. The root is node 0.
struct Expression {
  std::vector<std::int64_t> symbols;
  std::vector<std::array<std::int64_t, 2>> children;  // node numbers; -1 for truth values
  std::vector<bool> values;                           // of each node, calculated

  std::int64_t nodes() const { return static_cast<std::int64_t>(symbols.size()); }
  std::int64_t leaves() const { return (nodes() + 1) / 2; }
  std::string text() const;  // "((1 and 0) xor 1)"
};

// A tree with this many leaves: each split into two parts is equally likely, so is each symbol.
Expression draw_expression(std::int64_t leaves, tapeloop::Random& random);

// Expressions side by side: the nodes of the first, then those of the second, ...
struct Forest {
  std::vector<Expression> expressions;
  std::vector<std::int64_t> symbols;   // [V]
  std::vector<std::int64_t> children;  // [V, 2], for Schedule::trees_by_children()
  std::vector<std::int64_t> roots;     // the root of each expression
  std::vector<std::int64_t> targets;   // the value of each expression, 0 or 1

  explicit Forest(std::vector<Expression> list);
};

// `count` expressions with low to high leaves, every number equally likely.
Forest draw_forest(std::int64_t count, std::int64_t low, std::int64_t high,
                   tapeloop::Random& random);

}  // namespace structures
