// SPDX-License-Identifier: MIT
// Recording, and the backward pass, which plays nodes in reverse order and frees each one after its
// use. grads.cpp adds up the gradients.
#include "tapeloop/autograd/tape/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/look/profile_record.h"
#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

using detail::add_to;
using detail::combine_deferred;
using detail::Gradient;
using detail::is_ours;
using detail::is_upstream;
using detail::kChunkBytes;
using detail::Leaf;
using detail::Node;
using detail::SetPaused;
using detail::thread_context;
using detail::thread_state;

std::size_t Tape::size() const { return memory_->nodes.size(); }

void* Tape::allocate_record(std::size_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  TapeMemory& m = *memory_;
  if (m.chunk < m.chunks.size() && m.used + bytes > kChunkBytes) {
    ++m.chunk;
    m.used = 0;
  }
  if (m.chunk == m.chunks.size())
    m.chunks.push_back(static_cast<char*>(memory::allocate(kChunkBytes)));
  return m.chunks[m.chunk] + std::exchange(m.used, m.used + bytes);
}

// A computed value can be used on its own tape, and on the tapes of recompute() inside that tape.
bool Tape::can_use(const Var& x) const {
  const Tape* tape = this;
  while (x.body()->tape_id != tape->id_ && tape->outer_ != nullptr) tape = tape->outer_;
  return x.body()->tape_id == tape->id_;
}

[[noreturn]] static void fail_foreign(const char* name, const Var& x) {
  fail(name, fmt::format("an input {} was recorded on another tape, which has ended or is not the "
                         "innermost one; compute it on this tape, or give x.detach() to use it as "
                         "a constant: no gradient goes through that",
                         x.value().describe()));
}

bool Recorder::wanted(const char* name, std::span<const Var* const> inputs) {
  Tape* tape = Tape::current();
  if (tape == nullptr) return false;
  bool any = false;
  for (const Var* x : inputs) {
    if (!x->requires_grad()) continue;
    if (!x->is_parameter() && !tape->can_use(*x)) fail_foreign(name, *x);
    any = true;
  }
  return any;
}

void Tape::append(const char* name, std::span<const Var* const> inputs, std::span<Var> outputs,
                  detail::BackwardFunction* backward) {
  TapeMemory& m = *memory_;
  std::size_t slots_needed = m.values.size() + inputs.size() + outputs.size();
  if (slots_needed >= kNone) fail(name, "the tape is full (2^32 values); end it and start another");
  Node node{name,
            backward,
            static_cast<std::uint32_t>(m.inputs.size()),
            static_cast<std::uint32_t>(inputs.size()),
            0,
            static_cast<std::uint32_t>(outputs.size())};
  bool any = false;
  for (const Var* x : inputs) {
    std::uint32_t slot = kNone;
    if (x->requires_grad()) slot = is_leaf(*x) ? m.leaf_slot(*x) : x->body()->slot;
    any = any || slot != kNone;
    m.inputs.push_back(slot);
  }
  if (!any) {
    // Computed only from upstream gradients: no gradient goes through it, so the tape has no node.
    m.inputs.resize(node.first_input);
    m.consume(node);
    for (Var& y : outputs) {
      y.body()->tape_id = id_;
      y.body()->slot = detail::kUpstream;
    }
    return;
  }
  append_node(node, inputs, outputs);
}

// The slots of the node's inputs are already on the tape. Appends the rest of the node.
void Tape::append_node(Node& node, std::span<const Var* const> inputs, std::span<Var> outputs) {
  TapeMemory& m = *memory_;
  node.first_output = static_cast<std::uint32_t>(m.values.size());
  for (Var& y : outputs) {
    y.body()->tape_id = id_;
    y.body()->slot = static_cast<std::uint32_t>(m.values.size());
    m.values.push_back({y.shape(), y.dtype()});
  }
  m.nodes.push_back(node);
  if (profile_ != nullptr) measure(node.name, inputs, outputs);
  if (inspection_ != nullptr) inspection_->recorded(node.name, inputs, outputs);
}

