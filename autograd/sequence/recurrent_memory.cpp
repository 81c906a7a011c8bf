// SPDX-License-Identifier: MIT
// Facts about a step's layout that decide where its values are kept, and rows of states by lists.
#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/schedule_tables.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

// Calls use(columns, by formula) for all columns that the operations read, except what they add.
template <class Use>
void each_read(const StepLayout& layout, Use use) {
  for (const StepLayout::Operation& op : layout.operations) {
    for (const StepLayout::Columns& c : op.arguments) use(c, true);
    for (const StepLayout::Term& term : op.terms) use(term.x, false);
    if (op.x.given()) use(op.x, false);
  }
}

bool overlap(const StepLayout::Columns& a, const StepLayout::Columns& b) {
  return a.value == b.value && a.first < b.first + b.size && b.first < a.first + a.size;
}

// A table of the schedule.
Tensor index_of(const Schedule& schedule, const Schedule::Rows& rows, Device device) {
  return ScheduleTables(schedule, device).list({rows.rows, static_cast<std::size_t>(rows.count)});
}

// Calls run(first, end, from) for each stretch in which the rows of both lists are adjacent: rows
// first .. end - 1 of the first list are rows from, from + 1, .. of the second, or zeros if -1.
template <class Run>
void each_run(const Schedule::Rows& rows, const Schedule::Rows& from, Run run) {
  for (std::int64_t i = 0; i < rows.count;) {
    std::int64_t end = i + 1;
    const auto follows = [&](std::int64_t k) {
      const bool zeros = from[i] < 0;
      return rows[k] == rows[i] + (k - i) && (zeros ? from[k] < 0 : from[k] == from[i] + (k - i));
    };
    if (rows.rows == nullptr && from.rows == nullptr) end = rows.count;
    while (end < rows.count && follows(end)) ++end;
    run(rows[i], rows[i] + (end - i), from[i]);
    i = end;
  }
}

}  // namespace

bool in_input_columns(const StepLayout& layout, const StepLayout::Operation& op) {
  const auto from = [&](int v) { return layout.values[static_cast<std::size_t>(v)].from; };
  const bool sums_states = op.kind == From::edge_sum && from(op.x.value) == From::edge_state;
  if (!(op.kind == From::product || sums_states) || !op.add.given()) return false;
  const auto part = layout.values[static_cast<std::size_t>(op.result)].part;
  if (from(op.add.value) != From::input || part >= 0) return false;
  int uses = 0;
  each_read(layout, [&](const StepLayout::Columns& c, bool) { uses += overlap(c, op.add); });
  for (const StepLayout::Operation& other : layout.operations) {
    uses += other.add.given() && overlap(other.add, op.add);
  }
  return uses == 1;
}

bool gradient_replaces(const StepLayout& layout, int value) {
  bool possible = layout.values[static_cast<std::size_t>(value)].part < 0;
  each_read(layout, [&](const StepLayout::Columns& c, bool by_formula) {
    if (c.value != value) return;
    int uses = 0;
    each_read(layout, [&](const StepLayout::Columns& other, bool) { uses += overlap(c, other); });
    possible = possible && by_formula && uses == 1;
  });
  for (const StepLayout::Operation& op : layout.operations) {
    possible = possible && !(op.add.given() && op.add.value == value);
  }
  std::int64_t columns = 0;
  each_read(layout, [&](const StepLayout::Columns& c, bool) {
    if (c.value == value) columns += c.size;
  });
  return possible && columns == layout.values[static_cast<std::size_t>(value)].size;
}

bool kept(const StepLayout& layout, int value) {
  const StepLayout::Value& v = layout.values[static_cast<std::size_t>(value)];
  if (!v.by_edge || v.from == From::product) return true;
  for (const StepLayout::Operation& op : layout.operations) {
    const auto reads = [&](const StepLayout::Columns& c) { return c.value == value; };
    const bool multiplied =
        std::any_of(op.terms.begin(), op.terms.end(),
                    [&](const StepLayout::Term& term) { return reads(term.x); });
    const bool normalised = op.kind == From::layer_norm && reads(op.x);
    const bool argument = std::any_of(op.arguments.begin(), op.arguments.end(), reads);
    if (multiplied || (v.from != From::spread && (normalised || argument))) return true;
  }
  return false;
}

bool input_is_added(const StepLayout& layout) {
  std::int64_t columns = 0, all = 0;
  for (const StepLayout::Value& value : layout.values) {
    if (value.from == From::input) all = value.size;
  }
  for (const StepLayout::Operation& op : layout.operations) {
    if (in_input_columns(layout, op)) columns += op.add.size;
  }
  return columns == all && all > 0;
}

PoolVector<const Var*> RecurrentRun::inputs() const {
  PoolVector<const Var*> result;
  result.reserve(input_count());
  each_input([&](std::size_t, const Var& x) { result.push_back(&x); });
  return result;
}

Tensor RecurrentRun::zx_rows() const {
  if (!zx.defined()) return {};
  return zx.value().contiguous().reshape(Shape{nodes(), zx.dim(-1)});
}

Tensor rows_of(const Schedule& schedule, const Tensor& from, const Schedule::Rows& rows) {
  if (rows.rows == nullptr) return from.slice(0, rows.begin, rows.begin + rows.count);
  const Tensor result =
      Tensor::empty(from.shape().with(0, rows.count), from.dtype(), from.device());
  backend(from.device()).take_rows(result, from, index_of(schedule, rows, from.device()), false);
  return result;
}

void add_to_rows(const Schedule& schedule, const Tensor& to, const Schedule::Rows& rows,
                 const Tensor& from) {
  if (rows.count == 0) return;
  if (rows.is_range()) {
    return add_in_place(to.slice(0, rows.begin, rows.begin + rows.count), from);
  }
  const Tensor index = index_of(schedule, rows, to.device());
  backend(to.device()).add_rows(to, index, from.contiguous());
}

