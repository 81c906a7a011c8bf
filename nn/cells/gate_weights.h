// SPDX-License-Identifier: MIT
// The weights that most cells share. Names, shapes and initial values are PyTorch's.
//   I input size, H hidden size, G gates, P size of h.
#pragma once

#include <memory>

#include "tapeloop/nn/recurrent/recurrent.h"

namespace tapeloop::nn {

// The weights of G gates: x W_ih^T + b_ih and h W_hh^T + b_hh.
struct GateWeights {
  const char* cell = "";  // in messages
  Var weight_ih;          // [G*H, I]
  Var weight_hh;          // [G*H, H], or [G*H, P] if h has another size
  Var bias_ih;            // [G*H], undefined without biases
  Var bias_hh;            // [G*H]
  GateWeights() = default;
  // `outputs`: P; 0: H. Throws if a size is less than 1.
  GateWeights(const char* cell, int gates, const RecurrentOptions& options, Random& random,
              std::int64_t outputs = 0);
  // The same without bias_hh, for cells with one bias, such as the MGU.
  GateWeights with_one_bias() const {
    GateWeights result = *this;
    result.bias_hh = {};
    return result;
  }

  std::int64_t outputs() const { return weight_hh.dim(1); }  // P
  // x W_ih^T + b_ih, and + b_hh if with_both_biases.
  Var input(const Var& x, bool with_both_biases = true) const;
  // input() for one-hot x, given as symbols: looks up rows of W_ih^T instead of a
  // product. Cost: one copy of W_ih.
  Var input(const Tensor& symbols, bool with_both_biases = true) const;
  // What input() applies: the shared weight, and the bias.
  Linear input_projection(bool with_both_biases = true) const;
  void visit(Visitor& v) const {
    v("weight_ih", weight_ih);
    v("weight_hh", weight_hh);
    v("bias_ih", bias_ih);
    v("bias_hh", bias_hh);
  }

 private:
  Var input_bias(bool with_both_biases) const;
};

namespace detail {
// Throws unless input and hidden are 1 or more.
void check_sizes(const char* cell, const RecurrentOptions& options);
// Throws if x does not have the features that the cell was built with.
void check_features(const char* cell, const Var& x, std::int64_t features);
// Throws unless the cell has as many inputs as hidden units.
void check_equal_sizes(const char* cell, const RecurrentOptions& options);
// 1/sqrt(H): the bound of the initial values.
double bound_of(const RecurrentOptions& options);
// A parameter of U(-1/sqrt(H), 1/sqrt(H)).
Var drawn(const Shape& shape, const RecurrentOptions& options, Random& random);
// x W^T + b with that weight [rows, I]; no bias if the options say so.
Linear drawn_linear(const char* cell, std::int64_t rows, const RecurrentOptions& options,
                    Random& random);
// Fixed numbers of a cell. like() gives them in the type and on the device of a parameter. The
// first call copies them; the copy is kept. Copies of this object share it.
class FixedNumbers {
 public:
  FixedNumbers() = default;
  explicit FixedNumbers(const Tensor& values);  // on the CPU
  const Tensor& values() const { return values_; }
  Var like(const Var& parameter) const;

 private:
  struct Kept;
  Tensor values_;
  std::shared_ptr<Kept> kept_;
};
// The matrix of y = x.
Var identity_like(std::int64_t size, const Var& parameter);
// Adds a number to `size` elements of a bias from `first` on; an undefined bias stays undefined.
void add_to_bias(const Var& bias, std::int64_t first, std::int64_t size, double value);
// W_hr [P, H], which projects an LSTM's output; undefined if P is 0. Sak et al. 2014. Throws if P
// is not smaller than H.
void check_projection(const char* cell, const RecurrentOptions& options, std::int64_t projection);
Var projection_weight(const RecurrentOptions& options, std::int64_t projection, Random& random);
}  // namespace detail

}  // namespace tapeloop::nn
