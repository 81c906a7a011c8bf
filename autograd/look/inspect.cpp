// SPDX-License-Identifier: MIT
// The Inspection of a tape: norms of state gradients, the search for a NaN or
// infinity, and its report.
#include "tapeloop/autograd/look/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tapeloop/autograd/look/inspect_record.h"

namespace tapeloop {

namespace detail {

// --- gradients of states ---

SequencePart begin_sequence(const SequencePart& part, std::int64_t steps, bool reverse) {
  if (part.begun) return part;
  SequencePart own;
  own.begun = true;
  if (const Inspection* inspection = inspecting(); inspection != nullptr)
    own.log = inspection->log();
  if (own.logged()) {
    own.row = own.log->size();
    own.log->push_back(
        {Scope::path(), reverse, std::vector<double>(static_cast<std::size_t>(steps), 0.0)});
  }
  return own;
}

void SequencePart::note(std::int64_t t, const Tensor& dh) const {
  double sum = 0;
  for (const double x : dh.to_vector<double>()) sum += x * x;
  (*log)[row].norms.at(static_cast<std::size_t>(first + t)) = std::sqrt(sum);
}

Var watch_state(const SequencePart& part, std::int64_t t, const Var& h) {
  if (!part.logged() || !h.requires_grad()) return h;
  return record("state", {&h}, Tensor(h.value()), [part, t](const Var& dh, Grads& grads) {
    part.note(t, dh.value());
    grads.add(0, dh);
  });
}

// --- the search ---

std::optional<NonFinitePlace> Inspection::look(const Tensor& tensor, bool infinities,
                                               const std::string& what) {
  if (!tensor.defined() || tensor.dtype() == DType::int64) return std::nullopt;
  const std::vector<double> values = tensor.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) || (!infinities && !std::isnan(values[i]))) continue;
    NonFinitePlace found;
    found.what = fmt::format("{} {}", what, tensor.describe());
    found.value = values[i];
    std::int64_t rest = static_cast<std::int64_t>(i);
    for (int axis = tensor.rank(); axis-- > 0;) {
      found.element.insert(found.element.begin(), rest % tensor.dim(axis));
      rest /= tensor.dim(axis);
    }
    return found;
  }
  return std::nullopt;
}

double Inspection::largest(const Tensor& tensor) {
  double result = 0;
  if (!tensor.defined() || tensor.dtype() == DType::int64) return result;
  for (const double x : tensor.to_vector<double>()) {
    if (std::isfinite(x)) result = std::max(result, std::abs(x));
  }
  return result;
}

void Inspection::recorded(const RecordedOperation& operation) {
  places_.push_back({operation.name, Scope::path(), TimeStep::now()});
  if (!checks_) return;
  const std::span<const Var* const> inputs = operation.inputs;
  const std::span<const Var> outputs = operation.results;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    std::optional<NonFinitePlace> found =
        look(outputs[k].value(), true,
             outputs.size() == 1 ? "its result" : fmt::format("its result {}", k));
    if (!found) continue;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]->defined()) continue;
      found->largest_input = std::max(found->largest_input, largest(inputs[i]->value()));
      const std::optional<NonFinitePlace> before =
          look(inputs[i]->value(), true, fmt::format("its input {}", i));
      if (!before || found->given.defined()) continue;
      if (inputs[i]->is_parameter() || std::isnan(before->value)) {
        found->given = *inputs[i];
        found->what = before->what;
        found->element = before->element;
        found->value = before->value;
      } else if (!std::isnan(found->value)) {
        // Ignores infinities of constants, e.g. a mask.
        found = look(outputs[k].value(), false, "its result");
        if (!found) break;
      }
    }
    if (!found) continue;
    found->operation = operation.name;
    report(std::move(*found));
  }
}

void Inspection::check_gradient(const Tensor& sum, const std::string& what,
                                std::string_view suffix) {
  if (!checks_) return;
  std::optional<NonFinitePlace> found = look(sum, true, what);
  if (!found) return;
  if (!playing_.empty()) {
    found->operation = std::string(places_[playing_.back().node()].name).append(suffix);
  }
  report(std::move(*found));
}

