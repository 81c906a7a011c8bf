// SPDX-License-Identifier: MIT
// The backward pass: plays nodes in reverse order and frees each one after its use. tape_record.cpp
// records them, grads.cpp adds up the gradients.
#include "tapeloop/autograd/tape/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

using detail::add_to;
using detail::combine_deferred;
using detail::Gradient;
using detail::is_ours;
using detail::is_upstream;
using detail::Leaf;
using detail::Node;
using detail::SetPaused;
using detail::thread_state;

// Gives an upstream gradient a history. So in a recorded pass, a gradient without a history was
// computed on tensors.
Var Tape::with_history(const Var& dy) const {
  if (dy.requires_grad()) return dy;
  Var result(dy.value());
  result.body()->tape_id = id_;
  result.body()->slot = detail::kUpstream;
  return result;
}

// The gradient for the caller. One that depends on no leaf becomes a constant.
static Var finished(const Var& gradient) {
  return is_upstream(gradient) ? gradient.detach() : gradient;
}

// Backward functions read parameters again, so these must not have changed.
static void check_unwritten(std::span<const Leaf> leaves) {
  for (const Leaf& leaf : leaves) {
    const Tensor& now = leaf.variable.value();
    if (leaf.memory.is_of(now) && leaf.stamp.holds(now)) continue;
    fail("backward",
         fmt::format("a parameter {} was written after this tape used it; call backward() before "
                     "parameters change (optimizer step, load, fill), or start a new tape",
                     now.describe()));
  }
}

void detail::saved_value_was_written(const Tensor& tensor, unsigned saved_as) {
  std::string what = "a value";
  if (saved_as < kSavedIndex) what = fmt::format("argument {}", saved_as);
  if (saved_as == kSavedIndex) what = "the index";
  if (saved_as == kSavedResult) what = "the result";
  fail("backward",
       fmt::format(
           "{} of \"{}\", {}, was written after the operation saved it; call backward() before it "
           "changes (a batch refilled, fill, copy_from, a pointer of data()), or write to another "
           "tensor",
           what, thread_context.operation != nullptr ? thread_context.operation : "an operation",
           tensor.describe()));
}

void Tape::run(const Var& y, const Var& dy, const BackwardOptions& options, Into into) {
  TapeMemory& m = *memory_;
  if (thread_state().tape() != this) {
    const TapeMemory* own = thread_state().recording;
    while (own != nullptr && own != memory_) own = own->next;
    fail("backward", own == nullptr
                         ? "another thread made this tape; only that thread can play it"
                         : "called on a tape that is not the innermost one in this thread; end the "
                           "inner tape first");
  }
  if (y.is_parameter()) m.leaf_slot(y);
  if (!y.defined() || slot_of(y) == kNone) {
    fail("backward",
         "the loss does not depend on any parameter recorded on this tape; make the weights by "
         "parameter(...), compute the loss while the tape is in scope, and to differentiate a "
         "gradient pass {.create_graph = true} to the call that made it");
  }
  if (played_) {
    fail("backward",
         "this tape was played back already and its record is gone; pass {.retain = true} to the "
         "first "
         "call, or start a new tape");
  }
  if (dy.shape() != y.shape() || dy.dtype() != y.dtype()) {
    fail("backward",
         fmt::format(
             "the upstream gradient is {}, the output {}; their shapes and types must be equal",
             dy.value().describe(), y.value().describe()));
  }
  if (outer_ != nullptr && into == Into::parameters) {
    fail("backward",
         "called within the function of recompute(), which runs more than once: gradients would be "
         "added up twice; call it outside, or use tape.gradient() there");
  }
  check_unwritten(m.leaves);
  bool recording = options.create_graph;
  bool retain = options.retain || recording || playing_;
  start({&y, 1});
  const Var upstream = recording ? with_history(dy) : dy;
  add_upstream({&y, 1}, {&upstream, 1}, false);
  played_ = !retain;  // before play(): if a backward function throws, some nodes are gone
  SetPaused paused(!recording);
  struct Resume {
    Tape* tape;
    bool playing;
    ~Resume() {
      tape->playing_ = playing;
      for (const auto& observer : tape->observers_) observer->pass_ended();
    }
  } resume{this, std::exchange(playing_, true)};
  play(0, m.nodes.size(), recording, retain, into);
  if (into == Into::gradients) return;
  // Changes grad() only at the end: if the pass throws before, no grad() has changed. So memory is
  // allocated first.
  const auto for_parameters = [&](auto work) {
    for (std::size_t i = 0; i < m.leaves.size(); ++i) {  // work() may add leaves, without sums
      const std::uint32_t slot = m.leaves[i].slot;
      if (slot < m.gradients.size() && m.gradients[slot].sum.defined()) work(m.leaves[i]);
    }
  };
  if (!recording) for_parameters([&](const Leaf& leaf) { prepare_grad(leaf); });
  for_parameters([&](const Leaf& leaf) { add_to_grad(leaf, recording); });
}

