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
      : Frame(program, device), plans_(step_.operations.size()) {}

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
    for (std::size_t v = 0; v < step_.values.size(); ++v) {
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
  using Frame = LevelFrame<T, Do>;
  using Frame::count_of, Frame::drows, Frame::enter, Frame::enter_gradients, Frame::gather,
      Frame::rows, Frame::scatter, Frame::see, Frame::see_gradient, Frame::see_units,
      Frame::see_whole, Frame::states_at, Frame::table_of, Frame::tabled, Frame::value, Frame::wait,
      Frame::zeros;
  using Frame::do_, Frame::edges_, Frame::level_, Frame::mixed_, Frame::order_, Frame::program_,
      Frame::step_, Frame::tables_, Frame::unseen_;
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
                  y.unit);
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
    for (std::size_t v = 0; v < step_.values.size(); ++v) {
      const auto i = static_cast<int>(v);
      if (!program_.cleared(i) && !(value(i).from == From::state && tabled(v))) continue;
      if (drows(i).data == nullptr || count_of(i) == 0) continue;
      do_.zero(drows(i), count_of(i), value(i).size, value(i).unit);
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
                                        : Frame::at(program_.scratch(i, at)));
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
        const LevelRows<T> to = drows(c).columns(j), from = Frame::at(program_.scratch(i, at));
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
      if (way == Write::none || zeros(term.x)) continue;
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

  static constexpr std::uint64_t kNotAsked = ~std::uint64_t{0};

  bool clears_ = tables_;  // gradients of some values are cleared
  PoolVector<LoopPlan> plans_;
};

}  // namespace tapeloop::detail
