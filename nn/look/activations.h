// SPDX-License-Identifier: MIT
// Activations: the values of every unit of every recurrent layer at each step: each part of the
// state, and each gate of the cell's formula, by name. For any cell that is unrolled. For
// pictures see activation_page.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/tape/observer.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::nn {

// One named value of each unit of a layer.
struct Activation {
  std::string layer;  // the Scope of the layer: "l0", "l1_reverse", "encoder/l0"
  // "h", "c"; "f", a gate before its function; "sigmoid(f)". If the functor does not name its
  // arguments: "a0", "sigmoid(a0)". For a cell with step(): the functions that it calls,
  // "tanh", "sigmoid", "sigmoid 2".
  std::string name;
  bool state = false;         // a part of the state, not a gate
  std::int64_t steps = 0;     // T
  std::int64_t batch = 0;     // N
  std::int64_t units = 0;     // of the layer
  std::vector<float> values;  // [steps, batch, units], NaN if a step did not calculate it
  // The value at a time step, of a sequence of the batch.
  float at(std::int64_t t, std::int64_t n, std::int64_t unit) const {
    return values.at(static_cast<std::size_t>((t * batch + n) * units + unit));
  }
};

// While it lives, it records the activations of everything that unroll() runs in this thread:
//   RecordActivations record;
//   model(xs);
//   record.all();
// Later calls of the same layers are appended, for texts that are read in pieces. Meanwhile layers
// run step by step, with the same results, and without recomputation. Needs no tape. Throws if a
// layer is called with another batch size than before. Cost: a copy of every value, and one
// operation for each part of each formula: not for training.
class RecordActivations final : public tapeloop::detail::Observer {
 public:
  RecordActivations() : observed_by_(this) {}
  RecordActivations(const RecordActivations&) = delete;
  RecordActivations& operator=(const RecordActivations&) = delete;

  // Layers in the order of their first run; in each layer the state first.
  std::vector<Activation> all() const;

  // --- for loops over time steps in user code ---
  // The recorder of this thread; null: none, or it records a step now.
  static RecordActivations* current();
  // Called before the first step.
  void begin_sequence(std::int64_t steps, std::int64_t batch) override;
  // Called before each step, with the state that it starts from.
  void begin_step(std::int64_t t, std::span<const Var> state) override;
  // `made` is the result of the step. `state` is the next state, which is the
  // old one if a sequence ended.
  void end_step(std::span<const Var> made, std::span<const Var> state) override;
  // For unroll().
  bool wants_steps() const override { return step_ < 0; }
  // For pointwise().
  void called(const tapeloop::detail::FormulaCall& call) override;

 private:
  struct Layer {
    std::string name;
    std::int64_t batch = 0;
    std::int64_t before = 0;  // steps of earlier calls
    std::int64_t steps = 0;   // steps of all calls so far
    std::vector<Activation> rows;
  };
  struct Value {
    std::string name;
    Tensor tensor;
    Var result;               // if it is a result of an operation
    std::string result_name;  // its name in the functor; empty: none
    bool state;
  };
  void store(const Value& value);

  std::vector<Layer> layers_;
  std::size_t layer_ = 0;
  std::int64_t step_ = -1;  // -1: outside of a step
  std::vector<Var> state_;  // before the current step
  std::vector<Value> values_;
  tapeloop::detail::ObservedBy observed_by_;
};

}  // namespace tapeloop::nn
