// SPDX-License-Identifier: MIT
// Bridge: from the last state of an encoder to the first state of a decoder, for any
// cells, layers and directions.
#pragma once

#include "tapeloop/nn/layers/layers.h"

namespace tapeloop::nn {

// How a Bridge makes the decoder's first state.
enum class BridgeKind {
  zero,    // the decoder starts from zeros: only attention reads the source
  copy,    // the encoder's state, both directions side by side: sizes and layers must agree
  linear,  // tanh(W s + b) for each layer and part: any sizes
};

struct BridgeOptions {
  BridgeKind kind = BridgeKind::linear;  // zero, copy or linear
  std::vector<std::int64_t> from;        // sizes of the parts of the encoder's state, h first
  int from_layers = 1;                   // layers of the encoder
  int directions = 1;                    // of the encoder
  std::vector<std::int64_t> to;          // sizes of the parts of the decoder's state
  int to_layers = 1;                     // layers of the decoder
  DType dtype = DType::float32;          // of the weights
};

// Layer l of the decoder gets layer l of the encoder, or the encoder's last layer if the decoder
// has more. Part k gets part k, or h if the encoder's state has fewer parts (a GRU before an LSTM).
struct Bridge {
  BridgeOptions options;     // as given to the constructor
  std::vector<Linear> maps;  // layer 0 part 0, layer 0 part 1, .., layer 1 part 0, ..
  Bridge() = default;
  Bridge(const BridgeOptions& options, Random& random);
  // Takes the parts of the encoder's last state, each [L * D, N, size]. Returns the parts of the
  // decoder's first state, [N, size] for each layer and part, in the order of maps.
  PoolVector<Var> operator()(std::span<const Var> last) const;
  void visit(Visitor& v) const { v("maps", maps); }
};

}  // namespace tapeloop::nn
