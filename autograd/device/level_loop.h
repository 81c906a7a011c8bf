// SPDX-License-Identifier: MIT
// The loop over the levels of a recurrence, forwards and backwards, for every step, every order and
// every device. It reads a LevelProgram. `Do` is a device, or one of several threads that run the
// loop together, each on its own units: it has the operations on the rows of one level.
//
// A thread that reads whole rows must see what the others wrote: before that the threads wait for
// each other. All of them run the same loop, so they agree where to wait.
#pragma once

#include "tapeloop/autograd/device/level_frame.h"

namespace tapeloop::detail {

template <class T, class Do>
class LevelLoop : private LevelFrame<T, Do> {
 public:
  LevelLoop(const LevelProgram& program, Do& device)
      : Frame(program, device), formulas_(step_.operations.size()) {
    for (std::size_t i = 0; i < formulas_.size(); ++i) {
      if (step_.operations[i].kind == From::formula) prepare_formula(i);
      find_adjacent(formulas_[i]);
    }
    for (int v = 0; v < values(); ++v) clears_ = clears_ || program_.cleared(v);
  }

  // Of a program made from a LevelForward.
  void forward() {
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
          default: formula(op, formulas_[i]);
        }
        wrote();
      }
      wait();
    }
  }

  // Of a program made from a LevelBackward, with its `upstream`.
  void backward(std::span<const Tensor> upstream) {
    for (std::int64_t l = order_.levels(); l-- > 0;) {
      enter(l);
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
        wrote();
      }
      scatter();
      if (program_.ends_with_wait()) wait();
    }
    wait();
  }

 private:
  using Frame = LevelFrame<T, Do>;
  using Frame::count_of, Frame::drows, Frame::enter, Frame::gather, Frame::rows, Frame::rows_at,
      Frame::scatter, Frame::see, Frame::see_gradient, Frame::see_units, Frame::see_whole,
      Frame::table_of, Frame::tabled, Frame::value, Frame::values, Frame::wait, Frame::wrote,
      Frame::zeros;
  using Frame::do_, Frame::edges_, Frame::level_, Frame::mixed_, Frame::order_, Frame::program_,
      Frame::step_, Frame::tables_, Frame::together_;
  using typename Frame::Columns;
  using typename Frame::From;
  using typename Frame::Value;

  // --- forward ---

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
    bool put = false;
    for (const StepLayout::Term& term : op.terms) {
      if (zeros(term.x)) continue;
      see_whole(term.x.value);
      do_.product(term.weight, count_of(op.result), rows(term.x), term.x.size, start, to, y.size,
                  y.unit, term.groups);
      start = to;
      put = true;
    }
    if (!put && start.data != to.data) {
      do_.zero(to, count_of(op.result), y.size, y.unit);
      if (start.data != nullptr) do_.add(to, start, count_of(op.result), y.size, y.unit);
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
      wrote();
    }
  }

  void edge_sum(const StepLayout::Operation& op) {
    const Value& y = value(op.result);
    if (op.add.given()) see_units(op.add, y.unit);
    const LevelRows<T> start = op.add.given() ? rows(op.add) : LevelRows<T>{};
    if (const Value& x = value(op.x.value); x.from == From::edge_state) {
      do_.edge_sum(rows(op.result), start, rows_at(program_.place(op.x.value)).columns(op.x.first),
                   table_of(x), edges_.begins, level_.count, y.size, y.unit, op.mean);
    } else {
      if (edges_.count > 0) see_units(op.x, y.unit);
      do_.edge_sum(rows(op.result), start, rows(op.x), nullptr, edges_.begins, level_.count, y.size,
                   y.unit, op.mean);
    }
  }
  const T* row(int v) const { return v < 0 ? nullptr : rows(v).data; }

  // --- formulas ---

  // An operand of a formula whose place changes with the level: this thread's units, in columns of
  // a value or of its gradient.
  struct Operand {
    int number;
    const LevelRows<T>* rows;
    std::int64_t first;
  };
  struct Formula {
    LoopPlan plan;
    int count = 0;  // of operands
    // The units of a row, if the rows of every operand are adjacent and this thread runs all of
    // them: then they are a single long row. 0: they are not.
    std::int64_t adjacent = 0;
    int moving_count = 0;
    Operand moving[kMaxOperands];
    bool adds = false;  // some gradients go through scratch memory
    Formula() { plan.rank = 2; }
    std::span<const Operand> all_moving() const {
      return {moving, static_cast<std::size_t>(moving_count)};
    }
  };

  void prepare_formula(std::size_t i) {
    const StepLayout::Operation& op = step_.operations[i];
    Formula& f = formulas_[i];
    const auto [begin, count] = do_.own_units(op.units);
    f.plan.sizes[1] = count;
    for (const Columns& c : op.arguments) {
      for (std::int64_t j = 0; j < c.size; j += op.units) {
        add_operand(f, program_.place(c.value), rows(c.value), c.first + j + begin);
      }
    }
    for (int k = 0; k < op.kernel->outputs; ++k) {
      const int v = op.result + k;
      if (program_.backward()) {
        add_operand(f, program_.dplace(v), drows(v), begin);
      } else {
        add_operand(f, program_.place(v), rows(v), begin);
      }
    }
    if (!program_.backward()) return;
    f.plan.overwritten = kNotAsked;
    const GradientWrite* write = program_.writes(i).data();
    for (const Columns& c : op.arguments) {
      for (std::int64_t j = 0; j < c.size; j += op.units, ++write) {
        if (write->way == Write::put) {
          add_operand(f, program_.dplace(c.value), drows(c.value), c.first + j + begin);
        } else if (write->way == Write::none) {
          set(f.plan.operands[f.count++], {});
        } else {
          f.adds = true;
          set(f.plan.operands[f.count++], rows_at(write->scratch).columns(begin));
        }
      }
    }
  }
  void find_adjacent(Formula& f) const {
    const std::int64_t units = f.plan.sizes[1];
    bool adjacent = !together_ && f.count > 0;
    for (int i = 0; i < f.count; ++i) {
      const LoopPlan::Operand& operand = f.plan.operands[i];
      adjacent = adjacent && (operand.data == nullptr || operand.strides[0] == units);
    }
    f.adjacent = adjacent ? units : 0;
  }
  static void add_operand(Formula& f, const Place& place, const LevelRows<T>& rows,
                          std::int64_t first) {
    f.moving[f.moving_count++] = {f.count, &rows, first};
    set(f.plan.operands[f.count++], rows_at(place));
  }
  static void set(LoopPlan::Operand& operand, LevelRows<T> rows) {
    operand.data = reinterpret_cast<char*>(rows.data);
    operand.strides[0] = rows.stride;
    operand.strides[1] = 1;
  }
  void set_operands(const StepLayout::Operation& op, Formula& f) {
    for (const Columns& c : op.arguments) see_units(c, op.units);
    for (const Operand& x : f.all_moving()) {
      f.plan.operands[x.number].data = reinterpret_cast<char*>(x.rows->data + x.first);
    }
    const std::int64_t count = count_of(op.result);
    f.plan.sizes[0] = f.adjacent > 0 ? 1 : count;
    if (f.adjacent > 0) f.plan.sizes[1] = count * f.adjacent;
  }

  void formula(const StepLayout::Operation& op, Formula& f) {
    set_operands(op, f);
    do_.formula(*op.kernel, op.formula.bytes, f.plan);
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
      wrote();
    }
  }
  void clear() {
    if (!clears_) return;
    for (int v = 0; v < values(); ++v) {
      if (!program_.cleared(v) && !(value(v).from == From::state && tabled(v))) continue;
      if (drows(v).data == nullptr || count_of(v) == 0) continue;
      do_.zero(drows(v), count_of(v), value(v).size, value(v).unit);
      // Gradients of products are columns of the input's, and divided in their own units.
      mixed_ = mixed_ || (together_ && value(v).from == From::input);
      wrote();
    }
  }

  void formula_gradient(const StepLayout::Operation& op, std::size_t i) {
    Formula& f = formulas_[i];
    set_operands(op, f);
    if (together_) {
      for (int k = 0; k < op.kernel->outputs; ++k) {
        see_gradient({op.result + k, 0, op.units}, op.units);
      }
      for (const Columns& c : op.arguments) {
        if (drows(c.value).data != nullptr) see_gradient(c, op.units);
      }
    }
    if (f.plan.overwritten == kNotAsked) {
      f.plan.overwritten = overwritten_inputs(*op.kernel->backward, f.plan);
    }
    do_.formula(*op.kernel->backward, op.formula.bytes, f.plan);
    if (f.adds) add_scratch(op, i);
  }
  void add_scratch(const StepLayout::Operation& op, std::size_t i) {
    const GradientWrite* write = program_.writes(i).data();
    for (const Columns& c : op.arguments) {
      for (std::int64_t j = 0; j < c.size; j += op.units, ++write) {
        if (write->scratch.base == nullptr) continue;
        const LevelRows<T> to = drows(c).columns(j), from = rows_at(write->scratch);
        if (write->way == Write::sum) {
          do_.add_rows(to.data, from, count_of(op.result), op.units);
        } else {
          see_gradient({c.value, c.first + j, op.units}, op.units);
          do_.add(to, from, count_of(op.result), op.units, op.units);
          wrote();
        }
      }
    }
  }

  void product_gradient(const StepLayout::Operation& op, std::size_t i) {
    const GradientWrite* write = program_.writes(i).data();
    const Value& y = value(op.result);
    const LevelRows<T> dy = drows(op.result);
    for (const StepLayout::Term& term : op.terms) {
      const Write way = (write++)->way;
      if (way == Write::none || zeros(term.x)) continue;
      see();
      see_gradient(term.x, term.group_size());
      const LevelRows<T> to = drows(term.x);
      do_.product_gradient(term.weight, count_of(op.result), dy, y.size,
                           way == Write::add ? to : LevelRows<T>{}, to, term.x.size, term.groups);
      wrote();
    }
    pass_on(op, write->way, dy, y);
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
    const Write way = program_.writes(i)[0].way;
    if (way == Write::none) return;
    const Value& y = value(op.result);
    see_gradient({op.result, 0, y.size}, y.unit);
    see_gradient(op.x, y.unit);
    const LevelRows<T> to = drows(op.x);
    do_.edge_sum(to, way == Write::add ? to : LevelRows<T>{}, drows(op.result), nullptr,
                 edges_.begins, level_.count, y.size, y.unit, false);
  }

  void edge_sum_gradient(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const GradientWrite> writes = program_.writes(i);
    const Value& y = value(op.result);
    const LevelRows<T> dy = drows(op.result);
    if (writes[0].way != Write::none && edges_.count > 0) {
      see_gradient({op.result, 0, y.size}, y.unit);
      see_gradient(op.x, y.unit);
      const Value& x = value(op.x.value);
      const bool states = x.from == From::edge_state;
      const LevelRows<T> to =
          states ? rows_at(program_.dplace(op.x.value)).columns(op.x.first) : drows(op.x);
      do_.spread(to, states ? table_of(x) : nullptr, dy, edges_.begins, level_.count, y.size,
                 y.unit, op.mean, writes[0].way == Write::add);
      wrote();
    }
    pass_on(op, writes[1].way, dy, y);
  }

  void layer_norm_gradient(const StepLayout::Operation& op, std::size_t i) {
    const std::span<const GradientWrite> writes = program_.writes(i);
    const Value& y = value(op.result);
    see();
    see_gradient(op.x, y.unit);
    const auto drow = [&](int v) { return v < 0 ? nullptr : drows(v).data; };
    do_.layer_norm_gradient(op.groups, op.epsilon, rows(op.x), row(op.scale), drows(op.result),
                            writes[0].way == Write::none ? LevelRows<T>{} : drows(op.x),
                            writes[0].way == Write::add, drow(op.scale), drow(op.bias),
                            count_of(op.result), y.size, y.unit);
    pass_on(op, writes[1].way, drows(op.result), y);
  }

  static constexpr std::uint64_t kNotAsked = ~std::uint64_t{0};

  bool clears_ = tables_;         // gradients of some values are cleared
  PoolVector<Formula> formulas_;  // by operation
};

}  // namespace tapeloop::detail
