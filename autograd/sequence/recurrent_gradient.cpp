// SPDX-License-Identifier: MIT
// The backward pass of recurrent(): memory for the gradients, the device's kernel, and then the
// gradients of the weights, each as one product over all steps.
#include "tapeloop/autograd/sequence/recurrent_gradient.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/linear_groups.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

Stamp stamp_of(const Var& x, std::size_t argument) {
  return x.defined() ? Stamp(x.value(), static_cast<unsigned>(std::min<std::size_t>(argument, 250)),
                             pointers_to(x))
                     : Stamp();
}

void check_one(const Stamp& stamp, const Tensor& tensor) {
  if (!stamp.holds(tensor)) saved_value_was_written(tensor, stamp.label());
}

// True if a pass that is not recorded reads the input itself, not only its sum with a product.
bool reads_input(const StepLayout& layout) {
  for (const StepLayout::Value& value : layout.values) {
    if (value.from == From::input) return !input_is_added(layout);
  }
  return false;
}

}  // namespace

RecurrentGradient::RecurrentGradient(RecurrentRun run, RecurrentMemory memory, bool all_parts)
    : run_(std::move(run)), memory_(std::move(memory)), all_parts_(all_parts) {
  stamps_.reserve(run_.input_count() + memory_.states.size() + run_.extras.size());
  run_.each_input([&](std::size_t i, const Var& x) {
    stamps_.push_back(i == 0 && run_.in_place ? Stamp() : stamp_of(x, i));
  });
  for (const Tensor& states : memory_.states) stamps_.emplace_back(states, kSavedResult);
  for (const Tensor& x : run_.extras) stamps_.emplace_back(x, kSavedValue);
}

// A recorded pass runs the steps again and reads all inputs. Another one reads the weights, the
// parameters, and perhaps the input; it has copies of the initial states.
void RecurrentGradient::check_saved(bool recorded) const {
  const std::size_t inputs = run_.input_count();
  const std::size_t read = recorded ? inputs : inputs - run_.initial.size();
  run_.each_input([&](std::size_t i, const Var& x) {
    if (i >= read || !x.defined()) return;
    if (i == 0 && (run_.in_place || !(recorded || reads_input(run_.layout())))) return;
    check_one(stamps_[i], x.value());
  });
  const Stamp* stamp = stamps_.data() + inputs;
  for (const Tensor& states : memory_.states) check_one(*stamp++, states);
  for (const Tensor& x : run_.extras) check_one(*stamp++, x);
}

// Sets the gradients d of all states before a pass: dy for the states of nodes, zeros elsewhere.
static void set_gradients(const Schedule& schedule, const Tensor& d, const Tensor& dy) {
  const std::int64_t last = schedule.levels() - 1;
  const std::int64_t first = std::min(schedule.level(0).state, schedule.level(last).state);
  const std::int64_t end = first + schedule.nodes();
  const bool adjacent = std::max(schedule.level(0).state + schedule.level(0).count,
                                 schedule.level(last).state + schedule.level(last).count) == end;
  if (!dy.defined() || !adjacent) d.fill(0);
  if (!dy.defined()) return;
  if (adjacent) {  // the states of the nodes: the external ones stand before or behind them
    d.slice(0, 0, first).fill(0);
    d.slice(0, end, d.dim(0)).fill(0);
    return d.slice(0, first, end).copy_from(dy);
  }
  for (std::int64_t l = 0; l <= last; ++l) {
    const Schedule::Level level = schedule.level(l);
    d.slice(0, level.state, level.state + level.count)
        .copy_from(dy.slice(0, level.first, level.first + level.count));
  }
}

// Memory for the gradients of all states, with the gradients of the results. For a part of a chain
// two levels are enough, unless an observer reads the gradients, the part is a product, or no step
// reads the part.
PoolVector<Tensor> RecurrentGradient::state_gradients(std::span<const Var> douts,
                                                      const Grads& grads,
                                                      PoolVector<Tensor>& upstream) const {
  const Schedule& schedule = run_.schedule;
  const std::size_t shown = all_parts_ ? run_.parts() : 1;
  PoolVector<Tensor> dstates;
  dstates.reserve(run_.parts());
  upstream.reserve(run_.parts());
  for (std::size_t k = 0; k < run_.parts(); ++k) {
    const std::int64_t size = run_.part_size(k);
    const bool product = run_.value(run_.layout().next[k]).from == From::product;
    const bool read = run_.layout().state_value(static_cast<int>(k), 0) >= 0;
    const bool two =
        schedule.is_chain() && read && !product && !(k == 0 && observes_states(run_, grads));
    Tensor dy;  // of the states of all nodes
    if (k < shown && douts[k].defined()) {
      dy = douts[k].value().contiguous().reshape(Shape{run_.nodes(), size});
    }
    const Var dlast = shown + k < douts.size() ? douts[shown + k] : Var();
    Tensor d;
    if (two) {
      const std::int64_t batch = schedule.level(0).count;
      d = Tensor::empty({2, batch, size}, run_.dtype, run_.device);
      const Tensor last = d.select(0, schedule.levels() & 1);
      if (dlast.defined()) {
        last.copy_from(dlast.value());
      } else {
        last.fill(0);
      }
      upstream.push_back(dy);
    } else {
      d = Tensor::empty({schedule.state_rows(), size}, run_.dtype, run_.device);
      set_gradients(schedule, d, dy);
      if (dlast.defined()) add_to_rows(schedule, d, schedule.finals(), dlast.value());
      upstream.push_back({});
    }
    dstates.push_back(d);
  }
  return dstates;
}