detail::Inspection* detail::inspecting() {
  const Tape* tape = Tape::current();
  return tape == nullptr ? nullptr : tape->inspection_.get();
}

std::uint32_t Tape::slot_of(const Var& x) const {
  if (is_leaf(x)) return memory_->known_leaf_slot(x);
  return x.requires_grad() ? x.body()->slot : kNone;
}

// --- the backward pass ---

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
    fail("backward", fmt::format("the upstream gradient is {}, the output {}",
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
      if (tape->profile_ != nullptr) tape->profile_->resume();
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
    if (dys[k].defined()) add_to(memory_->gradients[slot_of(ys[k])].sum, dys[k], recording);
  }
}

// Checks the gradients that a node's backward function gave to its inputs.
void Tape::check_gradients(const detail::Node& node) {
  for (std::uint32_t k = 0; k < node.inputs; ++k) {
    const std::uint32_t slot = memory_->inputs[node.first_input + k];
    if (slot == kNone || !memory_->gradients[slot].sum.defined()) continue;
    inspection_->check_gradient(memory_->gradients[slot].sum.value(),
                                fmt::format("the gradient of its input {}", k));
  }
}

// Plays the nodes [first_node, last_node) in reverse. Nodes that are recorded meanwhile are not
// played.
void Tape::play(std::size_t first_node, std::size_t last_node, bool recording, bool retain,
                Into into) {
  TapeMemory& m = *memory_;
  const auto finish = [&](std::uint32_t slot) {
    Gradient& gradient = m.gradients[slot];
    if (!gradient.sum.defined() && gradient.last_deferred == kNone) return;
    if (m.values[slot].leaf == kNone) return;
    combine_deferred(m, gradient);
    if (inspection_ != nullptr && m.leaves[m.values[slot].leaf].variable.is_parameter()) {
      inspection_->check_gradient(gradient.sum.value(), "the gradient of a parameter", " dW");
    }
  };
  for (std::size_t i = last_node; i-- > first_node;) {
    Node node = m.nodes[i];  // a copy: recording may move the list
    const detail::Operation operation(node.name);
    bool reached = false;
    m.doutputs.clear();
    for (std::uint32_t k = 0; k < node.outputs; ++k) {
      Gradient& gradient = m.gradients[node.first_output + k];
      combine_deferred(m, gradient);
      reached = reached || gradient.sum.defined();
      // gradient() reads sums after the pass. Otherwise the sum is moved out, to be freed early.
      m.doutputs.push_back(into == Into::gradients ? gradient.sum : std::move(gradient.sum));
    }
    if (reached) {
      const detail::Playing playing(inspection_.get(), i);
      // The backward function may record and so change these lists. It gets its own list.
      PoolVector<Var> doutputs = std::move(m.doutputs);
      m.doutputs = PoolVector<Var>();
      Grads grads(*this, node, doutputs, recording, !retain);
      const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
      (*node.backward)(doutputs, grads);
      doutputs.clear();
      if (inspection_ != nullptr) check_gradients(node);
      if (!retain) m.consume(m.nodes[i]);
      if (profile_ != nullptr) profile_->played(i, start);
      m.doutputs = std::move(doutputs);
    }
    if (!retain) m.consume(m.nodes[i]);
    // No earlier operation uses the leaves that this operation was the first to use. So their
    // gradients are complete: adds the deferred contributions and frees them.
    const std::uint32_t before = i == 0 ? 0 : m.nodes[i - 1].first_output + m.nodes[i - 1].outputs;
    if (before == node.first_output) continue;
    const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
    const detail::Playing playing(inspection_.get(), i);
    for (std::uint32_t slot = before; slot < node.first_output; ++slot) finish(slot);
    if (profile_ != nullptr) profile_->combined(i, start);
  }
  if (first_node > 0) return;
  for (std::size_t i = 0; i < m.leaves.size(); ++i) {
    const std::uint32_t slot = m.leaves[i].slot;  // finish() may add leaves
    if (slot < m.gradients.size()) finish(slot);
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
      fail("gradient", "an x " + x.value().describe() +
                           " was computed within the function of recompute(), whose record is not "
                           "kept; return it from that function, and give the result");
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