// Makes all gradients undefined.
void Tape::start(std::span<const Var> ys) {
  TapeMemory& m = *memory_;
  for (const Var& y : ys) {
    if (is_leaf(y)) m.leaf_slot(y);  // a parameter may be its own loss
  }
  m.gradients.clear();
  m.gradients.resize(m.values.size());
  m.deferred.clear();
}

// Adds the gradients with which a pass begins.
void Tape::add_upstream(std::span<const Var> ys, std::span<const Var> dys, bool recording) {
  for (std::size_t k = 0; k < ys.size(); ++k) {
    const std::uint32_t slot = slot_of(ys[k]);
    if (!dys[k].defined() || slot == kNone) continue;  // a constant among the results
    add_to(memory_->gradients[slot].sum, dys[k], recording);
  }
}

// Completes the gradient of a leaf: adds what was deferred. Does nothing for other values.
void Tape::finish_leaf(std::uint32_t slot) {
  TapeMemory& m = *memory_;
  Gradient& gradient = m.gradients[slot];
  if (!gradient.sum.defined() && gradient.last_deferred == kNone) return;
  if (m.values[slot].leaf == kNone) return;
  combine_deferred(m, gradient);
  if (observers_.empty() || !m.leaves[m.values[slot].leaf].variable.is_parameter()) return;
  for (const auto& observer : observers_) observer->parameter_gradient(gradient.sum.value());
}

// Calls the backward function of a node if a gradient has reached one of its results.
void Tape::play_node(std::size_t i, bool recording, bool retain, Into into) {
  TapeMemory& m = *memory_;
  const Node node = m.nodes[i];  // a copy: recording may move the list
  bool reached = false;
  m.doutputs.clear();
  for (std::uint32_t k = 0; k < node.outputs; ++k) {
    Gradient& gradient = m.gradients[node.first_output + k];
    combine_deferred(m, gradient);
    reached = reached || gradient.sum.defined();
    // gradient() reads sums after the pass. Otherwise the sum is moved out, to be freed early.
    m.doutputs.push_back(into == Into::gradients ? gradient.sum : std::move(gradient.sum));
  }
  if (!reached) {
    if (!retain) m.consume(m.nodes[i]);
    return;
  }
  detail::observe_node(observers_, i, detail::NodeWork::backward, [&] {
    // The backward function may record and so change these lists. It gets its own list.
    PoolVector<Var> doutputs = std::move(m.doutputs);
    m.doutputs = PoolVector<Var>();
    Grads grads(*this, node, doutputs, recording, !retain);
    (*node.backward)(doutputs, grads);
    doutputs.clear();
    for (const auto& observer : observers_) {
      for (std::uint32_t k = 0; k < node.inputs; ++k) {
        const std::uint32_t slot = m.inputs[node.first_input + k];
        if (slot == kNone || !m.gradients[slot].sum.defined()) continue;
        observer->input_gradient(k, m.gradients[slot].sum.value());
      }
    }
    if (!retain) m.consume(m.nodes[i]);
    m.doutputs = std::move(doutputs);
  });
}