// True if the rows of the external states are a range, and none of them are zeros: then the table
// `from` alone says which rows to copy.
static bool has_all_rows(const Schedule::Rows& rows, const Schedule::Rows& from) {
  if (rows.rows != nullptr) return false;
  for (std::int64_t i = 0; from.rows != nullptr && i < from.count; ++i) {
    if (from.rows[i] < 0) return false;
  }
  return true;
}

void fill_external(const RecurrentRun& run, std::size_t part, const Tensor& states) {
  const Var& initial = run.initial[part];
  const Schedule::Rows rows = run.schedule.external_rows(), from = run.schedule.external_from();
  if (rows.rows == nullptr && !initial.defined()) {
    states.slice(0, rows.begin, rows.begin + rows.count).fill(0);
    return;
  }
  if (from.rows != nullptr && has_all_rows(rows, from)) {
    const Tensor to = states.slice(0, rows.begin, rows.begin + rows.count);
    const Tensor index = index_of(run.schedule, from, run.device);
    return backend(run.device).take_rows(to, initial.value().contiguous(), index, false);
  }
  each_run(rows, from, [&](std::int64_t first, std::int64_t end, std::int64_t at) {
    const Tensor to = states.slice(0, first, end);
    if (at < 0 || !initial.defined()) {
      to.fill(0);
    } else {
      to.copy_from(initial.value().slice(0, at, at + end - first));
    }
  });
}

Tensor external_gradient(const RecurrentRun& run, std::size_t part, const Tensor& dstates) {
  const Schedule::Rows rows = run.schedule.external_rows(), from = run.schedule.external_from();
  const std::int64_t size = run.part_size(part);
  const Tensor all =
      dstates.slice(0, rows.begin, rows.begin + (rows.rows == nullptr ? rows.count : 0));
  if (rows.rows == nullptr && from.rows == nullptr && rows.count == run.schedule.initial_rows()) {
    return all;
  }
  const Tensor result = Tensor::zeros({run.schedule.initial_rows(), size}, run.dtype, run.device);
  if (from.rows != nullptr && has_all_rows(rows, from)) {
    backend(run.device).add_rows(result, index_of(run.schedule, from, run.device), all);
    return result;
  }
  each_run(rows, from, [&](std::int64_t first, std::int64_t end, std::int64_t at) {
    if (at >= 0) result.slice(0, at, at + end - first).copy_from(dstates.slice(0, first, end));
  });
  return result;
}

Tensor of_nodes(const Schedule& schedule, const Tensor& states) {
  const std::int64_t levels = schedule.levels();
  const Schedule::Level one = schedule.level(0), other = schedule.level(levels - 1);
  if (other.state - one.state == other.first - one.first) {  // no external rows between levels
    const std::int64_t first = std::min(one.state, other.state);
    return states.slice(0, first, first + schedule.nodes());
  }
  const Tensor result =
      Tensor::empty({schedule.nodes(), states.dim(1)}, states.dtype(), states.device());
  for (std::int64_t l = 0; l < levels; ++l) {
    const Schedule::Level level = schedule.level(l);
    result.slice(0, level.first, level.first + level.count)
        .copy_from(states.slice(0, level.state, level.state + level.count));
  }
  return result;
}

}  // namespace tapeloop::detail

namespace tapeloop {

namespace {

// Rows of x by index, -1 for zeros. `adjoint`: the gradient, to_nodes() or from_nodes(). No row of
// x is read twice, so the gradient also takes rows and adds none.
Var rows_by(const char* name, const Schedule& schedule, const Var& x,
            std::span<const std::int64_t> index, Var (*adjoint)(const Schedule&, const Var&)) {
  const auto rows = static_cast<std::int64_t>(index.size());
  const detail::Operation operation(name);
  const std::int64_t width = x.shape().with(0, 1).numel();
  const Tensor flat = x.value().contiguous().reshape(Shape{x.dim(0), width});
  const Tensor result = Tensor::empty({rows, width}, x.dtype(), x.device());
  if (x.dim(0) > 0) {
    const Tensor rows_of_x = detail::ScheduleTables(schedule, x.device()).list(index);
    backend(x.device()).take_rows(result, flat, rows_of_x, true);
  } else {
    result.fill(0);
  }
  return record(name, {&x}, result.reshape(x.shape().with(0, rows)), [&] {
    return [schedule, adjoint](const Var& dy, Grads& grads) {
      grads.add(0, [&] { return adjoint(schedule, dy); });
    };
  });
}

}  // namespace

Var to_nodes(const Schedule& schedule, const Var& x) {
  if (!x.defined() || x.rank() < 1 || x.dim(0) != schedule.input_rows()) {
    fail("to_nodes",
         fmt::format("x is {}, expected {} rows, those of the schedule's inputs",
                     x.defined() ? x.shape().str() : "undefined", schedule.input_rows()));
  }
  if (!schedule.order().empty()) {
    return rows_by("to_nodes", schedule, x, schedule.order(), from_nodes);
  }
  return schedule.nodes() == x.dim(0) ? x : slice(x, 0, 0, schedule.nodes());
}

Var from_nodes(const Schedule& schedule, const Var& y) {
  const std::int64_t nodes = schedule.nodes();
  if (!y.defined() || y.rank() < 1 || y.dim(0) != nodes) {
    fail("from_nodes", fmt::format("y is {}, expected {} rows, one for each node",
                                   y.defined() ? y.shape().str() : "undefined", nodes));
  }
  if (schedule.node_of_row().empty()) return y;
  return rows_by("from_nodes", schedule, y, schedule.node_of_row(), to_nodes);
}

}  // namespace tapeloop
