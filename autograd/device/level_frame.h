// SPDX-License-Identifier: MIT
// LevelFrame: where the rows of values and gradients of the present level are, for level_loop.h. If
// the rows of a state are not adjacent, it gathers them by a table. It also says when a thread must
// wait for the others before it reads.
#pragma once

#include <algorithm>
#include <array>

#include "tapeloop/autograd/device/level_program.h"

namespace tapeloop::detail {

// A matrix of the present level.
template <class T>
struct LevelRows {
  T* data = nullptr;
  std::int64_t stride = 0;  // elements between rows

  LevelRows columns(std::int64_t first) const { return {data + first, stride}; }
};

template <class T, class Do>
class LevelFrame {
 protected:
  using From = StepLayout::From;
  using Columns = StepLayout::Columns;
  using Value = StepLayout::Value;

  LevelFrame(const LevelProgram& program, Do& device)
      : program_(program),
        step_(program.layout()),
        order_(program.schedule()),
        do_(device),
        values_(step_.values.size()),
        matrices_(program.backward() ? 2 * values_ : values_),
        slots_(static_cast<std::size_t>(order_.slots())) {
    if (tables_ || order_.levels() < 2) return;
    follows_ = true;
    const std::int64_t up = order_.level(1).first - order_.level(0).first;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      matrices_[i].move = move_of(place_of(i), program.backward() ? -up : up);
    }
  }

  const Value& value(int v) const { return step_.values[static_cast<std::size_t>(v)]; }
  int values() const { return static_cast<int>(values_); }
  // The places of a value and of its gradient, which change with the level.
  const LevelRows<T>& rows(int v) const { return matrices_[static_cast<std::size_t>(v)].rows; }
  const LevelRows<T>& drows(int v) const {
    return matrices_[static_cast<std::size_t>(v) + values_].rows;
  }
  LevelRows<T> rows(const Columns& c) const { return rows(c.value).columns(c.first); }
  LevelRows<T> drows(const Columns& c) const { return drows(c.value).columns(c.first); }
  // The number of rows of a value in this level.
  std::int64_t count_of(int v) const { return value(v).by_edge ? edges_.count : level_.count; }

