// SPDX-License-Identifier: MIT
// MUT1, MUT2, MUT3: the best cells of a search. Jozefowicz et al. 2015
//   MUT1  z = sigmoid(W_xz x + b_z)                    r = sigmoid(W_xr x + W_hr h + b_r)
//         n = tanh(W_hh (r h) + tanh(x) + b_h)
//   MUT2  z = sigmoid(W_xz x + W_hz h + b_z)           r = sigmoid(x + W_hr h + b_r)
//         n = tanh(W_hh (r h) + W_xh x + b_h)
//   MUT3  z = sigmoid(W_xz x + W_hz tanh(h) + b_z)     r = sigmoid(W_xr x + W_hr h + b_r)
//         n as in MUT2
//   h' = (1 - z) h + z n
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/gated.h"
#include "tapeloop/nn/cells/gates/gru.h"
#include "tapeloop/nn/cells/gates/rnn.h"

namespace tapeloop::nn {

struct MutOptions {
  int variant = 3;  // 1, 2 or 3; 1 and 2 need input = hidden
  void visit(OptionTable& table) { table("variant", variant); }
};

// The state is h.
struct MutCell {
  using State = nn::State<1>;
  using Options = MutOptions;
  Var weight_xz;    // [H, I]
  Var weight_xr;    // [H, I]; undefined in MUT2, where x itself is read
  Var weight_xh;    // [H, I]; undefined in MUT1
  Var weight_hz;    // [H, H]; undefined in MUT1
  Var weight_hr;    // [H, H]
  Var weight_hh;    // [H, H]
  Var bias_ih;      // [3H] in the order z r h
  int variant = 3;  // 1, 2 or 3
  MutCell() = default;
  MutCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 1> state_sizes() const { return {weight_hh.dim(0)}; }
  Var input(const Var& x) const;  // the columns z r h
  Linear input_projection() const;
  Recurrence recurrence() const {
    const std::int64_t size = weight_hh.dim(0);
    const auto h = of::state(0), in_z = of::input(0, size), in_h = of::input(2 * size, size);
    Recurrence r;
    const auto reset = of::input(size, size) + of::product(weight_hr);
    const auto u = of::product(weight_hh, r.stage(GruResetState{}, reset, h)[0], bias_h());
    if (variant == 1) {
      r.next(r.stage(Mut1Step{}, in_z, u, in_h, h));
      return r;
    }
    const auto seen = variant == 2 ? h : r.stage(ElmanTanh{}, h)[0];
    r.next(r.stage(GatedStep{}, in_z + of::product(weight_hz, seen), in_h + u, h));
    return r;
  }
  void visit(Visitor& v) const {
    v("weight_xz", weight_xz), v("weight_xr", weight_xr), v("weight_xh", weight_xh);
    v("weight_hz", weight_hz), v("weight_hr", weight_hr), v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
  }

 private:
  Var bias(std::int64_t block) const;  // undefined without biases
  Var bias_h() const { return bias(2); }
};

using Mut = Recurrent<MutCell>;  // a stack of them

}  // namespace tapeloop::nn
