// SPDX-License-Identifier: MIT
// QRNN, the quasi-recurrent network: gates from a causal convolution of x over time, and a pooling
// of its candidates. Bradbury et al. 2016, arXiv:1611.01576
//   z f o i = W * x + b over the last k inputs;   z = tanh, gates sigmoid
//   f pooling    h' = f h + (1 - f) z
//   fo pooling   c' = f c + (1 - f) z             h' = o c'
//   ifo pooling  c' = f c + i z                   h' = o c'
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"

namespace tapeloop::nn {

struct QrnnOptions {
  QrnnPool pool = QrnnPool::fo;  // the formula of the state
  std::int64_t window = 2;       // k
  void visit(OptionTable& table) {
    table("pool", pool, {"f", "fo", "ifo"}), table("window", window);
  }
};

// The state is h, c, and the last max(k - 1, 1) inputs side by side, the oldest first.
struct QrnnCell {
  using State = nn::State<3>;
  using Options = QrnnOptions;
  Var weight_ih;  // [G*H, I, k] in the order z f o i; the last tap multiplies x_t
  Var bias_ih;    // [G*H]
  Options own;
  QrnnCell() = default;
  QrnnCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 3> state_sizes() const {
    return {hidden_, hidden_, kept() * weight_ih.dim(1)};
  }
  Var input(const Var& x) const;  // the columns of the last tap, and x
  Linear input_projection() const;
  Recurrence recurrence() const;
  // All steps: a product for each tap, then the pooling.
  Unrolled<State> sequence(const Var& xs, const State& start, const UnrollOptions& options) const;
  void visit(Visitor& v) const { v("weight_ih", weight_ih), v("bias_ih", bias_ih); }

 private:
  std::int64_t kept() const { return own.window > 1 ? own.window - 1 : 1; }
  Var taps(std::int64_t first, std::int64_t last) const;  // side by side, [G*H, taps * I]
  PoolVector<of::Source> pooled(Recurrence& r, const of::Source& gates) const;

  std::int64_t hidden_ = 0;
};

using Qrnn = Recurrent<QrnnCell>;  // a stack of them

}  // namespace tapeloop::nn
