// SPDX-License-Identifier: MIT
// The gradients of a backward pass in progress: adds contributions, at once or deferred until all
// are known. The order of the pass is in tape.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tapeloop/autograd/device/transform.h"
#include "tapeloop/autograd/formula/elementwise.h"
#include "tapeloop/autograd/tape/recompute.h"
#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::add_to;
using detail::Gradient;
using detail::is_ours;
using detail::SetPaused;

bool detail::is_ours(const Var& sum) {
  return sum.body()->references.load(std::memory_order_relaxed) == 1 &&
         !sum.value().shares_memory_with_others() && sum.value().is_contiguous();
}

// The sum of gradients is all that a tape calculates itself.
static void add_tensors(const Tensor& a, const Tensor& b, const Tensor& sum) {
  const formula::Add add;
  const std::size_t index = ArithmeticPage::index_of<formula::Add>();
  transform(*ArithmeticPage::kernels()[index], &add, std::array{a, b}, std::array{sum});
}

void detail::add_to(Var& sum, const Var& contribution, bool recorded) {
  if (!sum.defined()) {
    sum = contribution;
    return;
  }
  if (!recorded && is_ours(sum)) {
    add_tensors(sum.value(), contribution.value(), sum.value());
    return;
  }
  Tensor result = Tensor::empty(sum.shape(), sum.dtype(), sum.device());
  add_tensors(sum.value(), contribution.value(), result);
  sum = record("add", {&sum, &contribution}, std::move(result), [](const Var& dy, Grads& grads) {
    grads.add(0, dy);
    grads.add(1, dy);
  });
}

void detail::combine_deferred(TapeMemory& m, Gradient& gradient) {
  while (gradient.last_deferred != kNone) {
    Combine combine = m.deferred[gradient.last_deferred].combine;
    m.gathered.clear();
    std::uint32_t kept = kNone;  // those of another kind, for the next round
    for (std::uint32_t i = gradient.last_deferred; i != kNone;) {
      DeferredEntry& entry = m.deferred[i];
      std::uint32_t previous = entry.previous;
      if (entry.combine == combine) {
        m.gathered.push_back(std::move(entry.pair));
      } else {
        entry.previous = std::exchange(kept, i);
      }
      i = previous;
    }
    gradient.last_deferred = kept;
    std::reverse(m.gathered.begin(), m.gathered.end());
    Tensor sum;
    if (gradient.sum.defined()) {
      sum = is_ours(gradient.sum) ? gradient.sum.value() : gradient.sum.value().clone();
    }
    gradient.sum = Var();
    combine(m.gathered, sum);
    m.gathered.clear();
    gradient.sum = Var(std::move(sum));
  }
}

Grads::Grads(Tape& tape, const detail::Node& node, std::span<const Var> doutputs, bool recording,
             bool last)
    : tape_(tape),
      name_(node.name),
      first_input_(node.first_input),
      inputs_(node.inputs),
      doutputs_(doutputs),
      recording_(recording),
      last_(last) {}

bool Grads::needs(int input) const {
  return tape_.memory_->inputs[first_input_ + static_cast<std::uint32_t>(input)] != kNone;
}

void Grads::add(int input, Var&& contribution) {
  if (!needs(input)) return;
  TapeMemory& m = *tape_.memory_;
  std::uint32_t slot = m.inputs[first_input_ + static_cast<std::uint32_t>(input)];
  if (contribution.shape() != m.values[slot].shape) {
    fail(
        "backward",
        fmt::format("a gradient {} was added to a value {}; the operation's backward function must "
                    "give its input's shape",
                    contribution.shape().str(), m.values[slot].shape.str()));
  }
  if (contribution.dtype() != m.values[slot].dtype) {
    fail("backward",
         fmt::format("a gradient of {} was added to a value of {}; the operation's backward "
                     "function must give its input's type, by to(dx, {})",
                     name(contribution.dtype()), name(m.values[slot].dtype),
                     name(m.values[slot].dtype)));
  }
  if (recording_) {
    check_history(input, contribution);
    if (contribution.numel() == 0) contribution = tape_.with_history(contribution);
    if (once_) {
      const SetPaused resumed(false);
      const Var cut = cut_history(contribution);
      return add_to(m.gradients[slot].sum, cut, true);
    }
  }
  Var& sum = m.gradients[slot].sum;
  if (!sum.defined()) {
    sum = std::move(contribution);
  } else {
    add_to(sum, contribution, recording_);
  }
}

