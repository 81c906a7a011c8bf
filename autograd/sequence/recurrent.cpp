// SPDX-License-Identifier: MIT
// The operation recurrent(): checks, and the forward pass. A kernel of the device runs the levels.
// recurrent_gradient.cpp has the backward pass.
#include "tapeloop/autograd/sequence/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/sequence/recurrent_gradient.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::RecurrentMemory;
using detail::RecurrentRun;

namespace {

[[noreturn]] void fail_with(const Recurrence& recurrence, const std::string& text) {
  fail("recurrent", fmt::format("\"{}\": {}", recurrence.name(), text));
}

void check_defined(const Recurrence& recurrence) {
  if (!recurrence.defined()) {
    fail("recurrent",
         "the recurrence is undefined; build it from a formula and its arguments, after "
         "stage() with next()");
  }
}

void check_parts(const Recurrence& r, std::span<const Var> state) {
  if (state.size() != static_cast<std::size_t>(r.parts())) {
    fail_with(r, fmt::format("{} parts of a state were given, the step makes {}", state.size(),
                             r.parts()));
  }
}

// All operands are of one type on one device.
// Throws unless all operands have the type and the device of `first`.
void check_types(const RecurrentRun& run, const Tensor& first) {
  const Recurrence& r = run.recurrence;
  const char* name = run.zx.defined() ? "zx" : "an operand";
  if (run.dtype == DType::int64)
    fail_with(r, fmt::format("{} is int64, expected float32 or float64", name));
  const auto same = [&](const Tensor& x) {
    if (x.dtype() == run.dtype && x.device() == run.device) return;
    fail_with(r, fmt::format("{} is {}, another operand {}; all must be of one type on one device: "
                             "convert one by to(x, dtype) or copy it by to(x, device)",
                             name, first.describe(), x.describe()));
  };
  for (const Var& w : r.weights()) same(w.value());
  for (const Var& u : r.units()) same(u.value());
  for (const Tensor& x : r.extras()) same(x);
  for (const Var& part : run.initial) {
    if (part.defined()) same(part.value());
  }
}

void check_order(const RecurrentRun& run) {
  const Recurrence& r = run.recurrence;
  const int predecessors = run.layout().predecessors();
  if (predecessors > run.schedule.slots()) {
    fail_with(r, fmt::format("the step reads {} predecessors, but a node of this schedule has {}",
                             predecessors, run.schedule.slots()));
  }
  const int tables = run.layout().edge_tables(), given = run.schedule.edge_tables();
  if (tables > 0 && given == 0) {
    fail_with(r,
              "the step reads of::edge_state(), but the schedule has no edges; give it one with "
              "edges, Schedule::trees_by_parent() or Schedule::graph()");
  }
  if (tables > given) {
    fail_with(r, fmt::format("the step reads table {} of the edges, but this schedule has {} "
                             "(trees have one, graphs have two)",
                             tables - 1, given));
  }
  if (tables == 0 && given > 0) {
    fail_with(r,
              "the schedule has edges, as graphs and trees by parents have, but the step reads "
              "none of them; read what is at their other ends by of::edge_state(), or use trees "
              "by children, a grid or sequences");
  }
}

// Extra values as a row for each node. `lead`: the axes that they must have before the last one.
void take_extras(RecurrentRun& run, const Shape& lead) {
  for (const Tensor& x : run.recurrence.extras()) {
    const Shape expected = lead.inserted(lead.rank(), x.dim(-1));
    if (x.shape() != expected) {
      fail_with(run.recurrence,
                fmt::format("an extra value is {}, expected {}", x.describe(), expected.str()));
    }
    const Var rows(x.contiguous().reshape(Shape{lead.numel(), x.dim(-1)}));
    const bool by_node = lead.rank() == 1;  // in the order of the schedule already
    run.extras.push_back(by_node ? rows.value() : to_nodes(run.schedule, rows).value());
  }
}

// --- memory ---

// True if nobody else sees the memory of zx.
bool owns(const Var& zx) {
  const Tensor& given = zx.value();
  return !zx.is_parameter() && zx.body()->references.load(std::memory_order_relaxed) == 1 &&
         !given.shares_memory_with_others() && given.is_contiguous();
}

// Memory for the values of all nodes. Without a tape most values are needed in one level only.
void make_values(RecurrentRun& run, const Tensor& zx, bool owned, bool recorded,
                 RecurrentMemory& memory) {
  const StepLayout& layout = run.layout();
  PoolVector<Tensor>& values = memory.values;
  Tensor& columns = memory.columns;
  values.resize(layout.values.size());
  for (const StepLayout::Operation& op : layout.operations) {
    const auto v = static_cast<std::size_t>(op.result);
    if (detail::in_input_columns(layout, op)) {
      if (!columns.defined() && owned) {
        run.in_place = true;
        columns = zx;
      }
      if (!columns.defined() && recorded) {
        columns = Tensor::empty(zx.shape(), zx.dtype(), zx.device());
      }
      if (columns.defined()) values[v] = columns.slice(1, op.add.first, op.add.first + op.add.size);
      continue;
    }
    const std::size_t results =
        op.kind == StepLayout::From::formula ? static_cast<std::size_t>(op.kernel->outputs) : 1;
    for (std::size_t k = v; recorded && k < v + results; ++k) {
      if (layout.values[k].part >= 0 || !detail::kept(layout, static_cast<int>(k))) continue;
      const std::int64_t rows = run.rows(layout.values[k]);
      values[k] = Tensor::empty({rows, layout.values[k].size}, run.dtype, run.device);
    }
  }
  if (columns.defined()) columns.mark_written();
}

// States of all rows, with the external ones filled in. Without a tape a chain keeps two levels of
// the parts that are no results.
PoolVector<Tensor> make_states(const RecurrentRun& run, bool recorded, bool all_parts) {
  PoolVector<Tensor> states;
  states.reserve(run.parts());
  for (std::size_t k = 0; k < run.parts(); ++k) {
    const bool all = recorded || all_parts || k == 0 || !run.schedule.is_chain();
    const std::int64_t size = run.part_size(k);
    if (all) {
      states.push_back(Tensor::empty({run.schedule.state_rows(), size}, run.dtype, run.device));
      detail::fill_external(run, k, states.back());
      continue;
    }
    const std::int64_t batch = run.schedule.level(0).count;
    states.push_back(Tensor::empty({2, batch, size}, run.dtype, run.device));
    const Tensor first = states.back().select(0, 0);
    if (run.initial[k].defined()) {
      first.copy_from(run.initial[k].value());
    } else {
      first.fill(0);
    }
  }
  return states;
}

// The states after the last steps. A copy, so that a caller who keeps it does not keep the memory
// of the whole sequence.
Tensor last_of(const RecurrentRun& run, const Tensor& states) {
  if (states.rank() == 3) return states.select(0, run.schedule.levels() & 1).clone();
  const Schedule::Rows finals = run.schedule.finals();
  const Tensor rows = detail::rows_of(run.schedule, states, finals);
  return finals.rows == nullptr ? rows.clone() : rows;
}

PoolVector<Tensor> tensors_of(std::span<const Var> vars) {
  PoolVector<Tensor> result;
  result.reserve(vars.size());
  for (const Var& x : vars) result.push_back(x.value().contiguous());
  return result;
}

// `lead`: the axes of the results before the last one.
RecurrentResult run_levels(RecurrentRun run, const Shape& lead, bool all_parts) {
  const detail::Operation operation("recurrent");
  PoolVector<const Var*> inputs = run.inputs();
  const bool recorded = Recorder::wanted("recurrent", inputs);
  const bool owned = run.zx.defined() && owns(run.zx);  // before zx_rows() makes another handle
  const Tensor zx = run.zx_rows();
  RecurrentMemory memory;
  make_values(run, zx, owned, recorded, memory);
  memory.states = make_states(run, recorded, all_parts);
  const PoolVector<Tensor> units = tensors_of(run.recurrence.units());
  PoolVector<Tensor> weights;
  weights.reserve(run.recurrence.weights().size());
  for (const Var& w : run.recurrence.weights()) weights.push_back(w.value());
  LevelForward pass{};
  pass.layout = &run.layout();
  pass.schedule = &run.schedule;
  pass.weights = weights;
  pass.units = units;
  pass.extras = run.extras;
  pass.input = zx;
  pass.states = memory.states;
  pass.values = memory.values;
  backend(run.device).run_levels(pass);
  if (recorded) detail::observe_forward(run, memory);

  RecurrentResult result;
  const std::size_t shown = all_parts ? run.parts() : 1;
  PoolVector<Var> outputs;
  outputs.reserve(shown + run.parts());
  for (std::size_t k = 0; k < shown; ++k) {
    const Shape shape = lead.inserted(lead.rank(), run.part_size(k));
    outputs.emplace_back(detail::of_nodes(run.schedule, memory.states[k]).reshape(shape));
  }
  if (!run.schedule.finals().empty()) {
    for (const Tensor& states : memory.states) outputs.emplace_back(last_of(run, states));
  }
  if (recorded) {
    const Var given = run.zx;  // the other inputs are in lists: a move does not move their elements
    inputs[0] = &given;
    detail::RecurrentGradient gradient(std::move(run), std::move(memory), all_parts);
    Recorder::record("recurrent", inputs, outputs, std::move(gradient));
  }
  result.hs = outputs[0];
  const auto last = outputs.begin() + static_cast<std::ptrdiff_t>(shown);
  if (all_parts) result.states.assign(outputs.begin(), last);
  result.last.assign(std::make_move_iterator(last), std::make_move_iterator(outputs.end()));
  return result;
}

// --- sequences ---

void check_sequence(const Recurrence& r, const Var& zx, std::span<const Var> state) {
  if (!zx.defined() || zx.rank() != 3) {
    fail_with(r, fmt::format("zx is {}, expected [T, N, columns]",
                             zx.defined() ? zx.shape().str() : "undefined"));
  }
  for (std::size_t k = 0; k < state.size(); ++k) {
    if (!state[k].defined()) {
      fail_with(r, fmt::format("part {} of the initial state is undefined; give zeros [N, H] to "
                               "start from",
                               k));
    }
    if (state[k].rank() != 2 || state[k].dim(0) != zx.dim(1)) {
      fail_with(r, fmt::format("part {} of the initial state is {}, expected [N={}, H]", k,
                               state[k].shape().str(), zx.dim(1)));
    }
  }
}

RecurrentRun make_run(Recurrence&& recurrence, Var zx, std::span<const Var> state,
                      std::span<const std::int64_t> sizes) {
  RecurrentRun run;
  recurrence.resolve(zx.defined() ? zx.dim(-1) : 0, sizes);
  run.recurrence = std::move(recurrence);
  run.initial.assign(state.begin(), state.end());
  run.zx = std::move(zx);
  const Tensor* any = run.zx.defined() ? &run.zx.value() : nullptr;
  const auto see = [&](const Tensor& x) { any = any == nullptr ? &x : any; };
  for (const Var& w : run.recurrence.weights()) see(w.value());
  for (const Var& u : run.recurrence.units()) see(u.value());
  for (const Tensor& x : run.recurrence.extras()) see(x);
  for (const Var& part : run.initial)
    if (part.defined()) see(part.value());
  if (any == nullptr) fail_with(run.recurrence, "the step reads no tensor; give an initial state");
  run.dtype = any->dtype(), run.device = any->device();
  check_types(run, *any);
  return run;
}

PoolVector<std::int64_t> sizes_of(std::span<const Var> state) {
  PoolVector<std::int64_t> sizes;
  sizes.reserve(state.size());
  for (const Var& part : state) sizes.push_back(part.dim(-1));
  return sizes;
}

// The result for zero time steps or an empty batch: all gradients are zeros.
RecurrentResult nothing_to_do(const RecurrentRun& run, const Shape& lead, bool all_parts,
                              bool sequences) {
  RecurrentResult result;
  const PoolVector<const Var*> inputs = run.inputs();
  for (std::size_t k = 0; k < (all_parts ? run.parts() : 1); ++k) {
    const Shape shape = lead.inserted(lead.rank(), run.part_size(k));
    result.states.emplace_back(Tensor::empty(shape, run.dtype, run.device));
  }
  if (Recorder::wanted("recurrent", inputs)) {
    Recorder::record(
        "recurrent", inputs, result.states, [run](std::span<const Var> douts, Grads& grads) {
          Var nothing;
          for (const Var& dy : douts) {
            if (dy.defined()) nothing = sum(dy);
          }
          const PoolVector<const Var*> list = run.inputs();
          for (std::size_t i = 0; nothing.defined() && i < list.size(); ++i) {
            if (!list[i]->defined()) continue;
            grads.add(static_cast<int>(i), [&] { return expand(nothing, list[i]->shape()); });
          }
        });
  }
  result.hs = result.states[0];
  if (!all_parts) result.states.clear();
  for (std::size_t k = 0; sequences && k < run.parts(); ++k) {
    const Var zeros(
        Tensor::zeros({run.schedule.initial_rows(), run.part_size(k)}, run.dtype, run.device));
    result.last.push_back(run.initial[k].defined() ? run.initial[k] : zeros);
  }
  return result;
}

}  // namespace

