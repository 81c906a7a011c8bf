// SPDX-License-Identifier: MIT
// Recording, and the backward pass: nodes in reverse order, records freed as they are consumed. How gradients add up is in
// grads.cpp.
#include "autograd/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "autograd/backend.h"
#include "autograd/error.h"
#include "autograd/inspect_record.h"
#include "autograd/memory.h"
#include "autograd/operation.h"
#include "autograd/ops.h"
#include "autograd/profile_record.h"
#include "autograd/tape_memory.h"

namespace tapeloop {

using detail::add_to;
using detail::combine_deferred;
using detail::Gradient;
using detail::is_ours;
using detail::kChunkBytes;
using detail::Node;
using detail::SetPaused;
using detail::thread_state;
using detail::Value;

std::size_t Tape::size() const { return memory_->nodes.size(); }

std::vector<Var> Tape::parameters() const {
  std::vector<Var> result;
  for (const Value& value : memory_->values) {
    if (value.parameter.defined()) result.push_back(value.parameter);
  }
  return result;
}

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

// A computed value of another tape cannot take part: its history is not here.
static void check_tape(const char* name, const Var& x, std::uint64_t id) {
  if (x.body()->tape_id == id || x.body()->tape_id == 0) return;
  fail(name,
       fmt::format(
           "an input {} was recorded on another tape, which has ended or is not the innermost one; "
           "carry its value over by x.detach()",
           x.value().describe()));
}

bool Recorder::wanted(const char* name, std::span<const Var* const> inputs) {
  Tape* tape = Tape::current();
  if (tape == nullptr) return false;
  bool any = false;
  for (const Var* x : inputs) {
    if (!x->requires_grad()) continue;
    if (!x->is_parameter()) check_tape(name, *x, tape->id_);
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
  for (const Var* x : inputs) {
    m.inputs.push_back(x->is_parameter()    ? m.parameter_slot(*x)
                       : x->requires_grad() ? x->body()->slot
                                            : kNone);
  }
  node.first_output = static_cast<std::uint32_t>(m.values.size());
  for (Var& y : outputs) {
    y.body()->tape_id = id_;
    y.body()->slot = static_cast<std::uint32_t>(m.values.size());
    m.values.push_back({Var(), y.shape(), y.dtype(), nullptr, {}});
  }
  m.nodes.push_back(node);
  if (profile_ != nullptr) measure(name, inputs, outputs);
  if (inspection_ != nullptr) inspection_->recorded(name, inputs, outputs);
}

detail::Inspection* detail::inspecting() {
  const Tape* tape = Tape::current();
  return tape == nullptr ? nullptr : tape->inspection_.get();
}

void Tape::look_inside_as(const Tape* outer) {
  if (outer == nullptr || outer->inspection_ == nullptr) return;
  inspection_ =
      std::make_unique<detail::Inspection>(outer->inspection_->checks(), outer->inspection_->log());
}

std::vector<StateGradient> Tape::state_gradients() const {
  if (inspection_ == nullptr || inspection_->log() == nullptr) {
    fail("state_gradients",
         "this tape does not note them; make it by Tape tape({.state_gradients = true})");
  }
  return *inspection_->log();
}

void Tape::measure(const char* name, std::span<const Var* const> inputs,
                   std::span<const Var> outputs) {
  std::int64_t bytes = 0;
  for (const Var& y : outputs) {
    const bool view = std::any_of(inputs.begin(), inputs.end(), [&y](const Var* x) {
      return x->defined() && detail::storage_of(x->value()) == detail::storage_of(y.value());
    });
    if (!view) bytes += y.numel() * size_of(y.dtype());
  }
  profile_->recorded(name, outputs.empty() ? Shape{} : outputs[0].shape(), bytes, playing_);
}

static const detail::Profile& measured(const char* what, const detail::Profile* profile) {
  if (profile == nullptr) {
    fail(what, "this tape does not measure; make it by Tape tape({.measure = true})");
  }
  return *profile;
}
ProfileReport Tape::profile() const { return measured("profile", profile_.get()).report(); }
MemoryReport Tape::memory() const { return measured("memory", profile_.get()).memory(); }

std::uint32_t Tape::slot_of(const Var& x) const {
  if (x.is_parameter()) {
    return memory_->parameter_slots.empty() ? kNone : memory_->find(x.body());
  }
  return x.requires_grad() && x.body()->tape_id == id_ ? x.body()->slot : kNone;
}

// --- the backward pass ---

// Backward functions read parameters again: they must be what they were.
static void check_unwritten(std::span<const Value> values) {
  for (const Value& value : values) {
    if (!value.parameter.defined()) continue;
    const Tensor& now = value.parameter.value();
    if (detail::storage_of(now) == value.storage && value.stamp.holds(now)) continue;
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
           what, operation_at_work != nullptr ? operation_at_work : "an operation",
           tensor.describe()));
}

void Tape::run(const Var& y, const Var& dy, const BackwardOptions& options, Into into) {
  TapeMemory& m = *memory_;
  if (thread_state().tape() != this) {
    fail("backward",
         "called on a tape that is not the innermost one in this thread; end the inner tape first");
  }
  if (y.is_parameter()) m.parameter_slot(y);
  if (!y.defined() || slot_of(y) == kNone) {
    fail("backward",
         "the loss does not depend on any parameter recorded on this tape; make the weights by "
         "parameter(...), and compute the loss while the tape is in scope");
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
  check_unwritten(m.values);
  bool recording = options.create_graph;
  bool retain = options.retain || recording;
  start({&y, 1}, {&dy, 1});
  played_ = !retain;  // also where an operation's backward throws: part of the record is gone then
  SetPaused paused(!recording);
  playing_ = true;
  struct Resume {
    Tape* tape;
    ~Resume() {
      tape->playing_ = false;
      if (tape->profile_ != nullptr) tape->profile_->resume();
    }
  } resume{this};
  play(0, recording, retain, into);
  if (into == Into::gradients) return;
  // At the end: where the pass throws, no grad() has changed.
  for (std::uint32_t slot = 0; slot < m.gradients.size(); ++slot) {
    if (m.gradients[slot].sum.defined() && m.values[slot].parameter.defined()) {
      add_to_grad(slot, recording);
    }
  }
}

// The gradients that a pass begins with; those of ys that are constants are dropped.
void Tape::start(std::span<const Var> ys, std::span<const Var> dys) {
  TapeMemory& m = *memory_;
  for (const Var& y : ys) {
    if (y.is_parameter()) m.parameter_slot(y);  // a parameter may be its own loss
  }
  m.gradients.clear();
  m.gradients.resize(m.values.size());
  m.deferred.clear();
  for (std::size_t k = 0; k < ys.size(); ++k) {
    const std::uint32_t slot = dys[k].defined() ? slot_of(ys[k]) : kNone;
    if (slot != kNone) add_to(m.gradients[slot].sum, dys[k], false);
  }
}

// What a node's backward function gave to its inputs, where the tape looks at that.
void Tape::check_gradients(const detail::Node& node) {
  for (std::uint32_t k = 0; k < node.inputs; ++k) {
    const std::uint32_t slot = memory_->inputs[node.first_input + k];
    if (slot == kNone || !memory_->gradients[slot].sum.defined()) continue;
    inspection_->check_gradient(memory_->gradients[slot].sum.value(),
                                fmt::format("the gradient of its input {}", k));
  }
}

// Plays the nodes from the last one to first_node.
void Tape::play(std::size_t first_node, bool recording, bool retain, Into into) {
  TapeMemory& m = *memory_;
  const auto finish = [&](std::uint32_t slot) {
    Gradient& gradient = m.gradients[slot];
    if (!gradient.sum.defined() && gradient.last_deferred == kNone) return;
    if (!m.values[slot].parameter.defined()) return;
    combine_deferred(m, gradient);
    if (inspection_ != nullptr) {
      inspection_->check_gradient(gradient.sum.value(), "the gradient of a parameter", " dW");
    }
  };
  for (std::size_t i = m.nodes.size(); i-- > first_node;) {
    Node node = m.nodes[i];  // a copy: recording may move the list
    const detail::Operation operation(node.name);
    bool reached = false;
    m.doutputs.clear();
    for (std::uint32_t k = 0; k < node.outputs; ++k) {
      Gradient& gradient = m.gradients[node.first_output + k];
      combine_deferred(m, gradient);
      reached = reached || gradient.sum.defined();
      // Values asked for by gradient() are read afterwards; else a gradient is moved out to be freed early.
      m.doutputs.push_back(into == Into::gradients ? gradient.sum : std::move(gradient.sum));
    }
    if (reached) {
      const detail::Playing playing(inspection_.get(), i);
      // The backward function may record (and so touch these lists): it gets its own copy of the gradients.
      PoolVector<Var> doutputs = std::move(m.doutputs);
      m.doutputs = PoolVector<Var>();
      Grads grads(*this, node.first_input, node.inputs, recording, !retain);
      const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
      (*node.backward)(doutputs, grads);
      doutputs.clear();
      if (inspection_ != nullptr) check_gradients(node);
      if (!retain) m.consume(m.nodes[i]);
      if (profile_ != nullptr) profile_->played(i, start);
      m.doutputs = std::move(doutputs);
    }
    if (!retain) m.consume(m.nodes[i]);
    // Parameters that came onto the tape with this operation were not used before it: their gradients are complete, and
    // what they were made from is freed.
    const std::uint32_t before = i == 0 ? 0 : m.nodes[i - 1].first_output + m.nodes[i - 1].outputs;
    if (before == node.first_output) continue;
    const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
    const detail::Playing playing(inspection_.get(), i);
    for (std::uint32_t slot = before; slot < node.first_output; ++slot) finish(slot);
    if (profile_ != nullptr) profile_->combined(i, start);
  }
  if (first_node > 0) return;
  for (std::uint32_t slot = 0; slot < m.gradients.size(); ++slot) finish(slot);
}

// The whole gradient of a parameter into its grad().
void Tape::add_to_grad(std::uint32_t slot, bool recording) {
  Gradient& gradient = memory_->gradients[slot];
  const Var parameter = memory_->values[slot].parameter;
  const detail::GradLock lock(*parameter.body());
  Var& grad = parameter.body()->grad;
  // The history of a gradient made on an earlier tape is not here.
  if (grad.requires_grad() && grad.body()->tape_id != id_) grad = grad.detach();
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
    if (!x.requires_grad()) {
      fail("gradient", "an x is a constant (" + x.value().describe() +
                           "); make it by parameter(...) before using it");
    }
  }
  run(y, dy, options, Into::gradients);
  std::vector<Var> result;
  for (const Var& x : xs) {
    std::uint32_t slot = slot_of(x);
    Var sum =
        slot == kNone || slot >= memory_->gradients.size() ? Var() : memory_->gradients[slot].sum;
    result.push_back(sum.defined() ? sum : Var(Tensor::zeros(x.shape(), x.dtype(), x.device())));
  }
  memory_->gradients.clear();
  return result;
}

}  // namespace tapeloop