// A gradient is a linear function of the upstream gradients, and all of these have a history: see
// Tape::with_history.
void Grads::check_history(int input, const Var& contribution) {
  if (once_ || contribution.requires_grad() || contribution.numel() == 0) return;
  fail(name_, fmt::format(
                  "its backward function computed the gradient of input {} on tensors, not by "
                  "operations, while create_graph is on: second derivatives would silently be 0; "
                  "compute it from dy and saved Vars by operations, without .value() and "
                  ".detach(), or wrap the function in once_differentiable(...), which throws only "
                  "where a second derivative goes through it; where the gradient is zero for every "
                  "input, add nothing",
                  input));
}

// Returns the same value with a history that throws in a backward pass.
Var Grads::cut_history(const Var& contribution) {
  TapeMemory& m = *tape_.memory_;
  auto refuse = [name = name_](const Var&, Grads&) {
    fail(name,
         "a second derivative goes through its gradient, whose function is once_differentiable; "
         "write that function with operations on Vars, or do not differentiate its gradient");
  };
  using Function = detail::BackwardOf<decltype(refuse)>;
  detail::Node node{name_,
                    new (tape_.allocate_record(sizeof(Function))) Function(std::move(refuse)),
                    static_cast<std::uint32_t>(m.inputs.size()),
                    static_cast<std::uint32_t>(inputs_ + doutputs_.size()),
                    0,
                    1};
  for (std::uint32_t k = 0; k < inputs_; ++k) {
    const std::uint32_t slot = m.inputs[first_input_ + k];
    m.inputs.push_back(slot);
  }
  PoolVector<const Var*> inputs;
  for (const Var& dy : doutputs_) {
    inputs.push_back(&dy);
    m.inputs.push_back(dy.requires_grad() ? tape_.slot_of(dy) : kNone);
  }
  Var result(Tensor(contribution.value()));
  tape_.append_node(node, inputs, {&result, 1});
  return result;
}

Tensor Grads::whole_gradient(int input, const Shape& whole, const Var& contribution) {
  TapeMemory& m = *tape_.memory_;
  Gradient& gradient = m.gradients[m.inputs[first_input_ + static_cast<std::uint32_t>(input)]];
  if (!gradient.sum.defined() || !is_ours(gradient.sum)) {
    Tensor fresh = Tensor::zeros(whole, contribution.dtype(), contribution.device());
    if (gradient.sum.defined()) fresh.copy_from(gradient.sum.value());
    gradient.sum = Var(std::move(fresh));
  }
  return gradient.sum.value();
}

void Grads::accumulate_into(const Tensor& part, const Tensor& contribution) {
  add_tensors(part, contribution, part);
}

void Grads::defer(int input, const Var& a, const Var& b, detail::Combine combine) {
  if (!needs(input)) return;
  if (recording_) {
    fail(
        name_,
        "its backward function called defer() while create_graph is on; a deferred gradient has no "
        "history; call add() if grads.recording()");
  }
  TapeMemory& m = *tape_.memory_;
  Gradient& gradient = m.gradients[m.inputs[first_input_ + static_cast<std::uint32_t>(input)]];
  m.deferred.push_back({{a, b}, combine, gradient.last_deferred});
  gradient.last_deferred = static_cast<std::uint32_t>(m.deferred.size() - 1);
}

}  // namespace tapeloop
