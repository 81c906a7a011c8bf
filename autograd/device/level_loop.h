// SPDX-License-Identifier: MIT
// The loop over the levels of a recurrence, forwards and backwards, for every step, every order and
// every device. It reads a LevelProgram. `Do` is a device, or one of several threads that run the
// loop together, each on its own units: it has the operations on the rows of one level.
//
// A thread that reads whole rows must see what the others wrote: before that the threads wait for
// each other. All of them run the same loop, so they agree where to wait.
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
class LevelLoop {
 public:
  LevelLoop(const LevelProgram& program, Do& device)
      : program_(program),
        step_(program.layout()),
        order_(program.schedule()),
        do_(device),
        rows_(step_.values.size()),
        drows_(step_.values.size()),
        plans_(step_.operations.size()),
        slots_(static_cast<std::size_t>(std::max(1, order_.slots()))),
        starts_(static_cast<std::size_t>(Place::at_slot) + slots_.size()) {}

  void forward() {
    for (std::size_t i = 0; i < plans_.size(); ++i) prepare_forward(i);
    for (std::int64_t l = 0; l < order_.levels(); ++l) {
      enter(l);
      gather();
      for (std::size_t i = 0; i < step_.operations.size(); ++i) {
        const StepLayout::Operation& op = step_.operations[i];
        if (count_of(op.result) == 0) continue;
        switch (op.kind) {
          case From::product: product(op); break;
          case From::layer_norm: layer_norm(op); break;
          case From::spread: spread(op); break;
          case From::edge_sum: edge_sum(op); break;
          default: formula(op, plans_[i]);
        }
        unseen_ = true;
      }
      wait();
    }
  }

