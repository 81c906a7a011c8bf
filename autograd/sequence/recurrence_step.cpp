// SPDX-License-Identifier: MIT
// One step of a recurrence by ordinary operations.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tapeloop/autograd/ops/linear_groups.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/edge_rows.h"
#include "tapeloop/autograd/sequence/recurrence.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using From = StepLayout::From;

namespace {

Var columns_of(const PoolVector<Var>& values, const StepLayout::Columns& c) {
  const Var& x = values[static_cast<std::size_t>(c.value)];
  const std::int64_t size = c.size < 0 ? x.dim(-1) - c.first : c.size;
  return c.first == 0 && size == x.dim(-1) ? x : slice(x, -1, c.first, c.first + size);
}

Var product(const StepLayout::Operation& op, const Recurrence& r, const PoolVector<Var>& values) {
  Var sum;
  if (op.add.given()) {
    sum = columns_of(values, op.add);
  } else if (op.bias >= 0) {
    sum = values[static_cast<std::size_t>(op.bias)];
  }
  for (const StepLayout::Term& term : op.terms) {
    const Var x = columns_of(values, term.x);
    const Var& w = r.weights()[static_cast<std::size_t>(term.weight)];
    sum = term.groups > 1 ? linear_groups(x, w, term.groups, sum) : linear(x, w, sum);
  }
  if (op.add.given() && op.bias >= 0) sum = sum + values[static_cast<std::size_t>(op.bias)];
  return sum;
}

Var norm(const StepLayout::Operation& op, const PoolVector<Var>& values) {
  const Var x = columns_of(values, op.x);
  const std::int64_t n = x.dim(0), width = x.dim(1) / op.groups;
  const Var groups = reshape(x, {n, op.groups, width});
  const Var centred = groups - mean(groups, {2}, true);
  Var y = reshape(centred / sqrt(mean(square(centred), {2}, true) + op.epsilon), x.shape());
  if (op.scale >= 0) y = y * values[static_cast<std::size_t>(op.scale)];
  if (op.bias >= 0) y = y + values[static_cast<std::size_t>(op.bias)];
  return op.add.given() ? columns_of(values, op.add) + y : y;
}

Var edge_sum(const StepLayout::Operation& op, const PoolVector<Var>& values,
             const EdgeRows& edges) {
  const Var x = columns_of(values, op.x);
  const Var sum = op.mean ? edges.mean(x) : edges.sum(x);
  return op.add.given() ? columns_of(values, op.add) + sum : sum;
}

// `rows`: of the nodes.
void apply(const StepLayout& layout, const StepLayout::Operation& op, PoolVector<Var>& values,
           std::int64_t rows) {
  PoolVector<Var> arguments;
  PoolVector<detail::PointwiseInput> inputs;
  arguments.reserve(op.arguments.size());
  inputs.reserve(op.arguments.size());
  std::int64_t total = 0;
  for (const StepLayout::Columns& c : op.arguments) {
    arguments.push_back(columns_of(values, c));
    total += arguments.back().dim(-1);
  }
  const std::int64_t units = total / op.kernel->inputs;
  for (const Var& x : arguments) {
    if (units < 1 || x.dim(-1) % units != 0 || total % op.kernel->inputs != 0) {
      fail("recurrent", fmt::format("\"{}\" takes {} arguments of equal width, but is given {} "
                                    "columns; give each argument the H columns of one gate or "
                                    "state part",
                                    op.kernel->name, op.kernel->inputs, total));
    }
    inputs.push_back({&x, static_cast<int>(x.dim(-1) / units)});
  }
  static constexpr std::array<int, kMaxOperands> kOnes = [] {
    std::array<int, kMaxOperands> ones{};
    ones.fill(1);
    return ones;
  }();
  const auto results = static_cast<std::size_t>(op.kernel->outputs);
  detail::pointwise(*op.kernel, op.formula, inputs, {kOnes.data(), results},
                    {values.data() + op.result, results});
  // Parameters alone give one row, the same for all nodes.
  const bool one_row =
      std::all_of(op.arguments.begin(), op.arguments.end(), [&](const StepLayout::Columns& c) {
        return layout.values[static_cast<std::size_t>(c.value)].from == From::unit;
      });
  for (std::size_t k = 0; one_row && k < results; ++k) {
    Var& y = values[static_cast<std::size_t>(op.result) + k];
    y = expand(y, Shape{rows, units});
  }
}

}  // namespace

PoolVector<Var> detail::step_by_operations(const StepLayout& layout, const Recurrence& r,
                                           const Var& input, PoolVector<Var> values,
                                           std::span<const Tensor> extras, const EdgeRows* edges,
                                           std::int64_t rows) {
  for (std::size_t v = 0; v < values.size(); ++v) {
    const StepLayout::Value& value = layout.values[v];
    const auto i = static_cast<std::size_t>(value.index);
    if (value.from == From::input) values[v] = input;
    if (value.from == From::unit) values[v] = r.units()[i];
    if (value.from == From::extra) values[v] = Var(extras[i]);
  }
  for (const StepLayout::Operation& op : layout.operations) {
    const auto result = static_cast<std::size_t>(op.result);
    switch (op.kind) {
      case From::product: values[result] = product(op, r, values); break;
      case From::layer_norm: values[result] = norm(op, values); break;
      case From::spread: values[result] = edges->spread(columns_of(values, op.x)); break;
      case From::edge_sum: values[result] = edge_sum(op, values, *edges); break;
      default: apply(layout, op, values, rows);
    }
  }
  PoolVector<Var> next;
  next.reserve(layout.next.size());
  for (const int v : layout.next) next.push_back(values[static_cast<std::size_t>(v)]);
  return next;
}

PoolVector<Var> Recurrence::step(const Var& zx, std::span<const Var> state) const {
  if (!defined()) {
    fail("recurrent",
         "the recurrence is undefined; build it from a formula and its arguments, after "
         "stage() with next()");
  }
  if (state.size() != static_cast<std::size_t>(parts())) {
    fail("recurrent", fmt::format("\"{}\": step: {} parts of a state were given, the step makes {}",
                                  name(), state.size(), parts()));
  }
  if (layout_.predecessors() > 1 || layout_.edge_tables() > 0) {
    fail("recurrent",
         fmt::format("\"{}\": step: a single step has one predecessor and no edges", name()));
  }
  PoolVector<Tensor> extras;
  for (const Tensor& x : extras_) {
    const std::int64_t rows = state[0].dim(0), size = x.dim(-1);
    if (x.numel() != rows * size) {
      fail("recurrent",
           fmt::format("\"{}\": step: an extra value is {}, expected that of one step: [1, {}, {}]",
                       name(), x.shape().str(), rows, size));
    }
    extras.push_back(x.contiguous().reshape(Shape{rows, size}));
  }
  PoolVector<Var> values(layout_.values.size());
  for (std::size_t v = 0; v < values.size(); ++v) {
    const StepLayout::Value& value = layout_.values[v];
    if (value.from != From::state) continue;
    if (value.index >= parts()) {
      fail("recurrent", fmt::format("\"{}\" reads part {} of the state, but makes {} parts", name(),
                                    value.index, parts()));
    }
    values[v] = state[static_cast<std::size_t>(value.index)];
  }
  const std::int64_t rows = zx.defined() ? zx.dim(0) : state[0].dim(0);
  return detail::step_by_operations(layout_, *this, zx, std::move(values), extras, nullptr, rows);
}

}  // namespace tapeloop