RecurrentResult recurrent(Recurrence recurrence, Var zx, std::span<const Var> state,
                          const SequenceOptions& options) {
  check_defined(recurrence);
  check_parts(recurrence, state);
  check_sequence(recurrence, zx, state);
  detail::check_lengths("recurrent", options.lengths, "zx", zx.shape());
  detail::check_resets("recurrent", options.resets, "zx", zx.shape());
  const std::int64_t steps = zx.dim(0), batch = zx.dim(1);
  const Shape lead{steps, batch};
  RecurrentRun run = make_run(std::move(recurrence), std::move(zx), state, sizes_of(state));
  if (steps == 0 || batch == 0) return nothing_to_do(run, lead, options.all_parts, true);
  run.part = detail::begin_sequence(options.part, steps, options.reverse);
  run.schedule = Schedule::sequences(
      steps, batch,
      {.reverse = options.reverse, .lengths = options.lengths, .resets = options.resets});
  check_order(run);
  take_extras(run, lead);
  const std::int64_t rows = steps * batch;
  if (run.nodes() == rows && run.schedule.order().empty()) {
    return run_levels(std::move(run), lead, options.all_parts);
  }
  const Schedule schedule = run.schedule;
  run.zx = to_nodes(run.schedule, reshape(run.zx, Shape{rows, run.zx.dim(2)}));
  RecurrentResult result =
      run.nodes() == 0 ? nothing_to_do(run, Shape{0}, options.all_parts, true)
                       : run_levels(std::move(run), Shape{schedule.nodes()}, options.all_parts);
  const auto padded = [&](const Var& y) {
    return reshape(from_nodes(schedule, y), Shape{steps, batch, y.dim(1)});
  };
  result.hs = padded(result.hs);
  for (Var& part : result.states) part = padded(part);
  return result;
}

