// SPDX-License-Identifier: MIT
// Recording: puts operations on a tape. tape.cpp plays them.
#include <fmt/format.h>

#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::kChunkBytes;
using detail::Node;

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
  for (const auto& observer : observers_) {
    observer->recorded({node.name, inputs, outputs, playing_});
  }
}

std::uint32_t Tape::slot_of(const Var& x) const {
  if (is_leaf(x)) return memory_->known_leaf_slot(x);
  return x.requires_grad() ? x.body()->slot : kNone;
}

std::span<const std::unique_ptr<detail::Observer>> detail::observers() {
  const Tape* tape = Tape::current();
  if (tape == nullptr) return {};
  return tape->observers_;
}

}  // namespace tapeloop