// Memory for the gradient of zx: that of the products, if no later backward pass reads them.
Tensor RecurrentGradient::input_gradient(bool last) const {
  if (!run_.zx.defined()) return {};
  const Shape shape{run_.nodes(), run_.zx.dim(-1)};
  bool replaces = last && input_is_added(run_.layout());
  for (const StepLayout::Operation& op : run_.layout().operations) {
    if (!in_input_columns(run_.layout(), op)) continue;
    replaces = replaces && gradient_replaces(run_.layout(), op.result);
  }
  if (replaces) return memory_.columns;
  const auto& values = run_.layout().values;
  const bool read = std::any_of(values.begin(), values.end(), [](const StepLayout::Value& value) {
    return value.from == From::input;
  });
  return read ? Tensor::empty(shape, run_.dtype, run_.device)
              : Tensor::zeros(shape, run_.dtype, run_.device);
}

PoolVector<Tensor> RecurrentGradient::value_gradients(const Tensor& dinput, bool last) const {
  PoolVector<Tensor> dvalues(run_.layout().values.size());
  for (const StepLayout::Operation& op : run_.layout().operations) {
    const auto v = static_cast<std::size_t>(op.result);
    const bool in_columns = in_input_columns(run_.layout(), op);
    if (op.kind != From::product && !in_columns) continue;
    if (run_.layout().values[v].part >= 0) continue;
    if (in_columns) {
      dvalues[v] = dinput.slice(1, op.add.first, op.add.first + op.add.size);
    } else if (last && gradient_replaces(run_.layout(), op.result)) {
      dvalues[v] = memory_.values[v];
    } else {
      dvalues[v] = Tensor::empty(memory_.values[v].shape(), run_.dtype, run_.device);
    }
    dvalues[v].mark_written();
  }
  return dvalues;
}

void RecurrentGradient::operator()(std::span<const Var> douts, Grads& grads) {
  for (const StepLayout::Operation& op : run_.layout().operations) {
    if (op.kernel == nullptr || op.kernel->backward != nullptr) continue;
    fail("recurrent",
         fmt::format("\"{}\": the gradient of this formula is not compiled: it would have more "
                     "than {} inputs, results and gradients together; use fewer arguments",
                     op.kernel->name, kMaxOperands));
  }
  check_saved(grads.recording());
  if (grads.recording()) return recorded_gradient(run_, memory_, all_parts_, douts, grads);
  LevelBackward pass{};
  PoolVector<Tensor> upstream;
  const PoolVector<Tensor> dstates = state_gradients(douts, grads, upstream);
  pass.dinput = input_gradient(grads.last());
  const PoolVector<Tensor> dvalues = value_gradients(pass.dinput, grads.last());
  PoolVector<Tensor> units, dunits, weights;
  for (const Var& u : run_.recurrence.units()) {
    units.push_back(u.value().contiguous());
    dunits.push_back(Tensor::zeros(u.shape(), run_.dtype, run_.device));
  }
  for (const Var& w : run_.recurrence.weights()) weights.push_back(w.value());
  pass.layout = &run_.layout();
  pass.schedule = &run_.schedule;
  pass.weights = weights;
  pass.units = units;
  pass.extras = run_.extras;
  pass.input = run_.zx_rows();
  pass.states = memory_.states;
  pass.values = memory_.values;
  pass.dstates = dstates;
  pass.upstream = upstream;
  pass.dvalues = dvalues;
  pass.dunits = dunits;
  backend(run_.device).run_levels(pass);
  if (dstates[0].rank() == 2 && observes_states(run_, grads)) {
    observe_backward(run_, grads, of_nodes(run_.schedule, dstates[0]), dvalues);
  }

  if (run_.zx.defined()) grads.add(0, Var(pass.dinput.reshape(run_.zx.shape())));
  add_weight_gradients(dvalues, dstates, grads);
  for (std::size_t i = 0; i < dunits.size(); ++i) {
    grads.add(run_.unit_input(static_cast<int>(i)), Var(dunits[i]));
  }
  for (std::size_t k = 0; k < dstates.size(); ++k) {
    if (!run_.initial[k].defined()) continue;
    const Tensor d =
        dstates[k].rank() == 3 ? dstates[k].select(0, 0) : external_gradient(run_, k, dstates[k]);
    grads.add(run_.initial_input(static_cast<int>(k)), Var(d));
  }
}

// --- the gradients of the weights ---