RecurrentResult recurrent(Recurrence recurrence, Var zx, std::span<const Var> state,
                          std::span<const std::int64_t> state_sizes, const Schedule& schedule,
                          const ScheduleOptions& options) {
  check_defined(recurrence);
  check_parts(recurrence, state);
  if (state_sizes.size() != state.size()) {
    fail_with(recurrence,
              fmt::format("{} sizes were given for a state of {} parts; give one for each",
                          state_sizes.size(), state.size()));
  }
  if (zx.defined() && (zx.rank() != 2 || zx.dim(0) != schedule.nodes())) {
    fail_with(recurrence, fmt::format("zx is {}, expected [V={}, columns], a row for each node",
                                      zx.shape().str(), schedule.nodes()));
  }
  for (std::size_t k = 0; k < state.size(); ++k) {
    const Shape expected{schedule.initial_rows(), state_sizes[k]};
    if (state[k].defined() && state[k].shape() != expected) {
      fail_with(recurrence, fmt::format("part {} of the initial state is {}, expected {}", k,
                                        state[k].shape().str(), expected.str()));
    }
  }
  RecurrentRun run = make_run(std::move(recurrence), std::move(zx), state, state_sizes);
  run.schedule = schedule;
  check_order(run);
  const Shape lead{schedule.nodes()};
  take_extras(run, lead);
  run.part = options.part;
  if (schedule.nodes() == 0) {
    return nothing_to_do(run, lead, options.all_parts, !schedule.finals().empty());
  }
  return run_levels(std::move(run), lead, options.all_parts);
}

}  // namespace tapeloop
