// SPDX-License-Identifier: MIT
// ConvLSTM: the LSTM whose products are convolutions. Shi et al. 2015, arXiv:1506.04214, eq. 3
//   i f g o = W_ih * x + b + W_hh * h, and with peepholes i + p_i c, f + p_f c, o + p_o c'
//   c' = sigmoid(f) c + sigmoid(i) tanh(g)     h' = sigmoid(o) tanh(c')
// The formulas are LstmGates, LstmState and LstmOutput of gates/.
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/layers/convolution.h"

namespace tapeloop::nn {

struct ConvLstmOptions {
  std::array<std::int64_t, 2> image = {0, 0};   // height and width of x and of the state
  std::array<std::int64_t, 2> kernel = {3, 3};  // odd numbers
  bool peephole = false;                        // a weight for each channel and position
};

// Images are rows of C h w numbers, channel by channel: xs [T, N, C h w] is reshape(images, ..) of
// images [T, N, C, h, w]. RecurrentOptions::input is C h w, and hidden C' h w. The state is h and
// c, [N, C' h w]. Zeros stand outside of an image. Runs by operations; one convolution of x serves
// all steps.
struct ConvLstmCell {
  using State = nn::State<2>;
  using Options = ConvLstmOptions;
  Var weight_ih;  // [4C', C, k_h, k_w], in the order i f g o
  Var weight_hh;  // [4C', C', k_h, k_w]
  Var bias_ih;    // [4C'], undefined without biases
  Var weight_ch;  // [3, C', h, w], in the order i f o; undefined without peepholes
  Options own;    // as given
  ConvLstmCell() = default;
  ConvLstmCell(const RecurrentOptions& options, Random& random, const Options& own);
  std::array<std::int64_t, 2> state_sizes() const;
  Var input(const Var& x) const;  // [.., C h w] -> [.., 4 C' h w]
  State step(const Var& zx, const State& state) const;
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih), v("weight_hh", weight_hh), v("bias_ih", bias_ih);
    v("weight_ch", weight_ch);
  }

 private:
  Var convolved(const Var& rows, const Var& weight, const Var& bias) const;
};

using ConvLstm = Recurrent<ConvLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