void Inspection::input_gradient(std::size_t input, const Tensor& sum) {
  check_gradient(sum, fmt::format("the gradient of its input {}", input));
}

void Inspection::parameter_gradient(const Tensor& sum) {
  check_gradient(sum, "the gradient of a parameter", " dW");
}

std::unique_ptr<Observer> Inspection::of_inner_tape() const {
  return std::make_unique<Inspection>(checks_, log_);
}

void Inspection::report(NonFinitePlace found) const {
  if (playing_.empty()) {
    found.pass = NonFinitePlace::Pass::forward;
    found.scope = Scope::path();
    if (found.step < 0) found.step = TimeStep::now();
  } else {
    const Place& place = places_[playing_.back().node()];
    found.pass = NonFinitePlace::Pass::backward;
    found.scope = place.scope;
    if (found.step < 0) found.step = place.step;
    if (found.operation.empty()) found.operation = place.name;
  }
  throw NonFiniteError(std::move(found));
}

Inspection::Playing::Playing(std::size_t node, std::string path) : Playing(node) {
  const std::string now = Scope::path();
  if (!now.empty() && path == now) return;
  if (!now.empty() && path.starts_with(now + "/")) path.erase(0, now.size() + 1);
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    scopes_.push_back(std::make_unique<Scope>(std::string_view(path).substr(0, end)));
    path.erase(0, end + 1);
  }
}

void Inspection::begin(std::size_t node, NodeWork /*work*/) {
  playing_.emplace_back(node, places_[node].scope);
}

}  // namespace detail

// --- the report ---

namespace {

std::string advice(const NonFinitePlace& found) {
  if (found.given.defined() && found.given.is_parameter()) {
    return "An earlier update wrote it: go back to the last checkpoint, and lower the learning "
           "rate or clip the gradient (optim::clip_grad_norm).";
  }
  if (found.given.defined()) {
    return "It was not calculated but given: look for a missing value or a division by 0 where "
           "this batch is made.";
  }
  if (found.pass == NonFinitePlace::Pass::backward) {
    return "The loss was finite, its gradient is not: lower the learning rate, clip the gradient "
           "(optim::clip_grad_norm), unroll fewer steps, or keep sqrt, log and pow away from 0, "
           "where their slopes have no bound (add a small number inside).";
  }
  return "Numbers grew too large, or left the function's domain (log and sqrt below 0, division by "
         "0): lower the learning rate, clip the gradient (optim::clip_grad_norm), or hold the "
         "input of this operation in bounds (clamp, a small number added).";
}

}  // namespace

std::string NonFinitePlace::str() const {
  if (pass == Pass::none) return "";
  std::string result =
      fmt::format("the first {} of the {} pass is in {}", std::isnan(value) ? "NaN" : "infinity",
                  pass == Pass::forward ? "forward" : "backward",
                  operation.empty() ? "the sum of a parameter's gradient"
                                    : fmt::format("operation \"{}\"", operation));
  if (!scope.empty()) result += fmt::format(" of \"{}\"", scope);
  if (step >= 0) result += fmt::format(", time step {}", step);
  if (!gate.empty()) result += fmt::format(", gate \"{}\"", gate);
  result += fmt::format(": {} at [{}] of {}", value, fmt::join(element, ", "), what);
  if (!parameter.empty()) result += fmt::format(", the parameter \"{}\"", parameter);
  if (largest_input > 0) {
    result += fmt::format("; the largest number that went in is {:.3g}", largest_input);
  }
  return result + ". " + advice(*this);
}

NonFinitePlace find_non_finite(const std::function<Var()>& loss) {
  Tape tape({.check_finite = true});
  try {
    const Var y = loss();
    if (y.requires_grad()) tape.gradient(y, std::span<const Var>());
  } catch (const NonFiniteError& error) {
    return error.where;
  }
  return {};
}

}  // namespace tapeloop
