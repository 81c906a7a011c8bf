// SPDX-License-Identifier: MIT
// Formula: what a pointwise functor calculates, as text and as a list of parts with values. For people who look inside:
// kernels and derivatives are made from the functor itself.
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
  // As it would be written: "f", "sigmoid(f)", "sigmoid(f) * c". Cut after 60 characters.
  std::string text;
  enum class Kind { argument, constant, arithmetic, function } kind;
};

namespace detail {

// A formula's operations in order, each after those that it is made of. The arguments come first.
struct FormulaTrace {
  struct Operation {
    FormulaOp op;
    int a, b, c;  // places of its operands; of an argument: a is its number
    double constant;
    bool operator==(const Operation& other) const;
  };
  PoolVector<Operation> operations;
  PoolVector<int> results;  // places
  int arguments = 0;
};
// Of the kernel's formula, also where the kernel is a gradient's; empty where it has no trace.
FormulaTrace trace_of(const PointwiseKernel& kernel, const void* functor);

}  // namespace detail

class Formula {
 public:
  template <class F>
  explicit Formula(const F& functor)
      : Formula(pointwise_kernel<F>(), detail::FormulaBytes(functor).bytes) {}
  // Without parts where the kernel is that of a gradient.
  Formula(const PointwiseKernel& kernel, const void* functor);

  // Arguments first; every other part after those that it is made of.
  const std::vector<FormulaPart>& parts() const { return parts_; }
  int arguments() const { return arguments_; }
  // Names of the arguments and results, from `arguments` and `results` of the functor; without them a0, a1, ... and
  // h, s1, s2, ...
  std::string argument_name(int i) const;
  std::string result_name(int k) const;
  int result_part(int k) const { return results_[static_cast<std::size_t>(k)]; }
  int results() const { return static_cast<int>(results_.size()); }

  // "h = sigmoid(o) * tanh(...)", a line for each result.
  std::string str() const;

  // The values of all parts, by ordinary operations, for as many Vars as there are arguments, which broadcast with each
  // other. Nothing is recorded, and all is on the CPU. Conditions are 1 and 0.
  std::vector<Tensor> evaluate(std::span<const Var> arguments) const;

  // The first part that is NaN, or infinite though made of finite numbers, for these arguments; parts that do not depend
  // on each other go by their text. part is -1 where all is well. Infinite arguments count where `infinite_arguments`.
  struct Bad {
    int part = -1;
    std::int64_t element = 0;  // row-major, of the arguments' common shape
    double value = 0;
  };
  Bad first_non_finite(std::span<const Var> arguments, bool infinite_arguments) const;
  // The text of a part, as the name of a gate; empty where the formula is a single operation.
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

// Told of every pointwise operation of the calling thread while it is set: its arguments, columns taken apart, and results.
class FormulaListener {
 public:
  virtual void heard(const PointwiseKernel& kernel, const void* functor,
                     std::span<const Var> arguments, std::span<const Var> results) = 0;

 protected:
  ~FormulaListener() = default;
};
inline thread_local FormulaListener* formula_listener = nullptr;

}  // namespace detail
}  // namespace tapeloop
