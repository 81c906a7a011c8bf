// SPDX-License-Identifier: MIT
// The bridge between two recurrent stacks: checks, and the maps.
#include "tapeloop/nn/seq2seq/bridge.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

namespace {

std::size_t source_part(const BridgeOptions& o, std::size_t part) {
  return part < o.from.size() ? part : 0;
}

// Layer `layer` of one part [L * D, N, size], both directions side by side: [N, D * size].
Var sides_of(const Var& part, int layer, int directions) {
  Var first = select_index(part, 0, layer * directions);
  return directions == 1 ? first
                         : concat({first, select_index(part, 0, layer * directions + 1)}, -1);
}

}  // namespace

Bridge::Bridge(const BridgeOptions& o, Random& random) : options(o) {
  if (o.from.empty() || o.to.empty() || o.from_layers < 1 || o.to_layers < 1 ||
      (o.directions != 1 && o.directions != 2)) {
    fail("bridge",
         fmt::format("{} parts in {} layers and {} directions to {} parts in {} layers: "
                     "expected at least one of each, and 1 or 2 directions",
                     o.from.size(), o.from_layers, o.directions, o.to.size(), o.to_layers));
  }
  if (o.kind == BridgeKind::zero) return;
  if (o.kind == BridgeKind::copy && o.from.size() != o.to.size()) {
    fail("bridge",
         fmt::format("copy: the encoder's state has {} parts, the decoder's {}; take cells with "
                     "the same state, or BridgeKind::linear",
                     o.from.size(), o.to.size()));
  }
  for (int layer = 0; layer < o.to_layers; ++layer) {
    for (std::size_t k = 0; k < o.to.size(); ++k) {
      const std::int64_t in = o.directions * o.from[source_part(o, k)];
      if (o.kind == BridgeKind::linear) {
        maps.emplace_back(in, o.to[k], random, true, o.dtype);
      } else if (in != o.to[k] || o.from_layers != o.to_layers) {
        fail("bridge",
             fmt::format("copy: part {} of the encoder's state has {} features in {} layers, the "
                         "decoder's {} in {}; make them agree, or take BridgeKind::linear",
                         k, in, o.from_layers, o.to[k], o.to_layers));
      }
    }
  }
}

PoolVector<Var> Bridge::operator()(std::span<const Var> last) const {
  const BridgeOptions& o = options;
  if (last.size() != o.from.size() || last.empty()) {
    fail("bridge", fmt::format("the encoder's state has {} parts, the bridge was built for {}",
                               last.size(), o.from.size()));
  }
  for (std::size_t k = 0; k < last.size(); ++k) {
    if (last[k].rank() != 3 || last[k].dim(0) != o.from_layers * o.directions ||
        last[k].dim(2) != o.from[k]) {
      fail("bridge", fmt::format("part {} of the encoder's state is {}, expected [{}, N, {}]", k,
                                 last[k].shape().str(), o.from_layers * o.directions, o.from[k]));
    }
  }
  PoolVector<Var> result;
  for (int layer = 0; layer < o.to_layers; ++layer) {
    for (std::size_t k = 0; k < o.to.size(); ++k) {
      const Var& part = last[source_part(o, k)];
      if (o.kind == BridgeKind::zero) {
        result.push_back(Var(Tensor::zeros({part.dim(1), o.to[k]}, part.dtype(), part.device())));
        continue;
      }
      Var sides = sides_of(part, std::min(layer, o.from_layers - 1), o.directions);
      result.push_back(o.kind == BridgeKind::copy ? sides : tanh(maps[result.size()](sides)));
    }
  }
  return result;
}

}  // namespace tapeloop::nn
