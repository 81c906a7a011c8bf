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
  none,  // nothing reads it, or it is in its place already
  put,   // it is the first contribution
  add,   // it is added to earlier ones; a formula writes it to scratch memory first
  sum    // of a parameter that is the same for all rows: the sum over the rows is added
};

// One contribution to the gradient of a value.
struct GradientWrite {
  Write way = Write::none;
  int value = -1;          // whose gradient
  std::int64_t units = 0;  // columns of an argument of a formula; 0: it is no argument
  bool by_edge = false;    // the formula runs on edges
  Place scratch{};         // for these columns, if they are added or summed
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
  bool backward() const { return backward_; }      // made from a LevelBackward

  // The most rows that a value has in a level: of nodes or of edges.
  std::int64_t widest(const StepLayout::Value& value) const {
    return value.by_edge ? widest_edges_ : widest_;
  }

  // By value. Of edge states: all states.
  const Place& place(int v) const { return places(v).value; }
  const Place& dplace(int v) const { return places(v).gradient; }
  // Scratch memory for the rows that a table names, for a value that is a state; by value.
  const Place& gathered(int v) const { return places(v).gathered; }
  const Place& dgathered(int v) const { return places(v).dgathered; }
  // Of edge states: the columns that are gathered into scratch memory. Sums of edges read the
  // states themselves.
  struct Gathered {
    std::int64_t first = 0, size = 0;
  };
  Gathered gathered_columns(int v) const { return places(v).columns; }
  // True if the loop reads the rows of a value that is a state. In a backward pass only formulas,
  // layer norms and spread values read them.
  bool read(int v) const { return places(v).read; }
  // True if the value is kept for one level only.
  bool is_scratch(int v) const { return places(v).is_scratch; }
  // True if the gradient must be 0 before the operations of a level add to it.
  bool cleared(int v) const { return places(v).cleared; }

  // The writes of an operation. Formula: one for each argument. Others: one for each term or for x,
  // and last one for the value that the operation adds.
  std::span<const GradientWrite> writes(std::size_t op) const {
    const std::size_t first = first_write_[op];
    const std::size_t end = op == 0 ? writes_.size() : first_write_[op - 1];
    return std::span(writes_).subspan(first, end - first);
  }
  // True if only two levels of this part's gradient are kept. The loop adds `upstream` to each.
  bool two_levels(int part) const { return (two_levels_ >> part & 1) != 0; }
  // True if a level must end with a wait: it reads whole rows of memory that the next one
  // overwrites.
  bool ends_with_wait() const { return ends_with_wait_; }

 private:
  struct ValuePlaces {
    Place value{}, gradient{}, gathered{}, dgathered{};
    Gathered columns{};
    bool is_scratch = false;
    bool cleared = false;
    bool read = true;
  };
  const ValuePlaces& places(int v) const { return places_[static_cast<std::size_t>(v)]; }

  void mark_read(int v) { places_[static_cast<std::size_t>(v)].read = true; }
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
  bool backward_ = false;
  unsigned two_levels_ = 0;              // bit k: of part k
  PoolVector<ValuePlaces> places_;       // by value
  PoolVector<GradientWrite> writes_;     // of the last operation first
  PoolVector<std::size_t> first_write_;  // by operation
  PoolVector<Tensor> memory_;            // what the scratch places point to
};

}  // namespace tapeloop::detail
