// SPDX-License-Identifier: MIT
// LevelStates: the states of a schedule that runs level by level by operations on Vars. Each row of
// a state is cut from its level once, however many nodes read it, so that the time of a backward
// pass is linear in the rows that are read.
#pragma once

#include <span>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::detail {

class LevelStates {
 public:
  // initial: K parts [schedule.initial_rows(), size]; an undefined part is zeros. `schedule` must
  // outlive this object.
  LevelStates(const Schedule& schedule, std::span<const Var> initial,
              std::span<const std::int64_t> sizes, DType dtype, Device device);

  // Part k of the states that the nodes of level l read as predecessor p, or that its edges read by
  // a table.
  Var slot(std::int64_t l, int p, std::size_t k) { return rows(k, schedule_.slot(l, p)); }
  Var edge(std::int64_t l, int table, std::size_t k);
  // The next level has run: its K parts.
  void add_level(std::span<const Var> parts);
  // After all levels: part k of the states of all nodes, or of the last states of sequences.
  Var of_nodes(std::size_t k) const;
  Var finals(std::size_t k) { return rows(k, schedule_.finals()); }

 private:
  // Where a state row comes from: row `row` of a level. If `level` is -1: row `row` of the initial
  // states, or zeros if `row` is -1, too.
  struct Origin {
    std::int64_t level = -1, row = -1;
  };
  // A Var, cut where a list of rows begins or ends.
  struct Cut {
    PoolVector<Var> pieces;  // empty: not cut yet
  };

  Origin& origin(std::int64_t row) { return origins_[static_cast<std::size_t>(row)]; }
  bool zeros(const Origin& origin) const { return origin.level < 0 && origin.row < 0; }
  // The number of a source's row among the rows of all levels and, after them, the initial states.
  std::int64_t source_row(const Origin& origin) const;
  void place_rows();
  void mark_cuts(const Schedule::Rows& list);
  Var rows(std::size_t k, const Schedule::Rows& list);
  const Var& piece(std::size_t k, const Origin& start);

  const Schedule& schedule_;
  PoolVector<Var> initial_;
  PoolVector<std::int64_t> sizes_;
  DType dtype_;
  Device device_;
  PoolVector<Origin> origins_;          // by state row
  PoolVector<bool> begins_;             // by source row: a piece begins there
  PoolVector<std::int64_t> piece_;      // by source row: its piece in its level
  PoolVector<PoolVector<Var>> levels_;  // by level: the K parts
  PoolVector<PoolVector<Cut>> cuts_;    // by level, and last the initial states; by part
};

}  // namespace tapeloop::detail
