// SPDX-License-Identifier: MIT
// Reports of a tape: sizes, parameters, times, bytes and gradients of states. tape_dot.cpp draws
// the operations as a graph.
#include <algorithm>

#include "tapeloop/autograd/look/inspect_record.h"
#include "tapeloop/autograd/look/profile_record.h"
#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::Gradient;
using detail::kChunkBytes;
using detail::Node;
using detail::Value;

std::int64_t Tape::record_bytes() const {
  const TapeMemory& m = *memory_;
  const std::size_t lists = m.nodes.size() * sizeof(Node) + m.inputs.size() * sizeof(m.inputs[0]) +
                            m.values.size() * (sizeof(Value) + sizeof(Gradient)) +
                            m.leaves.size() * (sizeof(detail::Leaf) + 2 * sizeof(std::uint32_t));
  // 3: a list that grows exists twice for a moment, and has up to twice the room that it needs.
  return static_cast<std::int64_t>(m.chunk * kChunkBytes + m.used + 3 * lists +
                                   m.values.size() * sizeof(detail::VarBody));
}

std::vector<Var> Tape::parameters() const {
  std::vector<Var> result;
  for (const detail::Leaf& leaf : memory_->leaves) {
    if (leaf.variable.is_parameter()) result.push_back(leaf.variable);
  }
  return result;
}

std::vector<StateGradient> Tape::state_gradients() const {
  if (inspection_ == nullptr || inspection_->log() == nullptr) {
    fail("state_gradients",
         "this tape does not keep them; make it by Tape tape({.state_gradients = true})");
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

}  // namespace tapeloop
