// SPDX-License-Identifier: MIT
// xLSTM: a stack of residual blocks of mLSTMs and sLSTMs. Beck et al. 2024, arXiv:2405.04517. The
// blocks are those of the authors' package `xlstm`, whose weights can be loaded:
// doc/xlstm.md.
//   T time steps, N batch, E features of a step, F features within an mLSTM block.
#pragma once

#include <optional>
#include <vector>

#include "tapeloop/nn/blocks/xlstm_parts.h"
#include "tapeloop/nn/cells/xlstm/mlstm.h"

namespace tapeloop::nn {

struct XlstmOptions {
  std::int64_t features = 0;       // E
  int blocks = 1;                  // of the stack
  std::vector<int> slstm_at = {};  // numbers of the sLSTM blocks, from 0; others: mLSTM
  int heads = 4;                   // of each cell
  std::int64_t taps = 4;           // of the causal convolutions
  std::int64_t qkv_block = 4;      // features of a block of the block-diagonal W_q, W_k, W_v
  double mlstm_factor = 2;         // F / E, rounded up to a multiple of round_to
  double mlp_factor = 1.3;         // the same for the MLP of an sLSTM block
  std::int64_t round_to = 64;      // of F, and of the columns of the MLP
  bool bias = false;               // of the projections
  bool final_norm = true;          // after the last block
  double dropout = 0;              // of what a block adds
  double epsilon = 1e-6;           // of the mLSTM
  std::int64_t chunk = 64;         // as in MlstmOptions
  DType dtype = DType::float32;    // of the weights
};

// The state of a block: the last inputs of its convolution [taps - 1, N, ..], and the parts of its
// cell, [N, size] each. Undefined: none.
struct XlstmState {
  Var convolution;  // [taps - 1, N, ..]
  State<4> cell;    // h, c, n, m
};

// y = x + W_down ((norm(mlstm(q, k, v)) + skip u) silu(z)),  x' z = W_up norm(x)
//   u = silu(convolution(x'))     q = W_q u     k = W_k u     v = W_v x'     i f = W [q; k; v] + b
struct MlstmBlock {
  ScaledNorm xlstm_norm;               // of x
  Linear proj_up;                      // [2 F, E]
  GroupLinear q_proj, k_proj, v_proj;  // F features
  CausalConvolution conv1d;            // of F features
  Linear igate, fgate;                 // [heads, 3 F]
  ScaledNorm outnorm;                  // in heads
  Var learnable_skip;                  // [F], initially 1
  Linear proj_down;                    // [E, F]
  Dropout dropout;                     // of what is added to x
  MlstmOptions own;                    // of its mLSTM
  MlstmBlock() = default;
  MlstmBlock(const XlstmOptions& options, Random& random);
  // x [T, N, E] -> y [T, N, E], and the next state in `state`.
  Var operator()(const Var& x, XlstmState& state, std::span<const std::int64_t> lengths) const;
  void visit(Visitor& v) const;
};

// x' = x + norm(slstm(i f g o)),  y = x' + mlp(norm(x'))
//   u = silu(convolution(norm(x)))     i f read u, g o read norm(x), each in heads
struct SlstmBlock {
  ScaledNorm xlstm_norm;                   // of x
  CausalConvolution conv1d;                // of E features
  GroupLinear igate, fgate, zgate, ogate;  // in heads
  Var weight_hh;                           // [4 E, E / heads], as in SlstmCell
  Var bias;                                // [4 E]
  ScaledNorm group_norm;                   // in heads
  ScaledNorm ffn_norm;                     // before the MLP
  GatedMlp ffn;                            // the MLP
  Dropout dropout;                         // of what is added to x
  int heads = 1;                           // of the sLSTM
  SlstmBlock() = default;
  // `position`: from 0 at the first block to 1 at the last; forget biases depend on it.
  SlstmBlock(const XlstmOptions& options, double position, Random& random);
  Var operator()(const Var& x, XlstmState& state, std::span<const std::int64_t> lengths) const;
  void visit(Visitor& v) const;
};

// A stack of blocks. Names of parameters: blocks.0.xlstm.proj_up.weight, ...
class Xlstm {
 public:
  Xlstm() = default;
  Xlstm(const XlstmOptions& options, Random& random);

  // The outputs of all steps, and the state after the last one.
  struct Result {
    Var ys;                        // [T, N, E]
    std::vector<XlstmState> last;  // of each block
  };
  // xs [T, N, E]. Past the end of a sequence ys are 0, and xs is not used. Throws if shapes do not
  // fit.
  Result operator()(const Var& xs, const std::vector<XlstmState>& initial = {},
                    std::span<const std::int64_t> lengths = {}) const;
  const XlstmOptions& options() const { return options_; }  // as given
  // The blocks and the norm after them as layers of a Stepper. Throws unless the weights are
  // float32 on the CPU.
  std::vector<std::unique_ptr<StreamLayer>> stream_layers(Weights format) const;
  void visit(Visitor& v) const;

 private:
  struct Block {
    std::optional<MlstmBlock> mlstm;
    std::optional<SlstmBlock> slstm;
    void visit(Visitor& v) const { mlstm ? mlstm->visit(v) : slstm->visit(v); }
  };
  XlstmOptions options_;
  std::vector<Block> blocks_;
  ScaledNorm post_blocks_norm_;
};

// A Stepper from a stack and the Linear that follows it, if any. It copies the weights. Dropout
// does not act.
Stepper make_stepper(const Xlstm& model, const Linear& head = {},
                     const StepperOptions& options = {});

// The weights of the package's xLSTMBlockStack, made for such a model, from its state dict: other
// layouts of the sLSTM's recurrent weights are brought into ours. `cuda_layout`: the model has the
// package's backend "cuda", not "vanilla".
StateDict from_xlstm_package(const StateDict& saved, const XlstmOptions& options,
                             bool cuda_layout = false);

}  // namespace tapeloop::nn