  // Levels come in their order, or in reverse if the program is of a backward pass.
  void enter(std::int64_t l) {
    level_ = order_.level(l);
    if (entered_ && follows_) {
      const auto parity = static_cast<std::size_t>(l & 1);
      for (Matrix& matrix : matrices_) matrix.rows.data += matrix.move[parity];
      return;
    }
    entered_ = true;
    if (order_.has_edges()) edges_ = order_.edges(l);
    starts_[Place::at_node] = level_.first;
    starts_[Place::at_edge] = edges_.first;
    starts_[Place::at_state] = level_.state;
    starts_[Place::at_block] = ((l + 1) & 1) * program_.widest();
    starts_[Place::at_block_before] = (l & 1) * program_.widest();
    for (std::size_t p = 0; p < slots_.size(); ++p) slots_[p] = order_.slot(l, static_cast<int>(p));
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      const Place& place = place_of(i);
      const int slot = place.begins - Place::at_slot;
      matrices_[i].rows = rows_at(place, slot < 0 ? starts_[static_cast<std::size_t>(place.begins)]
                                                  : slots_[static_cast<std::size_t>(slot)].begin);
    }
  }

  // The rows of a place from row `begin` on; of a place of states: all states.
  static LevelRows<T> rows_at(const Place& place, std::int64_t begin = 0) {
    return {reinterpret_cast<T*>(place.base + begin * place.row_bytes),
            place.row_bytes / static_cast<std::int64_t>(sizeof(T))};
  }
  // True if value v is a state whose rows in this level are named by a table. Then rows(v) is
  // scratch memory for them.
  bool tabled(int v) const { return tables_ && table_of(value(v)) != nullptr; }
  // The rows of a state in this level; null if they are a range.
  const std::int64_t* table_of(const Value& value) const {
    if (value.from == From::edge_state) return order_.edge_rows(value.predecessor) + edges_.first;
    if (value.from != From::state) return nullptr;
    return slots_[static_cast<std::size_t>(value.predecessor)].rows;
  }
  // True if these columns are zeros in this level: states that do not exist, or sums over no edges.
  bool zeros(const Columns& x) const {
    if (!tables_) return false;
    const Value& operand = value(x.value);
    if (operand.from == From::state) {
      return slots_[static_cast<std::size_t>(operand.predecessor)].zeros;
    }
    return edges_.count == 0 && step_.sums_edges_alone(x.value);
  }
  // The columns of a state that are gathered by a table.
  LevelProgram::Gathered gathered_columns(int v) const {
    if (value(v).from == From::state) return {0, value(v).size};
    return program_.gathered_columns(v);
  }

  // --- waiting ---

  void wait() {
    do_.wait();
    unseen_ = mixed_ = false;
  }
  void wrote() { unseen_ = together_; }
  // Call it before you read whole rows, or columns that other threads may have written.
  void see() {
    if (unseen_) wait();
  }
  bool given(int v) const { return value(v).from <= From::extra; }
  // Call it before this thread reads its share of the columns c, divided in groups of `unit`.
  void see_units(const Columns& c, std::int64_t unit) {
    if (!unseen_) return;
    const bool made = !given(c.value) || tabled(c.value);
    if (made && (value(c.value).unit != unit || c.first % unit != 0)) see();
  }
  // The same for the gradient of a value.
  void see_gradient(const Columns& c, std::int64_t unit) {
    if (!together_) return;
    const bool same = value(c.value).unit == unit && c.first % unit == 0;
    if (!same || mixed_) see();
    mixed_ = mixed_ || !same;
  }
  void see_whole(int v) {
    if (!given(v) || tabled(v)) see();
  }

  // --- rows that tables name ---

  void gather() {
    if (!tables_) return;
    for (int v = 0; v < values(); ++v) {
      if (!tabled(v) || !program_.read(v)) continue;
      const auto [first, size] = gathered_columns(v);
      if (size == 0 || count_of(v) == 0) continue;
      do_.take(rows(v).columns(first), rows_at(program_.place(v)).columns(first),
               table_of(value(v)), count_of(v), size);
      wrote();
    }
  }

  void scatter() {
    if (!tables_) return;
    for (int v = 0; v < values(); ++v) {
      if (!tabled(v) || drows(v).data == nullptr || count_of(v) == 0) continue;
      if (zeros({v})) continue;
      const auto [first, size] = gathered_columns(v);
      // Another value may add to the same rows in other columns, and so in other shares.
      const bool some = size != value(v).size;
      if (some || mixed_) see();
      mixed_ = mixed_ || (together_ && some);
      do_.give(rows_at(program_.dplace(v)).columns(first), table_of(value(v)),
               drows(v).columns(first), count_of(v), size);
      wrote();
    }
  }

  const LevelProgram& program_;
  const StepLayout& step_;
  const Schedule& order_;
  Do& do_;
  const bool tables_ = !order_.is_chain();   // rows of some levels may be named by tables
  const bool together_ = do_.members() > 1;  // other threads run the loop, too
  Schedule::Level level_{};
  Schedule::Edges edges_{};
  bool unseen_ = false;  // the threads have written since the last wait
  bool mixed_ = false;   // they have divided a gradient in another way than its value

 private:
  // In a chain the distance from a level's rows to those of the next level is one of two numbers:
  // `move` has the elements to an even level, and to an odd one.
  struct Matrix {
    LevelRows<T> rows;
    std::array<std::int64_t, 2> move{};
  };

  // Of a value, or, from values_ on, of a gradient.
  const Place& place_of(std::size_t i) const {
    const bool gradient = i >= values_;
    const int v = static_cast<int>(gradient ? i - values_ : i);
    const bool scratch = tabled(v);
    if (gradient) return scratch ? program_.dgathered(v) : program_.dplace(v);
    return scratch ? program_.gathered(v) : program_.place(v);
  }
  // `rows`: the distance from a level to the next one.
  std::array<std::int64_t, 2> move_of(const Place& place, std::int64_t rows) const {
    const std::int64_t row = place.row_bytes / static_cast<std::int64_t>(sizeof(T));
    const std::int64_t block = program_.widest() * row;
    switch (place.begins) {
      case Place::at_zero: return {};
      case Place::at_block: return {block, -block};
      case Place::at_block_before: return {-block, block};
      default: return {rows * row, rows * row};
    }
  }

  const std::size_t values_;
  PoolVector<Matrix> matrices_;  // of the values, then of their gradients
  PoolVector<Schedule::Rows> slots_;
  std::array<std::int64_t, Place::at_slot> starts_{};  // the first row of the level, by Begins
  bool follows_ = false;                               // a chain of several levels
  bool entered_ = false;
};

}  // namespace tapeloop::detail
