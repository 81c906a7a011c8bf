// SPDX-License-Identifier: MIT
// LevelFrame: where the rows of the present level are, for level_loop.h: those of values and of
// their gradients, gathered by tables where the rows of a state are not adjacent; and when a thread
// must wait for the others before it reads.
#pragma once

#include <algorithm>

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
        rows_(step_.values.size()),
        drows_(step_.values.size()),
        slots_(static_cast<std::size_t>(std::max(1, order_.slots()))),
        starts_(static_cast<std::size_t>(Place::at_slot) + slots_.size()) {}

  const Value& value(int v) const { return step_.values[static_cast<std::size_t>(v)]; }
  LevelRows<T> rows(int v) const { return rows_[static_cast<std::size_t>(v)]; }
  LevelRows<T> drows(int v) const { return drows_[static_cast<std::size_t>(v)]; }
  LevelRows<T> rows(const Columns& c) const { return rows(c.value).columns(c.first); }
  LevelRows<T> drows(const Columns& c) const { return drows(c.value).columns(c.first); }
  // The number of rows of a value in this level.
  std::int64_t count_of(int v) const { return value(v).by_edge ? edges_.count : level_.count; }

  void enter(std::int64_t l) {
    level_ = order_.level(l);
    starts_[Place::at_node] = level_.first;
    starts_[Place::at_state] = level_.state;
    if (order_.has_edges()) edges_ = order_.edges(l);
    starts_[Place::at_edge] = edges_.first;
    starts_[Place::at_block] = ((l + 1) & 1) * program_.widest();
    starts_[Place::at_block_before] = (l & 1) * program_.widest();
    for (int p = 0; p < order_.slots(); ++p) {
      const auto i = static_cast<std::size_t>(p);
      slots_[i] = order_.slot(l, p);
      starts_[static_cast<std::size_t>(Place::at_slot) + i] = slots_[i].begin;
    }
    for (std::size_t v = 0; v < rows_.size(); ++v) {
      rows_[v] = at(tabled(v) ? program_.gathered(static_cast<int>(v))
                              : program_.place(static_cast<int>(v)));
    }
  }
  void enter_gradients() {
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      drows_[v] = at(tabled(v) ? program_.dgathered(static_cast<int>(v))
                               : program_.dplace(static_cast<int>(v)));
    }
  }
  LevelRows<T> at(const Place& place) const {
    return {reinterpret_cast<T*>(place.base +
                                 starts_[static_cast<std::size_t>(place.begins)] * place.row_bytes),
            place.row_bytes / static_cast<std::int64_t>(sizeof(T))};
  }
  // True if value v is a state whose rows in this level are named by a table.
  bool tabled(std::size_t v) const { return tables_ && table_of(step_.values[v]) != nullptr; }
  // The rows of a state in this level; null if they are a range.
  const std::int64_t* table_of(const Value& value) const {
    if (value.from == From::edge_state) return order_.edge_rows(value.predecessor) + edges_.first;
    if (value.from != From::state) return nullptr;
    return slots_[static_cast<std::size_t>(value.predecessor)].rows;
  }
  // True if these columns are zeros in this level: those of states that do not exist.
  bool zeros(const Columns& x) const {
    const Value& state = value(x.value);
    return tables_ && state.from == From::state &&
           slots_[static_cast<std::size_t>(state.predecessor)].zeros;
  }
  static LevelRows<T> states_at(const Place& place) {
    return {reinterpret_cast<T*>(place.base),
            place.row_bytes / static_cast<std::int64_t>(sizeof(T))};
  }
  // The columns of a state that are gathered by a table.
  LevelProgram::Gathered gathered_columns(std::size_t v) const {
    const Value& value = step_.values[v];
    if (value.from == From::state) return {0, value.size};
    return program_.gathered_columns(static_cast<int>(v));
  }

  // --- waiting ---

  void wait() {
    do_.wait();
    unseen_ = mixed_ = false;
  }
  // Before whole rows are read, or columns that other threads may have written.
  void see() {
    if (unseen_) wait();
  }
  bool given(int v) const { return value(v).from <= From::extra; }
  // Before this thread uses its own of `unit` units of value v.
  void see_units(const Columns& c, std::int64_t unit) {
    const bool made = !given(c.value) || tabled(static_cast<std::size_t>(c.value));
    if (made && (value(c.value).unit != unit || c.first % unit != 0)) see();
  }
  // The same for the gradient of v.
  void see_gradient(const Columns& c, std::int64_t unit) {
    const bool same = value(c.value).unit == unit && c.first % unit == 0;
    if (!same || mixed_) see();
    mixed_ = mixed_ || !same;
  }
  void see_whole(int v) {
    if (!given(v) || tabled(static_cast<std::size_t>(v))) see();
  }

  // --- rows that tables name ---

  void gather() {
    if (!tables_) return;
    for (std::size_t v = 0; v < rows_.size(); ++v) {
      if (!tabled(v)) continue;
      const auto [first, size] = gathered_columns(v);
      const auto i = static_cast<int>(v);
      if (size == 0 || count_of(i) == 0) continue;
      do_.take(rows_[v].columns(first), states_at(program_.place(i)).columns(first),
               table_of(step_.values[v]), count_of(i), size);
      unseen_ = true;
    }
  }

  void scatter() {
    if (!tables_) return;
    if (mixed_) see();
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      const auto i = static_cast<int>(v);
      if (!tabled(v) || drows_[v].data == nullptr || count_of(i) == 0) continue;
      if (zeros({i})) continue;
      const auto [first, size] = gathered_columns(v);
      do_.give(states_at(program_.dplace(i)).columns(first), table_of(step_.values[v]),
               drows_[v].columns(first), count_of(i), size);
      unseen_ = true;
    }
  }

  const LevelProgram& program_;
  const StepLayout& step_;
  const Schedule& order_;
  Do& do_;
  const bool tables_ = !order_.is_chain();  // rows of some levels may be named by tables
  Schedule::Level level_{};
  Schedule::Edges edges_{};
  bool unseen_ = false;  // the threads have written since the last wait
  bool mixed_ = false;   // they have divided a gradient in another way than its value

 private:
  PoolVector<LevelRows<T>> rows_, drows_;
  PoolVector<Schedule::Rows> slots_;
  PoolVector<std::int64_t> starts_;
};

}  // namespace tapeloop::detail