  // `upstream`: as in LevelBackward.
  void backward(std::span<const Tensor> upstream) {
    for (std::size_t i = 0; i < plans_.size(); ++i) prepare_backward(i);
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      clears_ = clears_ || program_.cleared(static_cast<int>(v));
    }
    for (std::int64_t l = order_.levels(); l-- > 0;) {
      enter(l);
      enter_gradients();
      gather();
      spread_again();
      add_upstream(upstream);
      clear();
      for (std::size_t i = step_.operations.size(); i-- > 0;) {
        const StepLayout::Operation& op = step_.operations[i];
        // The gradient of a spread value is that of nodes: zeros without edges.
        if (count_of(op.result) == 0 && op.kind != From::spread) continue;
        switch (op.kind) {
          case From::product: product_gradient(op, i); break;
          case From::layer_norm: layer_norm_gradient(op, i); break;
          case From::spread: spread_gradient(op, i); break;
          case From::edge_sum: edge_sum_gradient(op, i); break;
          default: formula_gradient(op, i);
        }
        unseen_ = true;
      }
      scatter();
      if (program_.ends_with_wait()) wait();
    }
    wait();
  }

 private:
  using From = StepLayout::From;
  using Columns = StepLayout::Columns;
  using Value = StepLayout::Value;

  const Value& value(int v) const { return step_.values[static_cast<std::size_t>(v)]; }
  LevelRows<T> rows(int v) const { return rows_[static_cast<std::size_t>(v)]; }
  LevelRows<T> drows(int v) const { return drows_[static_cast<std::size_t>(v)]; }
  LevelRows<T> rows(const Columns& c) const { return rows(c.value).columns(c.first); }
  LevelRows<T> drows(const Columns& c) const { return drows(c.value).columns(c.first); }
  // The number of rows of a value in this level.
  std::int64_t count_of(int v) const { return value(v).by_edge ? edges_.count : level_.count; }

  // --- where the level is ---

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

  // --- forward ---

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

  void product(const StepLayout::Operation& op) {
    const Value& y = value(op.result);
    const LevelRows<T> to = rows(op.result);
    LevelRows<T> start{};
    if (op.add.given()) {
      see_units(op.add, y.unit);
      start = rows(op.add);
    } else if (op.bias >= 0) {
      start = rows(op.bias);
    }
    for (const StepLayout::Term& term : op.terms) {
      see_whole(term.x.value);
      do_.product(term.weight, count_of(op.result), rows(term.x), term.x.size, start, to, y.size,
                  y.unit);
      start = to;
    }
    if (op.add.given() && op.bias >= 0) {
      do_.add(to, rows(op.bias), count_of(op.result), y.size, y.unit);
    }
  }

  void layer_norm(const StepLayout::Operation& op) {
    see();
    const Value& y = value(op.result);
    do_.layer_norm(op.groups, op.epsilon, rows(op.x), row(op.scale), row(op.bias),
                   op.add.given() ? rows(op.add) : LevelRows<T>{}, rows(op.result),
                   count_of(op.result), y.size, y.unit);
  }

  void spread(const StepLayout::Operation& op) {
    const Value& y = value(op.result);
    see_units(op.x, y.unit);
    do_.spread(rows(op.result), nullptr, rows(op.x), edges_.begins, level_.count, y.size, y.unit,
               false, false);
  }
  // In a backward pass: the spread values that the forward pass did not keep.
  void spread_again() {
    if (edges_.count == 0) return;
    for (const StepLayout::Operation& op : step_.operations) {
      if (op.kind != From::spread || !program_.is_scratch(op.result)) continue;
      spread(op);
      unseen_ = true;
    }
  }

  void edge_sum(const StepLayout::Operation& op) {
    const Value& y = value(op.result);
    if (op.add.given()) see_units(op.add, y.unit);
    const LevelRows<T> start = op.add.given() ? rows(op.add) : LevelRows<T>{};
    if (const Value& x = value(op.x.value); x.from == From::edge_state) {
      do_.edge_sum(rows(op.result), start,
                   states_at(program_.place(op.x.value)).columns(op.x.first), table_of(x),
                   edges_.begins, level_.count, y.size, y.unit, op.mean);
    } else {
      if (edges_.count > 0) see_units(op.x, y.unit);
      do_.edge_sum(rows(op.result), start, rows(op.x), nullptr, edges_.begins, level_.count, y.size,
                   y.unit, op.mean);
    }
  }
  const T* row(int v) const { return v < 0 ? nullptr : rows(v).data; }

  void prepare_forward(std::size_t i) {
    const StepLayout::Operation& op = step_.operations[i];
    if (op.kind != From::formula) return;
    LoopPlan& plan = plans_[i];
    plan.rank = 2;
    plan.overwritten = 0;
  }

  static void set(LoopPlan& plan, int& count, LevelRows<T> rows) {
    LoopPlan::Operand& operand = plan.operands[count++];
    operand.data = reinterpret_cast<char*>(rows.data);
    operand.strides[0] = rows.stride;
    operand.strides[1] = 1;
  }
  int set_arguments(const StepLayout::Operation& op, LoopPlan& plan) {
    int count = 0;
    for (const Columns& c : op.arguments) {
      see_units(c, op.units);
      const LevelRows<T> all = rows(c);
      for (std::int64_t at = 0; at < c.size; at += op.units) set(plan, count, all.columns(at));
    }
    return count;
  }

  void formula(const StepLayout::Operation& op, LoopPlan& plan) {
    int count = set_arguments(op, plan);
    for (int k = 0; k < op.kernel->outputs; ++k) set(plan, count, rows(op.result + k));
    plan.sizes[0] = count_of(op.result);
    do_.formula(*op.kernel, op.formula.bytes, plan, count, op.units);
  }

  // --- backward ---

  // The gradients of the results are added level by level: a sequence in two parts then has the
  // same bits as the whole.
  void add_upstream(std::span<const Tensor> upstream) {
    if (mixed_) see();
    for (int k = 0; k < step_.parts(); ++k) {
      const Tensor& dy = upstream[static_cast<std::size_t>(k)];
      if (!program_.two_levels(k) || !dy.defined()) continue;
      const int v = step_.next[static_cast<std::size_t>(k)];
      const std::int64_t size = value(v).size;
      do_.add(drows(v), LevelRows<T>{static_cast<T*>(dy.raw()) + level_.first * size, size},
              level_.count, size, value(v).unit);
      unseen_ = true;
    }
  }
  void clear() {
    if (!clears_) return;
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      const auto i = static_cast<int>(v);
      if (!program_.cleared(i) && !(value(i).from == From::state && tabled(v))) continue;
      if (drows_[v].data == nullptr || count_of(i) == 0) continue;
      do_.zero(drows_[v], count_of(i), value(i).size, value(i).unit);
      unseen_ = true;
    }
  }

  void prepare_backward(std::size_t i) {
    prepare_forward(i);
    plans_[i].overwritten = kNotAsked;
  }

  void formula_gradient(const StepLayout::Operation& op, std::size_t i) {
    LoopPlan& plan = plans_[i];
    const std::span<const Write> writes = program_.writes(i);
    int count = set_arguments(op, plan);
    for (int k = 0; k < op.kernel->outputs; ++k) {
      see_gradient({op.result + k, 0, op.units}, op.units);
      set(plan, count, drows(op.result + k));
    }
    std::size_t at = 0;
    bool more = false;
    for (const Columns& c : op.arguments) {
      if (drows(c.value).data != nullptr) see_gradient(c, op.units);
      for (std::int64_t j = 0; j < c.size; j += op.units, ++at) {
        const bool put = writes[at] == Write::put;
        more = more || (!put && writes[at] != Write::none);
        set(plan, count,
            put                         ? drows(c).columns(j)
            : writes[at] == Write::none ? LevelRows<T>{}
                                        : this->at(program_.scratch(i, at)));
      }
    }
    plan.sizes[0] = count_of(op.result);
    if (plan.overwritten == kNotAsked) {
      plan.overwritten = overwritten_inputs(*op.kernel->backward, plan);
    }
    do_.formula(*op.kernel->backward, op.formula.bytes, plan, count, op.units);
    if (more) add_scratch(op, i);
  }
  void add_scratch(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const Write> writes = program_.writes(i);
    std::size_t at = 0;
    for (const Columns& c : op.arguments) {
      for (std::int64_t j = 0; j < c.size; j += op.units, ++at) {
        if (writes[at] == Write::put || writes[at] == Write::none) continue;
        const LevelRows<T> to = drows(c).columns(j), from = this->at(program_.scratch(i, at));
        if (writes[at] == Write::sum) {
          do_.add_rows(to.data, from, count_of(op.result), op.units);
        } else {
          see_gradient({c.value, c.first + j, op.units}, op.units);
          do_.add(to, from, count_of(op.result), op.units, op.units);
          unseen_ = true;
        }
      }
    }
  }

  void product_gradient(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const Write> writes = program_.writes(i);
    const Value& y = value(op.result);
    const LevelRows<T> dy = drows(op.result);
    std::size_t at = 0;
    for (const StepLayout::Term& term : op.terms) {
      const Write way = writes[at++];
      if (way == Write::none) continue;
      see();
      see_gradient(term.x, term.x.size);
      const LevelRows<T> to = drows(term.x);
      do_.product_gradient(term.weight, count_of(op.result), dy, y.size,
                           way == Write::add ? to : LevelRows<T>{}, to, term.x.size);
      unseen_ = true;
    }
    pass_on(op, writes[at], dy, y);
  }
  // The gradient of what an operation adds is that of the sum.
  void pass_on(const StepLayout::Operation& op, Write way, LevelRows<T> dy, const Value& y) {
    if (way == Write::none) return;
    see_gradient(op.add, y.unit);
    const LevelRows<T> to = drows(op.add);
    const std::int64_t count = count_of(op.result);
    if (way == Write::sum) return do_.sum(to.data, dy, count, y.size, y.unit);
    if (way == Write::put) do_.zero(to, count, y.size, y.unit);
    do_.add(to, dy, count, y.size, y.unit);
  }

  void spread_gradient(const StepLayout::Operation& op, std::size_t i) {
    const Write way = program_.writes(i)[0];
    if (way == Write::none) return;
    const Value& y = value(op.result);
    see_gradient({op.result, 0, y.size}, y.unit);
    see_gradient(op.x, y.unit);
    const LevelRows<T> to = drows(op.x);
    do_.edge_sum(to, way == Write::add ? to : LevelRows<T>{}, drows(op.result), nullptr,
                 edges_.begins, level_.count, y.size, y.unit, false);
  }

  void edge_sum_gradient(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const Write> writes = program_.writes(i);
    const Value& y = value(op.result);
    const LevelRows<T> dy = drows(op.result);
    if (writes[0] != Write::none && edges_.count > 0) {
      see_gradient({op.result, 0, y.size}, y.unit);
      see_gradient(op.x, y.unit);
      const Value& x = value(op.x.value);
      const bool states = x.from == From::edge_state;
      const LevelRows<T> to =
          states ? states_at(program_.dplace(op.x.value)).columns(op.x.first) : drows(op.x);
      do_.spread(to, states ? table_of(x) : nullptr, dy, edges_.begins, level_.count, y.size,
                 y.unit, op.mean, writes[0] == Write::add);
      unseen_ = true;
    }
    pass_on(op, writes[1], dy, y);
  }

  void layer_norm_gradient(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const Write> writes = program_.writes(i);
    const Value& y = value(op.result);
    see();
    see_gradient(op.x, y.unit);
    const auto drow = [&](int v) { return v < 0 ? nullptr : drows(v).data; };
    do_.layer_norm_gradient(op.groups, op.epsilon, rows(op.x), row(op.scale), drows(op.result),
                            writes[0] == Write::none ? LevelRows<T>{} : drows(op.x),
                            writes[0] == Write::add, drow(op.scale), drow(op.bias),
                            count_of(op.result), y.size, y.unit);
    pass_on(op, writes[1], drows(op.result), y);
  }

  void scatter() {
    if (!tables_) return;
    if (mixed_) see();
    for (std::size_t v = 0; v < drows_.size(); ++v) {
      const auto i = static_cast<int>(v);
      if (!tabled(v) || drows_[v].data == nullptr || count_of(i) == 0) continue;
      const auto [first, size] = gathered_columns(v);
      do_.give(states_at(program_.dplace(i)).columns(first), table_of(step_.values[v]),
               drows_[v].columns(first), count_of(i), size);
      unseen_ = true;
    }
  }

  static constexpr std::uint64_t kNotAsked = ~std::uint64_t{0};

  const LevelProgram& program_;
  const StepLayout& step_;
  const Schedule& order_;
  Do& do_;
  const bool tables_ = !order_.is_chain();  // rows of some levels may be named by tables
  bool clears_ = tables_;                   // gradients of some values are cleared
  Schedule::Level level_{};
  Schedule::Edges edges_{};
  PoolVector<LevelRows<T>> rows_, drows_;
  PoolVector<LoopPlan> plans_;
  PoolVector<Schedule::Rows> slots_;
  PoolVector<std::int64_t> starts_;
  bool unseen_ = false;  // the threads have written since the last wait
  bool mixed_ = false;   // they have divided a gradient in another way than its value
};

}  // namespace tapeloop::detail
