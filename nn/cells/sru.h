// SPDX-License-Identifier: MIT
// SRU, the simple recurrent unit. Lei et al. 2017, arXiv:1709.02755
//   u f r = W x + (0, b_f, b_r)      version 2: f + v_f c in place of f, r + v_r c in place of r
//   c' = sigmoid(f) c + (1 - sigmoid(f)) u
//   h' = sigmoid(r) c' + (1 - sigmoid(r)) scale x, or tanh(c') in place of c'
// If x does not have H features, a fourth block of W x takes the place of x in h'.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"

namespace tapeloop::nn {

struct SruOptions {
  int version = 2;    // 1: the gates do not see c
  bool tanh = false;  // h' has tanh(c')
  double scale = 1;   // of x in h'
  void visit(OptionTable& table) {
    table("version", version), table("tanh", tanh), table("scale", scale);
  }
};

// The state is h, which no step reads, and c.
struct SruCell {
  using State = nn::State<2>;
  using Options = SruOptions;
  Var weight_ih;  // [3H, I] in the order u f r, or [4H, I]
  Var weight_ch;  // [2H], v_f and v_r; undefined in version 1
  Var bias_ih;    // [2H], b_f and b_r
  Options own;
  SruCell() = default;
  SruCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {hidden_, hidden_}; }
  Var input(const Var& x) const;  // the columns u f r, and x or the fourth block
  Linear input_projection() const;
  Recurrence recurrence() const {
    return own.tanh ? recurrence_of<true>() : recurrence_of<false>();
  }
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih), v("weight_ch", weight_ch), v("bias_ih", bias_ih);
  }

 private:
  template <bool kTanh>
  Recurrence recurrence_of() const {
    const auto c = of::state(1);
    if (!weight_ch.defined()) return {SruStep<kTanh>{own.scale}, of::input(), c};
    return {Sru2Step<kTanh>{own.scale}, of::input(), of::unit(weight_ch), c};
  }
  bool skips_x() const { return weight_ih.dim(0) == 3 * hidden_; }
  Var bias() const;  // of all columns, or undefined

  std::int64_t hidden_ = 0;
};

using Sru = Recurrent<SruCell>;  // a stack of them

}  // namespace tapeloop::nn
