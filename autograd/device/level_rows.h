// SPDX-License-Identifier: MIT
// Where the values of one level, and their gradients, are in memory, while a loop goes from level
// to level (level_loop.h).
#pragma once

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

template <class T>
LevelRows<T> level_rows(const Place& place, std::int64_t begin = 0) {
  return {reinterpret_cast<T*>(place.base + begin * place.row_bytes),
          place.row_bytes / static_cast<std::int64_t>(sizeof(T))};
}

template <class T>
class LevelPosition {
 public:
  explicit LevelPosition(const LevelProgram& program)
      : program_(program),
        order_(program.schedule()),
        values_(program.layout().values.size()),
        matrices_(program.backward() ? 2 * values_ : values_),
        slots_(static_cast<std::size_t>(order_.slots())) {
    if (tables() || order_.levels() < 2) return;
    follows_ = true;
    const std::int64_t up = order_.level(1).first - order_.level(0).first;
    for (std::size_t i = 0; i < matrices_.size(); ++i) {
      matrices_[i].move = move_of(place(i), program.backward() ? -up : up);
    }
  }

  // Levels come in their order, or in reverse if the program is of a backward pass.
  void enter(std::int64_t l) {
    level_ = order_.level(l);
    if (entered_ && follows_) {
      const auto parity = static_cast<std::size_t>(l & 1);
      for (Matrix& matrix : matrices_) matrix.rows.data += matrix.move[parity];
      return;
    }
    entered_ = true;
    starts_ = {0, level_.first, level_.state, ((l + 1) & 1) * program_.widest(),
               (l & 1) * program_.widest()};
    for (std::size_t p = 0; p < slots_.size(); ++p) slots_[p] = order_.slot(l, static_cast<int>(p));
    for (std::size_t i = 0; i < matrices_.size(); ++i) matrices_[i].rows = at(place(i));
  }

  const Schedule::Level& level() const { return level_; }
  // The places of a value and of its gradient, which change with the level.
  const LevelRows<T>& rows(int v) const { return matrices_[static_cast<std::size_t>(v)].rows; }
  const LevelRows<T>& drows(int v) const {
    return matrices_[static_cast<std::size_t>(v) + values_].rows;
  }

  // True if tables may name the rows of states.
  bool tables() const { return !order_.is_chain(); }
  // True if value v is a state whose rows in this level are named by a table. Then rows(v) is
  // scratch memory for them.
  bool tabled(int v) const {
    if (!tables()) return false;
    const StepLayout::Value& value = program_.layout().values[static_cast<std::size_t>(v)];
    return value.from == StepLayout::From::state && slot_of(value).rows != nullptr;
  }
  // The rows of a value that is a state.
  const Schedule::Rows& slot_of(const StepLayout::Value& state) const {
    return slots_[static_cast<std::size_t>(state.predecessor)];
  }

 private:
  // In a chain each matrix lies as far from that of the level before as at other levels: `move`
  // has the elements to an even level, and to an odd one.
  struct Matrix {
    LevelRows<T> rows;
    std::array<std::int64_t, 2> move{};
  };

  // Of a value, or, from values_ on, of a gradient.
  const Place& place(std::size_t i) const {
    const bool gradient = i >= values_;
    const int v = static_cast<int>(gradient ? i - values_ : i);
    const bool scratch = tabled(v);
    if (gradient) return scratch ? program_.dgathered(v) : program_.dplace(v);
    return scratch ? program_.gathered(v) : program_.place(v);
  }
  LevelRows<T> at(const Place& place) const {
    const int slot = place.begins - Place::at_slot;
    return level_rows<T>(place, slot < 0 ? starts_[static_cast<std::size_t>(place.begins)]
                                         : slots_[static_cast<std::size_t>(slot)].begin);
  }
  // `rows`: from a level to the next.
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

  const LevelProgram& program_;
  const Schedule& order_;
  const std::size_t values_;
  Schedule::Level level_{};
  PoolVector<Matrix> matrices_;  // of the values, then of their gradients
  PoolVector<Schedule::Rows> slots_;
  std::array<std::int64_t, Place::at_slot> starts_{};  // the first row of the level, by Begins
  bool follows_ = false;                               // a chain of several levels
  bool entered_ = false;
};

}  // namespace tapeloop::detail
