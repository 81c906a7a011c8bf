// SPDX-License-Identifier: MIT
// One layer of a Stepper: the operations of a step (schedule/step_layout.h) on single rows. Private
// to the Stepper.
#pragma once

#include "tapeloop/autograd/sequence/stepper.h"

namespace tapeloop {

// Weights are packed once. A product has one packed matrix: the weights of all its operands side by
// side, and those of the input. Rows are padded to whole registers, so that a step has no tails.
// Formulas work on whole registers too; no step reads what they write after the end of a row.
class Stepper::Layer final : public StreamLayer {
 public:
  Layer(const StepperLayer& given, Weights format);

  std::int64_t inputs() const override { return inputs_; }
  std::int64_t outputs() const override { return parts_[0].size; }
  const float* step(const float* x, bool backwards) noexcept override;
  std::span<const Row> parts() const override { return parts_; }  // of the state, h first
  std::int64_t bytes() const override;

 private:
  using Buffer = detail::StepBuffer;
  // What is copied before an operation: the operands of a product, side by side.
  struct Copy {
    const float* from;  // null: x
    float* to;
    std::size_t bytes;
  };
  struct Work {
    StepLayout::From kind;
    std::vector<Copy> copies;
    // product
    cpu::RowWeights weights;
    const float *operand, *init;
    float* result;     // of layer norms, too
    const float* add;  // to the result
    std::int64_t size;
    // layer norm
    const float* x;
    detail::StepNorm norm;
    // formula
    const PointwiseKernel* kernel;
    detail::FormulaBytes formula;
    std::vector<void*> operands;
    std::vector<std::int64_t> steps;
    std::int64_t count;
  };
  void place_states();
  void add_input(const StepperLayer& given, Weights format);
  void add_product(const StepLayout::Operation& op, const StepperLayer& given, Weights format);
  void add_groups(const StepLayout::Operation& op, const StepLayout::Term& term,
                  const StepperLayer& given, Weights format);
  std::int64_t operands_of(const StepLayout::Operation& op) const;
  void add_norm(const StepLayout::Operation& op);
  void add_formula(const StepLayout::Operation& op);

  float* new_buffer(std::int64_t size);
  float* row(const StepLayout::Columns& c) const { return row(c.value) + c.first; }
  float* row(int v) const { return rows_[static_cast<std::size_t>(v)]; }
  std::int64_t size(int v) const { return layout_.values[static_cast<std::size_t>(v)].size; }
  bool read_later(int part, std::size_t operation) const;

  StepLayout layout_;
  std::int64_t inputs_ = 0;
  std::vector<float*> rows_;  // by value
  std::vector<Row> parts_;    // of the state
  std::vector<Copy> next_;    // parts of the next state that were not calculated in place
  std::vector<Work> work_;
  std::vector<Buffer> buffers_;
  std::vector<float*> heads_;  // by operation: the first row of a product's operands, if in place
};

}  // namespace tapeloop
