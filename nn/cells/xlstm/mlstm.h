// SPDX-License-Identifier: MIT
// mLSTM: each head has a matrix C as its memory, to which a step adds the outer product of a value
// and a key. Nothing reads h, so all steps of a sequence can be calculated at once. Beck et al.
// 2024, "xLSTM", arXiv:2405.04517. For each head, of D = H / heads units:
//   q = W_q x     k = W_k x / sqrt(D)     v = W_v x     and the numbers i and f
//   m' = max(log f + m, i)                log f = log sigmoid(f), or f itself
//   C' = e^(log f + m - m') C + e^(i - m') v k^T
//   n' = e^(log f + m - m') n + e^(i - m') k
//   h' = sigmoid(W_o x) C' q / (max(|n'.q|, e^-m') + epsilon)
// C, n, m and C e^-k, n e^-k, m + k are the same state. n = 0 means no state: m' = i at the next
// step.
#pragma once

#include <memory>

#include "tapeloop/nn/cells/gates/mlstm.h"
#include "tapeloop/nn/cells/xlstm/slstm.h"
#include "tapeloop/nn/recurrent/stepper.h"

namespace tapeloop::nn {

struct MlstmOptions {
  int heads = 1;                            // they divide H
  ForgetGate forget = ForgetGate::sigmoid;  // the forget gate
  double epsilon = 0;                       // added to the denominator
  // Steps that are calculated at once, by products of the queries and keys of all of them. The
  // state goes from chunk to chunk. 0: the whole sequence; 1: each step by itself, the recurrent
  // form. All give the same numbers to rounding. Cost of T steps for each head: T chunk (2 D) and
  // 2 T D^2 multiplications, T chunk numbers of memory.
  std::int64_t chunk = 64;
  void visit(OptionTable& table) {
    table("heads", heads), table("forget", forget, {"sigmoid", "exponential"});
    table("epsilon", epsilon), table("chunk", chunk);
  }
};

// The state is h, C [heads * value * key], n [H] and m [heads].
struct MlstmCell {
  using State = nn::State<4>;
  using Options = MlstmOptions;
  Var weight_q, weight_k, weight_v, weight_o;  // [H, I]
  Var weight_if;                               // [2 heads, I]: i of all heads, then f
  Var bias_q, bias_k, bias_v, bias_o;          // [H], undefined without biases
  Var bias_if;                                 // [2 heads]
  MlstmOptions own;                            // as given
  MlstmCell() = default;
  MlstmCell(const RecurrentOptions& options, Random& random, const Options& own = {});
  std::array<std::int64_t, 4> state_sizes() const {
    const std::int64_t size = weight_q.dim(0), head = size / own.heads;
    return {size, size * head, size, own.heads};
  }
  // The columns q, k / sqrt(D), v, o, i, f.
  Var input(const Var& x) const;
  Linear input_projection() const;
  // The recurrent form, one step.
  State step(const Var& zx, const State& state) const;
  // The chunkwise form.
  Unrolled<State> sequence(const Var& xs, const State& start, const UnrollOptions& options) const;
  // The recurrent form for one stream, without allocation.
  std::unique_ptr<StreamLayer> stream_layer(Weights format) const;
  void visit(Visitor& v) const {
    v("weight_q", weight_q), v("weight_k", weight_k), v("weight_v", weight_v);
    v("weight_o", weight_o), v("weight_if", weight_if);
    v("bias_q", bias_q), v("bias_k", bias_k), v("bias_v", bias_v);
    v("bias_o", bias_o), v("bias_if", bias_if);
  }
};

using Mlstm = Recurrent<MlstmCell>;  // a stack of them

namespace detail {
// The mLSTM without its projections, as blocks use it. Sequences [T, N, ..] of queries, keys
// (scaled), values and output gates [T, N, H], and of i and f [T, N, heads]. Undefined output gates
// are open.
struct MlstmSequence {
  Var q, k, v, o, i, f;
};
// Runs all steps in their order. `start` is the state before; if its C is undefined, there is none.
// `running` [T, N] is 1 for the steps within a sequence, else 0; if it is undefined, all steps are.
// Other steps leave the state as it is, and their ys may be anything. `last` has no part 0.
Unrolled<State<4>> run_mlstm(const MlstmSequence& sequence, const State<4>& start,
                             const Tensor& running, const MlstmOptions& options);
}  // namespace detail

}  // namespace tapeloop::nn
