// SPDX-License-Identifier: MIT
// LevelStates: runs a cell level by level on any schedule with slots, by ordinary operations. For
// cells whose step is no Recurrence.
#pragma once

#include <span>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::nn::detail {

// Use: for each level in order, read input() and predecessor(), calculate, append().
class LevelStates {
 public:
  // outside: K parts [schedule.initial_rows(), size], or undefined: zeros. inputs: [V, ..], a row
  // for each node. Throws if shapes do not fit.
  LevelStates(const Schedule& schedule, std::span<const Var> outside,
              std::span<const std::int64_t> sizes, const Var& inputs);
  // The rows of the inputs of level l.
  Var input(std::int64_t l) const { return inputs_[static_cast<std::size_t>(l)]; }
  // Part k of the states that the nodes of level l read in this slot.
  Var predecessor(std::int64_t l, int slot, std::size_t k) const;
  // The states after the next level, K parts [nodes of the level, size].
  void append(std::span<const Var> parts);
  // Part k of the states of all nodes, [V, size], after the last level.
  Var of_nodes(std::size_t k) const;

 private:
  // Where a state row comes from: a level, or, with level -1, the external states; row -1: zeros.
  struct Origin {
    std::int64_t level = -1, row = 0;
  };

  Schedule schedule_;
  PoolVector<Var> outside_;
  PoolVector<std::int64_t> sizes_;
  PoolVector<Var> inputs_;  // by level
  PoolVector<Origin> origins_;
  PoolVector<PoolVector<Var>> levels_;
  DType dtype_;
  Device device_;
};

}  // namespace tapeloop::nn::detail
