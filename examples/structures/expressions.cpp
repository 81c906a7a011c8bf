// SPDX-License-Identifier: MIT
#include "examples/structures/expressions.h"

namespace structures {
namespace {

std::int64_t draw(std::int64_t low, std::int64_t high, tapeloop::Random& random) {
  return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
}

bool apply(std::int64_t symbol, bool a, bool b) {
  return symbol == conjunction ? a && b : symbol == disjunction ? a || b : a != b;
}

// Adds a tree with this many leaves to the nodes and returns its root.
std::int64_t add_tree(Expression& e, std::int64_t leaves, tapeloop::Random& random) {
  const std::int64_t node = e.nodes();
  const auto at = static_cast<std::size_t>(node);
  e.children.push_back({-1, -1});
  e.values.push_back(false);
  if (leaves == 1) {
    e.symbols.push_back(draw(zero, one, random));
    e.values[at] = e.symbols[at] == one;
    return node;
  }
  e.symbols.push_back(draw(conjunction, exclusive, random));
  const std::int64_t first = draw(1, leaves - 1, random);
  const std::int64_t left = add_tree(e, first, random);
  const std::int64_t right = add_tree(e, leaves - first, random);
  e.children[at] = {left, right};
  e.values[at] = apply(e.symbols[at], e.values[static_cast<std::size_t>(left)],
                       e.values[static_cast<std::size_t>(right)]);
  return node;
}

std::string text_of(const Expression& e, std::int64_t node) {
  constexpr const char* kNames[] = {"0", "1", " and ", " or ", " xor "};
  const auto at = static_cast<std::size_t>(node);
  const std::string name = kNames[e.symbols[at]];
  if (e.children[at][0] < 0) return name;
  return "(" + text_of(e, e.children[at][0]) + name + text_of(e, e.children[at][1]) + ")";
}

}  // namespace

std::string Expression::text() const { return text_of(*this, 0); }

Expression draw_expression(std::int64_t leaves, tapeloop::Random& random) {
  Expression e;
  add_tree(e, leaves, random);
  return e;
}

Forest::Forest(std::vector<Expression> list) : expressions(std::move(list)) {
  for (const Expression& e : expressions) {
    const auto root = static_cast<std::int64_t>(symbols.size());
    roots.push_back(root);
    targets.push_back(e.values[0] ? 1 : 0);
    symbols.insert(symbols.end(), e.symbols.begin(), e.symbols.end());
    for (const auto& pair : e.children) {
      for (const std::int64_t child : pair) children.push_back(child < 0 ? -1 : root + child);
    }
  }
}

Forest draw_forest(std::int64_t count, std::int64_t low, std::int64_t high,
                   tapeloop::Random& random) {
  std::vector<Expression> list;
  for (std::int64_t i = 0; i < count; ++i)
    list.push_back(draw_expression(draw(low, high, random), random));
  return Forest(std::move(list));
}

}  // namespace structures
