// SPDX-License-Identifier: MIT
// Where the values of one level, and their gradients, are in memory, while a loop goes from level
// to level (level_loop.h).
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
        rows_(program.layout().values.size()),
        drows_(program.backward() ? rows_.size() : 0),
        slots_(static_cast<std::size_t>(std::max(1, order_.slots()))),
        starts_(static_cast<std::size_t>(Place::at_slot) + slots_.size()) {
    if (tables() || order_.levels() < 2) return;
    const std::int64_t up = order_.level(1).first - order_.level(0).first;
    moves_.reserve(rows_.size() + drows_.size());
    const auto add = [&](const Place& place) {
      moves_.push_back(move_of(place, program.backward() ? -up : up));
    };
    for (std::size_t v = 0; v < rows_.size(); ++v) add(program.place(static_cast<int>(v)));
    for (std::size_t v = 0; v < drows_.size(); ++v) add(program.dplace(static_cast<int>(v)));
  }

  // Levels come in their order, or in reverse if the program is of a backward pass.
  void enter(std::int64_t l) {
    level_ = order_.level(l);
    if (entered_ && !moves_.empty()) return follow(l);
    entered_ = true;
    starts_[Place::at_node] = level_.first;
    starts_[Place::at_state] = level_.state;
    starts_[Place::at_block] = ((l + 1) & 1) * program_.widest();
    starts_[Place::at_block_before] = (l & 1) * program_.widest();
    for (int p = 0; p < order_.slots(); ++p) {
      const auto i = static_cast<std::size_t>(p);
      slots_[i] = order_.slot(l, p);
      starts_[static_cast<std::size_t>(Place::at_slot) + i] = slots_[i].begin;
    }
    for (std::size_t v = 0; v < rows_.size(); ++v) {
      const int i = static_cast<int>(v);
      rows_[v] = at(tabled(i) ? program_.gathered(i) : program_.place(i));
    }
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      const int i = static_cast<int>(v);
      drows_[v] = at(tabled(i) ? program_.dgathered(i) : program_.dplace(i));
    }
  }

  const Schedule::Level& level() const { return level_; }
  // The places of a value and of its gradient, which change with the level.
  const LevelRows<T>& rows(int v) const { return rows_[static_cast<std::size_t>(v)]; }
  const LevelRows<T>& drows(int v) const { return drows_[static_cast<std::size_t>(v)]; }

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
  LevelRows<T> at(const Place& place) const {
    return level_rows<T>(place, starts_[static_cast<std::size_t>(place.begins)]);
  }

  // In a chain each matrix lies as far from that of the level before as at other levels: the
  // elements to an even level, and to an odd one.
  struct Move {
    std::int64_t by[2] = {0, 0};
  };
  // `rows`: from a level to the next.
  Move move_of(const Place& place, std::int64_t rows) const {
    const std::int64_t row = place.row_bytes / static_cast<std::int64_t>(sizeof(T));
    const std::int64_t block = program_.widest() * row;
    switch (place.begins) {
      case Place::at_zero: return {};
      case Place::at_block: return {{block, -block}};
      case Place::at_block_before: return {{-block, block}};
      default: return {{rows * row, rows * row}};
    }
  }
  void follow(std::int64_t l) {
    const auto parity = static_cast<std::size_t>(l & 1);
    const Move* move = moves_.data();
    for (LevelRows<T>& rows : rows_) rows.data += (move++)->by[parity];
    for (LevelRows<T>& rows : drows_) rows.data += (move++)->by[parity];
  }

  const LevelProgram& program_;
  const Schedule& order_;
  Schedule::Level level_{};
  PoolVector<LevelRows<T>> rows_, drows_;  // by value
  PoolVector<Move> moves_;                 // of rows_, then of drows_; empty without a chain
  PoolVector<Schedule::Rows> slots_;
  PoolVector<std::int64_t> starts_;  // by Place::Begins: the first row of the level
  bool entered_ = false;
};

}  // namespace tapeloop::detail
