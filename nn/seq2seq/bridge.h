// SPDX-License-Identifier: MIT
// Bridge: from the last state of an encoder to the first of a decoder, whatever their cells, layers and directions.
#pragma once

#include "tapeloop/nn/layers/layers.h"

namespace tapeloop::nn {

enum class BridgeKind {
  zero,    // the decoder starts from zeros: only attention tells it of the source
  copy,    // the encoder's state, both directions side by side: sizes and layers must agree
  linear,  // tanh(W s + b) for each layer and part: any sizes
};

struct BridgeOptions {
  BridgeKind kind = BridgeKind::linear;
  std::vector<std::int64_t> from;  // sizes of the parts of the encoder's state, h first
  int from_layers = 1;
  int directions = 1;
  std::vector<std::int64_t> to;  // of the decoder's state
  int to_layers = 1;
  DType dtype = DType::float32;
};

// Layer l of the decoder is fed by layer l of the encoder, or by its last where the decoder has more; part k by part k, or
// by h where the encoder's state has no such part (a GRU before an LSTM).
struct Bridge {
  BridgeOptions options;
  std::vector<Linear> maps;  // layer 0 part 0, layer 0 part 1, .., layer 1 part 0, ..
  Bridge() = default;
  Bridge(const BridgeOptions& options, Random& random);
  // The parts of the encoder's last state, each [L * D, N, size], to those of the decoder's first: for each layer and
  // part, in the order of maps, [N, size].
  PoolVector<Var> operator()(std::span<const Var> last) const;
  void visit(Visitor& v) const { v("maps", maps); }
};

}  // namespace tapeloop::nn
