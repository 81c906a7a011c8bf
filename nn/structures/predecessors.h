// SPDX-License-Identifier: MIT
// Predecessors: what the step() of a cell gets on a grid, a tree or a graph: the states of the
// nodes before.
#pragma once

#include <cstdint>
#include <span>

namespace tapeloop::nn {

namespace detail {
// Throws: the step reads predecessor p, and nodes have `slots` of them.
[[noreturn]] void fail_predecessor(std::size_t p, std::size_t slots);
}  // namespace detail

// The states of the predecessors of the nodes that run together. State p has the parts [nodes,
// size]: along dimension p of a grid, of child p in a tree.
template <class S>
class Predecessors {
 public:
  explicit Predecessors(std::span<const S> states) : states_(states) {}
  // Throws Error if there is no predecessor p.
  const S& operator[](std::size_t p) const {
    if (p >= states_.size()) detail::fail_predecessor(p, states_.size());
    return states_[p];
  }
  std::size_t size() const { return states_.size(); }  // how many a node has
  auto begin() const { return states_.begin(); }
  auto end() const { return states_.end(); }

 private:
  std::span<const S> states_;
};

}  // namespace tapeloop::nn
