// SPDX-License-Identifier: MIT
// Where the values of a LevelRun and their gradients are in memory, and in which way each gradient
// is written. Made once for a run, read by the loop over levels (level_loop.h).
#pragma once

#include "tapeloop/autograd/device/level_run.h"

namespace tapeloop::detail {

// A matrix with a row for each node or each edge of a level. It begins at row rows[begins] of
// `base`.
struct Place {
  // What counts the rows. `slot` and higher: the predecessors in slot 0, 1, ...
  enum Begins { at_zero, at_node, at_edge, at_state, at_block, at_block_before, at_slot };
  char* base = nullptr;
  std::int64_t row_bytes = 0;
  int begins = at_zero;
};

// How the gradient of an argument is written.
enum class Write : std::uint8_t {
  none,  // nobody wants it
  put,   // it is the first contribution
  add,   // others have written before: through scratch memory, then added
  sum    // of a parameter that is the same for all rows: the sum over the rows is added
};

class LevelProgram {
 public:
  explicit LevelProgram(const LevelRun& run);
  explicit LevelProgram(const LevelBackward& run);

  const StepLayout& layout() const { return *run_.layout; }
  const Schedule& schedule() const { return *run_.schedule; }
  const LevelRun& run() const { return run_; }
  DType dtype() const { return dtype_; }
  std::int64_t element() const { return size_of(dtype_); }
  std::int64_t widest() const { return widest_; }  // the most nodes of a level

  // The most rows that a value has in a level: of nodes or of edges.
  std::int64_t widest(const StepLayout::Value& value) const {
    return value.by_edge ? widest_edges_ : widest_;
  }

  // By value. Of edge states: all states.
  const Place& place(int v) const { return places_[static_cast<std::size_t>(v)]; }
  const Place& dplace(int v) const { return dplaces_[static_cast<std::size_t>(v)]; }
  // Scratch memory for the rows that a table names, for a value that is a state; by value.
  const Place& gathered(int v) const { return gathered_[static_cast<std::size_t>(v)]; }
  const Place& dgathered(int v) const { return dgathered_[static_cast<std::size_t>(v)]; }
  // Of edge states: the columns that are gathered into scratch memory. Sums of edges read the
  // states themselves.
  struct Gathered {
    std::int64_t first = 0, size = 0;
  };
  Gathered gathered_columns(int v) const { return gathered_columns_[static_cast<std::size_t>(v)]; }
  // True if the value is kept for one level only.
  bool is_scratch(int v) const { return is_scratch_[static_cast<std::size_t>(v)]; }
  // True if the gradient must be 0 before the operations of a level add to it.
  bool cleared(int v) const { return cleared_[static_cast<std::size_t>(v)]; }

  // By operation: the ways in which the gradients of its arguments or terms are written, and, last,
  // that of what a product or a layer norm adds.
  std::span<const Write> writes(std::size_t op) const { return writes_[op]; }
  // Scratch memory for the gradient of argument i, if it is added or summed.
  const Place& scratch(std::size_t op, std::size_t i) const { return scratch_[op][i]; }
  // The value's gradient is kept in two levels, to which `upstream` is added.
  bool two_levels(int part) const { return two_levels_[static_cast<std::size_t>(part)]; }
  // Whole rows of memory that the next level overwrites are read.
  bool ends_with_wait() const { return ends_with_wait_; }

 private:
  void place_values();
  void place_gradients(const LevelBackward& run);
  void choose_writes();
  void find_gathered_columns();
  Place new_scratch(std::int64_t columns, bool by_edge);

  LevelRun run_;
  DType dtype_{};
  Device device_{};
  std::int64_t widest_ = 0, widest_edges_ = 0;
  bool ends_with_wait_ = false;
  PoolVector<Place> places_, dplaces_, gathered_, dgathered_;
  PoolVector<Gathered> gathered_columns_;
  PoolVector<bool> is_scratch_, cleared_;
  PoolVector<bool> two_levels_;
  PoolVector<PoolVector<Write>> writes_;
  PoolVector<PoolVector<Place>> scratch_;
  PoolVector<Tensor> memory_;  // what the scratch places point to
};

}  // namespace tapeloop::detail