// Plays the nodes [first_node, last_node) in reverse. Nodes that are recorded meanwhile are not
// played.
void Tape::play(std::size_t first_node, std::size_t last_node, bool recording, bool retain,
                Into into) {
  TapeMemory& m = *memory_;
  for (std::size_t i = last_node; i-- > first_node;) {
    const detail::Operation operation(m.nodes[i].name);
    play_node(i, recording, retain, into);
    // No earlier operation uses the leaves that this operation was the first to use. So their
    // gradients are complete: adds the deferred contributions and frees them.
    const std::uint32_t first_output = m.nodes[i].first_output;
    const std::uint32_t before = i == 0 ? 0 : m.nodes[i - 1].first_output + m.nodes[i - 1].outputs;
    if (before == first_output) continue;
    detail::observe_node(observers_, i, detail::NodeWork::deferred, [&] {
      for (std::uint32_t slot = before; slot < first_output; ++slot) finish_leaf(slot);
    });
  }
  if (first_node > 0) return;
  for (std::size_t i = 0; i < m.leaves.size(); ++i) {
    const std::uint32_t slot = m.leaves[i].slot;  // finish_leaf() may add leaves
    if (slot < m.gradients.size()) finish_leaf(slot);
  }
}

// Allocates the memory that add_to_grad() needs. grad() keeps its value.
void Tape::prepare_grad(const Leaf& leaf) {
  Gradient& gradient = memory_->gradients[leaf.slot];
  detail::VarBody& body = *leaf.variable.body();
  const detail::GradLock lock(body);
  if (!body.grad.defined()) {
    if (!is_ours(gradient.sum)) gradient.sum = Var(gradient.sum.value().clone());
  } else if (!is_ours(body.grad)) {
    body.grad = Var(body.grad.value().clone());
  }
}

// Adds the complete gradient of a parameter to its grad().
void Tape::add_to_grad(const Leaf& leaf, bool recording) {
  Gradient& gradient = memory_->gradients[leaf.slot];
  const Var parameter = leaf.variable;
  const detail::GradLock lock(*parameter.body());
  Var& grad = parameter.body()->grad;
  // The history of a gradient from an earlier tape is not on this tape.
  if (grad.requires_grad() && grad.body()->tape_id != id_) grad = grad.detach();
  gradient.sum = finished(gradient.sum);
  if (!grad.defined() && !recording && !is_ours(gradient.sum)) {
    grad = Var(gradient.sum.value().clone());
  } else {
    add_to(grad, gradient.sum, recording);
  }
  gradient.sum = Var();
}

static Var ones_like_scalar(const char* what, const Var& loss) {
  if (!loss.defined() || loss.numel() != 1) {
    fail(
        what,
        fmt::format(
            "loss must be a scalar, got {}; reduce it first, e.g. mean(loss), or give the upstream "
            "gradient",
            loss.defined() ? loss.shape().str() : "an undefined variable"));
  }
  return Var(Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.device()));
}

void Tape::backward(const Var& loss, const BackwardOptions& options) {
  backward(loss, ones_like_scalar("backward", loss), options);
}

void Tape::backward(const Var& y, const Var& dy, const BackwardOptions& options) {
  const detail::RestingPass resting(playing_ ? memory_ : nullptr);
  run(y, dy, options, Into::parameters);
  memory_->gradients.clear();
}

std::vector<Var> Tape::gradient(const Var& loss, std::span<const Var> xs,
                                const BackwardOptions& options) {
  return gradient(loss, ones_like_scalar("gradient", loss), xs, options);
}

std::vector<Var> Tape::gradient(const Var& y, const Var& dy, std::span<const Var> xs,
                                const BackwardOptions& options) {
  for (const Var& x : xs) {
    if (!x.requires_grad() || is_upstream(x)) {
      fail("gradient", "an x is a constant (" + x.value().describe() +
                           "); make it by parameter(...) before using it");
    }
    if (!x.is_parameter() && (x.body()->tape_id & detail::kInnerTape) != 0 && !can_use(x)) {
      fail("gradient",
           "an x " + x.value().describe() +
               " was computed within the function of recompute(), which keeps no record of it; "
               "return it from that function, and give the result to gradient()");
    }
  }
  const detail::RestingPass resting(playing_ ? memory_ : nullptr);
  run(y, dy, options, Into::gradients);
  if (outer_ != nullptr) check_leaves_independent(xs);
  std::vector<Var> result;
  for (const Var& x : xs) {
    std::uint32_t slot = slot_of(x);
    Var sum =
        slot == kNone || slot >= memory_->gradients.size() ? Var() : memory_->gradients[slot].sum;
    result.push_back(sum.defined() ? finished(sum)
                                   : Var(Tensor::zeros(x.shape(), x.dtype(), x.device())));
  }
  memory_->gradients.clear();
  return result;
}

}  // namespace tapeloop
