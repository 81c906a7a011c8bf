// SPDX-License-Identifier: MIT
// GridLstm: an LSTM along each dimension of a grid. A block takes h_d and m_d from the block before
// it along each dimension d, and gives as many to the next ones; nothing is summed over dimensions.
// Kalchbrenner, Danihelka & Graves 2015, arXiv:1507.01526
//   D dimensions, S_d sizes, N batch, H hidden units.
#pragma once

#include <memory>
#include <vector>

#include "tapeloop/autograd/sequence/recurrence.h"
#include "tapeloop/nn/layers/module.h"
#include "tapeloop/nn/structures/grid_gates.h"
#include "tapeloop/nn/structures/grid_schedules.h"

namespace tapeloop::nn {

// What runs along a dimension: an LSTM, or a function of the product alone, without m.
enum class GridCellKind { lstm, tanh, relu, identity };
// h of an LSTM dimension: tanh(sigmoid(o) m), as the paper has it, or sigmoid(o) tanh(m).
enum class GridOutput { tanh_om, o_tanh_m };

struct GridLstmOptions {
  std::int64_t hidden = 0;               // H
  int dimensions = 2;                    // D, 1 to 4
  std::vector<GridCellKind> cells = {};  // of each dimension. Empty: LSTMs
  // These dimensions are computed last, in this order. Each sees the new h of the dimensions that
  // are computed before it. Depth usually has priority.
  std::vector<int> priority = {};
  bool shared = false;  // one weight for all dimensions
  // Blocks that differ in their index along this dimension have weights of their own: layers of
  // depth that are not tied. -1: all blocks share their weights.
  int untied = -1;
  std::int64_t untied_size = 0;             // the size of the grid along `untied`
  GridOutput output = GridOutput::tanh_om;  // how h follows from m
  bool bias = false;                        // whether the gates have biases
  DType dtype = DType::float32;             // of the parameters
};

// The values that enter a grid at its D sides, or leave it at the opposite sides. h[d] and m[d]
// have the shape [the sizes of the other dimensions.., N, H]. If an entering value is undefined or
// missing, zeros enter. m[d] exists for LSTM dimensions only.
struct GridSides {
  PoolVector<Var> h;  // outputs of the blocks
  PoolVector<Var> m;  // memory of LSTM dimensions
};

// The blocks of a grid. A block reads [h_1; ..; h_D] and calculates in each dimension d:
//   i f g o = W_d [h_1; ..; h_D] + b_d
//   m_d' = sigmoid(f) m_d + sigmoid(i) tanh(g),  h_d' = tanh(sigmoid(o) m_d')
// In a grid of time x depth the input enters as h of dimension 1 (depth), [T, N, H], with m = 0.
// The outputs leave on the opposite side. The state that leaves along time, [depth, N, H], enters
// the next part of the sequence. Weights start from U(+-1/sqrt(H)).
class GridLstm {
 public:
  GridLstm() = default;
  // Throws if an option does not fit.
  GridLstm(const GridLstmOptions& options, Random& random);

  // `in` enters at index 0 of each dimension of a grid of these sizes. Returns the values that
  // leave at the other end. Throws if shapes do not fit. A batch of known sizes allocates nothing.
  // Cost: the products of all blocks; blocks at equal distance from the first one run at once. With
  // `untied` the slices along that dimension run one after the other.
  GridSides operator()(const GridSides& in, const Shape& sizes) const;

  // weight_d0 [4H, D*H] (rows i f g o; columns h_1 .. h_D), or [H, D*H]; bias_d0; weight_d1, ..;
  // with `untied` weight_d0_k0, weight_d0_k1, ..
  void visit(Visitor& v) const;
  // As given to the constructor; `cells` has D kinds.
  const GridLstmOptions& options() const { return options_; }
  // The weight [.., D*H] of a dimension, and of an index along `untied`.
  const Var& weight(int d, std::int64_t k = 0) const { return weights_[place(d, k)]; }
  // Its bias, or undefined.
  const Var& bias(int d, std::int64_t k = 0) const { return biases_[place(d, k)]; }

 private:
  std::size_t place(int d, std::int64_t k) const;
  bool is_lstm(int d) const {
    return options_.cells[static_cast<std::size_t>(d)] == GridCellKind::lstm;
  }
  std::int64_t layers() const { return options_.untied < 0 ? 1 : options_.untied_size; }
  Recurrence recurrence(std::int64_t k) const;
  GridSides run(const GridSides& in, const Shape& sizes, std::int64_t n, std::int64_t k) const;
  GridSides run_untied(const GridSides& in, const Shape& sizes, std::int64_t n) const;
  std::int64_t check(const GridSides& in, const Shape& sizes) const;

  GridLstmOptions options_;
  std::vector<Var> weights_, biases_;  // [dimensions, layers]; one dimension if shared
  std::shared_ptr<detail::GridSchedules> schedules_;
};

}  // namespace tapeloop::nn
