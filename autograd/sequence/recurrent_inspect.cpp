// SPDX-License-Identifier: MIT
// Inspection of a recurrent(): norms of state gradients, and the time step and gate of the first
// NaN or infinity. Slow; runs only if the tape inspects.
#include <algorithm>

#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"

namespace tapeloop::detail {

namespace {

// [N, ..] of one time step, on the CPU, with 0 in the rows whose sequences have ended.
Tensor running_rows(const RecurrentRun& run, const Tensor& all, std::int64_t t) {
  Tensor result = all.select(0, t).cpu().clone();
  for (std::int64_t n = 0; n < run.batch(); ++n) {
    if (!is_running(run, n, t)) result.select(0, n).fill(0);
  }
  return result;
}

void add_columns(std::vector<Var>& arguments, const Tensor& z, const RecurrentRun& run) {
  for (std::int64_t g = 0; g < run.gates(); ++g) {
    arguments.emplace_back(z.slice(1, g * run.hidden(), (g + 1) * run.hidden()));
  }
}

}  // namespace

void observe_forward(const RecurrentRun& run, const Tensor& z, std::span<const Tensor> states) {
  const Inspection* const inspection = inspecting();
  if (inspection == nullptr || !inspection->checks()) return;
  for (std::int64_t step = 0; step < run.steps(); ++step) {
    const std::int64_t t = run.time(step);
    const Tensor own_z = running_rows(run, z, t);
    std::optional<NonFinitePlace> found = Inspection::look(own_z, true, "the pre-activations");
    for (const Tensor& state : states) {
      if (!found) found = Inspection::look(running_rows(run, state, t), true, "the state");
    }
    if (!found) continue;
    const Formula formula(*run.recurrence.kernel, run.recurrence.formula.bytes);
    std::vector<Var> arguments;
    if (run.apart()) add_columns(arguments, running_rows(run, run.zx.value(), t), run);
    add_columns(arguments, own_z, run);
    for (std::size_t k = run.takes_h() ? 0 : 1; k < states.size(); ++k) {
      arguments.emplace_back(step == 0 ? run.initial[k].value().cpu()
                                       : running_rows(run, states[k], run.time(step - 1)));
    }
    const Formula::Bad bad = formula.first_non_finite(arguments, true);
    if (bad.part >= 0) {
      found->gate = formula.gate(bad.part);
      if (found->gate.empty())
        found->gate = formula.parts()[static_cast<std::size_t>(bad.part)].text;
      found->value = bad.value;
      found->element = {bad.element / run.hidden(), bad.element % run.hidden()};
      found->what = "batch and unit, of " + Shape{run.batch(), run.hidden()}.str();
      found->largest_input = 0;
      for (const Var& x : arguments) {
        found->largest_input = std::max(found->largest_input, Inspection::largest(x.value()));
      }
    }
    // If weights or the initial state were not finite before, the report names them instead.
    for (const Var* given : {&run.recurrence.w_hh, &run.recurrence.b_hh, &run.initial[0]}) {
      if (!given->defined() || (step > 0 && !given->is_parameter())) continue;
      const std::optional<NonFinitePlace> before =
          Inspection::look(given->value(), true, "its input");
      if (!before || !(given->is_parameter() || !given->requires_grad())) continue;
      found->given = *given;
      found->what = before->what;
      found->element = before->element;
      found->value = before->value;
      found->gate.clear();
      break;
    }
    found->operation = "recurrent";
    found->step = t + run.part.first;
    inspection->report(std::move(*found));
  }
}

static const Inspection* checking(const Grads& grads) {
  const Inspection* const inspection = find_observer<Inspection>(grads.observers());
  return inspection != nullptr && inspection->checks() ? inspection : nullptr;
}

bool observes_states(const RecurrentRun& run, const Grads& grads) {
  return run.part.logged() || checking(grads) != nullptr;
}

void observe_backward(const RecurrentRun& run, const Grads& grads, const Tensor& dh,
                      const Tensor& dz, const Tensor& dzx) {
  for (std::int64_t t = 0; run.part.logged() && t < run.steps(); ++t) {
    run.part.note(t, running_rows(run, dh, t));
  }
  const Inspection* const inspection = checking(grads);
  if (inspection == nullptr) return;
  const Formula formula(*run.recurrence.kernel, run.recurrence.formula.bytes);
  for (std::int64_t step = run.steps(); step-- > 0;) {
    const std::int64_t t = run.time(step);
    std::optional<NonFinitePlace> found =
        Inspection::look(running_rows(run, dh, t), true, "the gradient of the state h");
    if (found) {
      found->gate = formula.result_name(0);
    }
    for (int k = 0; !found && k < (run.apart() ? 2 : 1); ++k) {
      found = Inspection::look(running_rows(run, run.apart() && k == 0 ? dzx : dz, t), true,
                               "the gradient of the pre-activations");
      if (!found) continue;
      const int gate = static_cast<int>(found->element.back() / run.hidden());
      found->gate = formula.argument_name(k * run.gates() + gate);
    }
    if (!found) continue;
    found->operation = "recurrent";
    found->step = t + run.part.first;
    inspection->report(std::move(*found));
  }
}

}  // namespace tapeloop::detail