// Returns a view if the rows are adjacent, else a copy.
Tensor operand_of(const RecurrentRun& run, const RecurrentMemory& memory,
                  const StepLayout::Columns& x) {
  const StepLayout::Value& value = run.value(x.value);
  const auto index = static_cast<std::size_t>(value.index);
  const Schedule& schedule = run.schedule;
  Tensor all;
  switch (value.from) {
    case From::input: all = run.zx_rows(); break;
    case From::extra: all = run.extras[index]; break;
    case From::unit:
      all = run.recurrence.units()[index].value().expand(Shape{run.nodes(), value.size});
      break;
    case From::state: {
      const Tensor& states = memory.states[index];
      if (schedule.is_chain()) {
        const std::int64_t levels = schedule.levels();
        const std::int64_t first =
            std::min(schedule.slot(0, 0).begin, schedule.slot(levels - 1, 0).begin);
        all = states.slice(0, first, first + schedule.nodes());
        break;
      }
      const Tensor before = Tensor::empty({schedule.nodes()}, DType::int64);
      auto* const row = static_cast<std::int64_t*>(before.raw());
      for (std::int64_t l = 0; l < schedule.levels(); ++l) {
        const Schedule::Level level = schedule.level(l);
        const Schedule::Rows rows = schedule.slot(l, value.predecessor);
        for (std::int64_t i = 0; i < level.count; ++i) row[level.first + i] = rows[i];
      }
      all = Tensor::empty({schedule.nodes(), value.size}, run.dtype, run.device);
      backend(run.device).take_rows(all, states, before.to(run.device), false);
      break;
    }
    case From::edge_state: {
      const std::int64_t edges = schedule.edges();
      all = rows_of(schedule, memory.states[index],
                    {0, schedule.edge_rows(value.predecessor), edges});
      break;
    }
    default:
      all = value.part >= 0
                ? of_nodes(schedule, memory.states[static_cast<std::size_t>(value.part)])
                : memory.values[static_cast<std::size_t>(x.value)];
  }
  return x.size == value.size ? all : all.slice(1, x.first, x.first + x.size);
}

// Calls block(first row, end). For a chain: for blocks of whole levels from the last to the first,
// the order of a backward pass of single steps. Otherwise: for one block, from first_row to `all`.
template <class Block>
static void each_block(const Schedule& schedule, std::int64_t first_row, std::int64_t all,
                       std::int64_t rows, Block block) {
  if (!schedule.is_chain()) return block(first_row, all);
  const std::int64_t batch = schedule.level(0).count, levels = schedule.levels();
  const std::int64_t size = (rows + batch - 1) / batch;
  for (std::int64_t end = levels; end > 0; end -= size) {
    const std::int64_t begin = std::max<std::int64_t>(0, end - size);
    const std::int64_t first = std::min(schedule.level(begin).first, schedule.level(end - 1).first);
    block(first, first + (end - begin) * batch);
  }
}

// The number of nodes in the levels before the first one whose operand x is not all zeros.
static std::int64_t nodes_of_zeros(const RecurrentRun& run, const StepLayout::Columns& x) {
  const StepLayout::Value& value = run.value(x.value);
  const Schedule& schedule = run.schedule;
  const bool state = value.from == From::state, sum = run.layout().sums_edges_alone(x.value);
  std::int64_t nodes = 0;
  if (schedule.is_chain() || !(state || sum)) return nodes;
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    const bool zeros =
        state ? schedule.slot(l, value.predecessor).zeros : schedule.edges(l).count == 0;
    if (!zeros) break;
    nodes += schedule.level(l).count;
  }
  return nodes;
}

void RecurrentGradient::add_weight_gradients(std::span<const Tensor> dvalues,
                                             std::span<const Tensor> dstates, Grads& grads) const {
  const std::int64_t rows = backend(run_.device).gradient_rows();
  for (const StepLayout::Operation& op : run_.layout().operations) {
    if (op.kind != From::product) continue;
    const StepLayout::Value& y = run_.value(op.result);
    const Tensor dy = y.part >= 0
                          ? of_nodes(run_.schedule, dstates[static_cast<std::size_t>(y.part)])
                          : dvalues[static_cast<std::size_t>(op.result)];
    const auto part = [](const Tensor& all, std::int64_t first, std::int64_t end) {
      return Var(all.slice(0, first, end));
    };
    for (const StepLayout::Term& term : op.terms) {
      const int input = run_.weight_input(term.weight);
      if (!grads.needs(input)) continue;
      const Tensor x = operand_of(run_, memory_, term.x);
      const std::int64_t zeros = nodes_of_zeros(run_, term.x);
      each_block(run_.schedule, zeros, run_.rows(y), rows,
                 [&](std::int64_t first, std::int64_t end) {
                   const Var dys = part(dy, first, end), xs = part(x, first, end);
                   if (term.groups == 1) return defer_weight_gradient(grads, input, dys, xs);
                   grads.add(input, [&] {
                     return Var(group_weight_gradient(dys.value(), xs.value(), term.groups));
                   });
                 });
    }
    if (op.bias < 0) continue;
    const int input = run_.unit_input(run_.value(op.bias).index);
    if (!grads.needs(input)) continue;
    each_block(run_.schedule, 0, run_.rows(y), rows, [&](std::int64_t first, std::int64_t end) {
      defer_bias_gradient(grads, input, part(dy, first, end));
    });
  }
}

}  // namespace tapeloop::detail
