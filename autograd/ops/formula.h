// SPDX-License-Identifier: MIT
// Formula: the operations of a pointwise functor as text and as a list of parts with values. It is
// for inspection: kernels and derivatives are compiled from the functor itself.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/formula/formula_trace.h"
#include "tapeloop/autograd/ops/pointwise.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

// One argument, operation or result of a formula.
struct FormulaPart {
  // As in source code: "f", "sigmoid(f)", "sigmoid(f) * c". Cut after 60 characters.
  std::string text;
  // arithmetic: + - * / and comparisons
  enum class Kind { argument, constant, arithmetic, function };
  Kind kind;  // of the part
};

namespace detail {

// The operations of a formula in order: arguments first, each operation after its operands.
struct FormulaTrace {
  struct Operation {
    FormulaOp op;
    int a, b, c;  // indices of its operands; for an argument, a is its number
    double constant;
    bool operator==(const Operation& other) const;
  };
  PoolVector<Operation> operations;
  PoolVector<int> results;  // indices into operations
  int arguments = 0;

  int add(const Operation& operation);  // returns its index; does not add it twice
};
// The trace of the kernel's formula. For the kernel of a gradient: of the formula that the gradient
// belongs to. Empty if the kernel has no trace.
FormulaTrace trace_of(const PointwiseKernel& kernel, const void* functor);

}  // namespace detail

class Formula {
 public:
  template <class F>
  explicit Formula(const F& functor)
      : Formula(pointwise_kernel<F>(), detail::FormulaBytes(functor).bytes) {}
  // Has no parts if the kernel is that of a gradient.
  Formula(const PointwiseKernel& kernel, const void* functor);

  // Arguments first; every other part after its operands.
  const std::vector<FormulaPart>& parts() const { return parts_; }
  int arguments() const { return arguments_; }  // how many
  // Names of the arguments and results: from `arguments` and `results` of the functor, else a0,
  // a1, ... and h, s1, s2, ...
  std::string argument_name(int i) const;
  std::string result_name(int k) const;  // as argument_name()
  // Index into parts() of result k.
  int result_part(int k) const { return results_[static_cast<std::size_t>(k)]; }
  int results() const { return static_cast<int>(results_.size()); }  // how many

  // One line for each result: "h = sigmoid(o) * tanh(...)".
  std::string str() const;

  // The values of all parts, calculated on the CPU by ordinary operations without recording. Takes
  // one Var for each argument; they broadcast with each other. Conditions are 1 and 0.
  std::vector<Tensor> evaluate(std::span<const Var> arguments) const;

  // The first part that is NaN, or that is infinite although its operands are finite.
  // Independent parts are ordered by their text. part is -1 if there is none. Infinite arguments
  // count if `infinite_arguments`.
  struct Bad {
    int part = -1;             // index into parts()
    std::int64_t element = 0;  // row-major index into the arguments' common shape
    double value = 0;          // NaN, or an infinity
  };
  // Calculates the parts and returns the first bad one.
  Bad first_non_finite(std::span<const Var> arguments, bool infinite_arguments) const;
  // The text of a part, used as the name of a gate; empty if the formula is a single operation.
  std::string gate(int part) const;

 private:
  using Node = detail::FormulaTrace::Operation;
  std::string text(int node, int outer_precedence, std::size_t most) const;
  Var value(const Node& node, std::span<const Var> values) const;

  std::vector<Node> nodes_;
  std::vector<FormulaPart> parts_;
  std::vector<int> results_;
  int arguments_ = 0;
  const char* argument_names_ = nullptr;
  const char* result_names_ = nullptr;
};

namespace detail {

// The arguments of the functor in a call; columns are split into one argument each.
std::vector<Var> arguments_of(std::span<const PointwiseInput> inputs);

}  // namespace detail
}  // namespace tapeloop
