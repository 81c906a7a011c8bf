// SPDX-License-Identifier: MIT
// The size of a tape and its parameters. tape_dot.cpp draws the operations as a graph;
// look/tape_looks.cpp has the reports of observers.
#include "tapeloop/autograd/tape/tape_memory.h"

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

}  // namespace tapeloop
