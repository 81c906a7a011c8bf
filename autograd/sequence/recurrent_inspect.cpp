// SPDX-License-Identifier: MIT
// Inspection of a recurrent(): norms of state gradients, and the level and gate of the first NaN or
// infinity. Slow; runs only if the tape inspects.
#include <algorithm>
#include <cmath>
#include <map>

#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/edge_rows.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

// The rows of level l of a value, out of the rows of all levels.
Tensor kept_rows(const RecurrentRun& run, std::int64_t l, int v, std::span<const Tensor> values) {
  const Tensor& all = values[static_cast<std::size_t>(v)];
  const Schedule::Level nodes = run.schedule.level(l);
  if (!run.value(v).by_edge) return all.slice(0, nodes.first, nodes.first + nodes.count);
  const Schedule::Edges edges = run.schedule.edges(l);
  return all.slice(0, edges.first, edges.first + edges.count);
}

// The values of one level on the CPU.
class LevelValues {
 public:
  LevelValues(const RecurrentRun& run, const RecurrentMemory& memory, std::int64_t l)
      : run_(run), memory_(memory), l_(l), level_(run.schedule.level(l)) {}

  Tensor rows(const Tensor& all) const {  // of the level's nodes
    return all.slice(0, level_.first, level_.first + level_.count).cpu();
  }
  // Of a value that the run keeps: of the level's nodes, or of their edges.
  Tensor rows(int v) const { return kept_rows(run_, l_, v, memory_.values).cpu(); }
  Tensor state(std::size_t k) const {
    return memory_.states[k].slice(0, level_.state, level_.state + level_.count).cpu();
  }
  // Columns of a value, [rows, size].
  Tensor columns(const StepLayout::Columns& c) const {
    return value(c.value).slice(1, c.first, c.first + c.size);
  }

 private:
  Tensor value(int v) const {
    const StepLayout::Value& value = run_.value(v);
    const auto i = static_cast<std::size_t>(value.index);
    switch (value.from) {
      case From::input: return rows(run_.zx_rows());
      case From::extra: return rows(run_.extras[i]);
      case From::unit:
        return run_.recurrence.units()[i].value().cpu().expand(Shape{level_.count, value.size});
      case From::state:
        return rows_of(run_.schedule, memory_.states[i], run_.schedule.slot(l_, value.predecessor))
            .cpu();
      case From::edge_state: {
        const Schedule::Edges edges = run_.schedule.edges(l_);
        const std::int64_t* const table = run_.schedule.edge_rows(value.predecessor) + edges.first;
        return rows_of(run_.schedule, memory_.states[i], {0, table, edges.count}).cpu();
      }
      case From::spread: {
        const EdgeRows edges(run_.schedule, l_, run_.dtype, Device::cpu);
        return edges.spread(Var(columns(run_.layout().operations[i].x))).value();
      }
      default: return value.part >= 0 ? state(static_cast<std::size_t>(value.part)) : rows(v);
    }
  }

  const RecurrentRun& run_;
  const RecurrentMemory& memory_;
  std::int64_t l_;
  Schedule::Level level_;
};

// Finds the part of a formula of the step that is not finite although its arguments are.
void find_gate(const RecurrentRun& run, const LevelValues& values, NonFinitePlace& found) {
  for (const StepLayout::Operation& op : run.layout().operations) {
    if (op.kind != From::formula) continue;
    const Formula formula(*op.kernel, op.formula.bytes);
    std::vector<Var> arguments;
    for (const StepLayout::Columns& c : op.arguments) {
      for (std::int64_t at = 0; at < c.size; at += op.units) {
        arguments.emplace_back(values.columns({c.value, c.first + at, op.units}));
      }
    }
    const Formula::Bad bad = formula.first_non_finite(arguments, true);
    if (bad.part < 0) continue;
    found.gate = formula.gate(bad.part);
    if (found.gate.empty()) found.gate = formula.parts()[static_cast<std::size_t>(bad.part)].text;
    found.value = bad.value;
    found.element = {bad.element / op.units, bad.element % op.units};
    found.what = "batch and unit, of " + arguments[0].shape().str();
    found.largest_input = 0;
    for (const Var& x : arguments) {
      found.largest_input = std::max(found.largest_input, Inspection::largest(x.value()));
    }
    return;
  }
}

const Inspection* checking(const Grads& grads) {
  const Inspection* const inspection = find_observer<Inspection>(grads.observers());
  return inspection != nullptr && inspection->checks() ? inspection : nullptr;
}

