// SPDX-License-Identifier: MIT
// Tape::to_dot(): the recorded operations as a graph for Graphviz.
#include <fmt/format.h>

#include "tapeloop/autograd/tape/tape_memory.h"

namespace tapeloop {

using detail::Node;

// A name with escapes, for use inside quotes.
static std::string escaped(const char* text) {
  std::string result;
  for (; *text != 0; ++text) {
    if (*text == '"' || *text == '\\') result += '\\';
    result += *text;
  }
  return result;
}

std::string Tape::to_dot() const {
  const TapeMemory& m = *memory_;
  std::string dot =
      "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n";
  std::vector<std::string> owner(m.values.size());
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    if (m.values[i].leaf == detail::kNone) continue;
    owner[i] = fmt::format("p{}", i);
    dot += fmt::format("  {} [label=\"parameter\\n{}\", style=filled, fillcolor=\"#ffe8c0\"];\n",
                       owner[i], m.values[i].shape.str());
  }
  for (std::size_t n = 0; n < m.nodes.size(); ++n) {
    const Node& node = m.nodes[n];
    std::string shapes;
    for (std::uint32_t k = 0; k < node.outputs; ++k) {
      owner[node.first_output + k] = fmt::format("n{}", n);
      shapes += (k == 0 ? "" : " ") + m.values[node.first_output + k].shape.str();
    }
    dot += fmt::format("  n{} [label=\"{}\\n{}\"];\n", n, escaped(node.name), shapes);
    for (std::uint32_t k = 0; k < node.inputs; ++k) {
      std::uint32_t slot = m.inputs[node.first_input + k];
      if (slot != kNone) dot += fmt::format("  {} -> n{};\n", owner[slot], n);
    }
  }
  return dot + "}\n";
}

}  // namespace tapeloop
