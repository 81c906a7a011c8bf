// SPDX-License-Identifier: MIT
// The Multi-Dimensional LSTM, MdLstm, and its cell. A cell of a grid sees its D predecessors, one
// along each dimension. Graves, Fernandez & Schmidhuber 2007, arXiv:0705.2011
//   D dimensions, I input size, H hidden units.
#pragma once

#include "tapeloop/nn/structures/grid.h"
#include "tapeloop/nn/structures/grid_gates.h"

namespace tapeloop::nn {

// How an MdLstmCell joins the cell states c_d of its predecessors. The sum grows with the number of
// paths through the grid; with the others c stays bounded by about the number of cells (mean,
// stable) or by 1 (leaky).
enum class MdVariant {
  standard,  // sum_d sigmoid(f_d) c_d
  mean,      // the same, divided by D
  stable,    // sigmoid(f) times a weighted mean of the c_d. Leifert et al. 2016, JMLR 17(97)
  leaky      // LeakyLP, ibid.: a leaky integrator of the weighted mean, with two output gates
};
// The weights of the mean in the variants stable and leaky: sigmoids divided by their sum, or a
// softmax.
enum class MdWeights { sigmoid, softmax };

// The settings of MdLstmCell beside GridOptions.
struct MdLstmOptions {
  MdVariant variant = MdVariant::standard;  // how predecessors are joined
  MdWeights weights = MdWeights::sigmoid;   // of stable and leaky
  bool peepholes = false;                   // of standard and mean: the gates see the cell states
};

// z = W_ih x + W_hh [h_1; ..; h_D] + b. Rows of H units each:
//   standard, mean   i f_1 .. f_D g o          G = 3 + D; D = 1: those of an LSTM
//   stable           i f g o l_1 .. l_D        G = 4 + D
//   leaky            f g o1 o2 l_1 .. l_D      G = 4 + D
// grid_gates.h has the formulas. The state is h and c. All weights start from U(+-1/sqrt(H)).
struct MdLstmCell {
  using State = nn::State<2>;
  using Options = MdLstmOptions;
  Var weight_ih;    // [G*H, I]
  Var weight_hh;    // [G*H, D*H]: columns of h_1, .., h_D
  Var bias_ih;      // [G*H], undefined without biases
  Var weight_ch;    // [(2D+1)*H], the peepholes of i from c_1 .. c_D, of f_1 .. f_D, of o
  Options options;  // as given to the constructor

  MdLstmCell() = default;
  // Throws if a size is less than 1, if D is not 1 to 5, or if an option does not apply to the
  // variant.
  MdLstmCell(const GridOptions& grid, Random& random, const Options& own = {});
  std::array<std::int64_t, 2> state_sizes() const { return {hidden(), hidden()}; }
  Var input(const Var& x) const;
  Linear input_projection() const;
  Recurrence recurrence() const;
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
    v("weight_ch", weight_ch);
  }
  std::int64_t hidden() const { return hidden_; }  // H
  int dimensions() const { return dimensions_; }   // D

 private:
  std::int64_t hidden_ = 0;
  int dimensions_ = 0;
};

// A Multi-Dimensional LSTM: layers and directions of such cells on a grid.
using MdLstm = Grid<MdLstmCell>;

}  // namespace tapeloop::nn