// The name of the argument that is column `column` of a product; empty if no formula reads it.
std::string name_of_column(const RecurrentRun& run, int product, std::int64_t column) {
  for (const StepLayout::Operation& op : run.layout().operations) {
    int argument = 0;
    for (const StepLayout::Columns& c : op.arguments) {
      if (c.value == product && column >= c.first && column < c.first + c.size) {
        const Formula formula(*op.kernel, op.formula.bytes);
        return formula.argument_name(argument + static_cast<int>((column - c.first) / op.units));
      }
      argument += static_cast<int>(c.size / op.units);
    }
  }
  return "";
}

// Logs |dh| of each time step; of each level in structures without time.
void log_states(const RecurrentRun& run, const Tensor& dh) {
  std::map<std::int64_t, double> squares;
  for (std::int64_t l = 0; l < run.schedule.levels(); ++l) {
    const Schedule::Level level = run.schedule.level(l);
    if (run.schedule.is_chain()) {
      run.part.note(run.time(l), dh.slice(0, level.first, level.first + level.count).cpu());
      continue;
    }
    for (std::int64_t i = 0; i < level.count; ++i) {
      const double size = norm(Var(dh.select(0, level.first + i).cpu())).item();
      squares[run.time(l, i)] += size * size;
    }
  }
  for (const auto& [time, square] : squares) {
    run.part.note(time, Tensor::from({1}, {std::sqrt(square)}));
  }
}

}  // namespace

void observe_forward(const RecurrentRun& run, const RecurrentMemory& memory) {
  const Inspection* const inspection = inspecting();
  if (inspection == nullptr || !inspection->checks()) return;
  for (std::int64_t l = 0; l < run.schedule.levels(); ++l) {
    const LevelValues values(run, memory, l);
    std::optional<NonFinitePlace> found;
    for (const StepLayout::Operation& op : run.layout().operations) {
      const auto v = static_cast<std::size_t>(op.result);
      if (found || op.kind != From::product || run.layout().values[v].part >= 0) continue;
      found = Inspection::look(values.rows(op.result), true, "the pre-activations");
    }
    for (std::size_t k = 0; k < run.parts() && !found; ++k) {
      found = Inspection::look(values.state(k), true, "the state");
    }
    if (!found) continue;
    find_gate(run, values, *found);
    // If weights or the initial state were not finite before, the report names them instead.
    PoolVector<const Var*> given = run.inputs();
    given.erase(given.begin());
    for (const Var* x : given) {
      if (!x->defined() || (l > 0 && !x->is_parameter())) continue;
      const std::optional<NonFinitePlace> before = Inspection::look(x->value(), true, "its input");
      if (!before || !(x->is_parameter() || !x->requires_grad())) continue;
      found->given = *x;
      found->what = before->what;
      found->element = before->element;
      found->value = before->value;
      found->gate.clear();
      break;
    }
    found->operation = "recurrent";
    found->step = run.time(l) + run.part.first;
    inspection->report(std::move(*found));
  }
}

bool observes_states(const RecurrentRun& run, const Grads& grads) {
  return run.part.logged() || checking(grads) != nullptr;
}

void observe_backward(const RecurrentRun& run, const Grads& grads, const Tensor& dh,
                      std::span<const Tensor> dvalues) {
  const auto rows = [&](const Tensor& all, std::int64_t l) {
    const Schedule::Level level = run.schedule.level(l);
    return all.slice(0, level.first, level.first + level.count).cpu();
  };
  if (run.part.logged()) log_states(run, dh);
  const Inspection* const inspection = checking(grads);
  if (inspection == nullptr) return;
  for (std::int64_t l = run.schedule.levels(); l-- > 0;) {
    std::optional<NonFinitePlace> found =
        Inspection::look(rows(dh, l), true, "the gradient of the state h");
    if (found) {
      for (const StepLayout::Operation& op : run.layout().operations) {
        if (op.kind == From::formula && op.result == run.layout().next[0]) {
          found->gate = Formula(*op.kernel, op.formula.bytes).result_name(0);
        }
      }
    }
    for (std::size_t v = 0; v < dvalues.size() && !found; ++v) {
      if (!dvalues[v].defined()) continue;
      const Tensor dz = kept_rows(run, l, static_cast<int>(v), dvalues).cpu();
      found = Inspection::look(dz, true, "the gradient of the pre-activations");
      if (found) found->gate = name_of_column(run, static_cast<int>(v), found->element.back());
    }
    if (!found) continue;
    found->operation = "recurrent";
    found->step = run.time(l) + run.part.first;
    inspection->report(std::move(*found));
  }
}

}  // namespace tapeloop::detail
