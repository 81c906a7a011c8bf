// SPDX-License-Identifier: MIT
// Activations: what every unit of every recurrent layer did, step by step: each part of the state, and each gate of the cell's
// formula by its name. For any cell that is unrolled. Draws nothing: see activation_page.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/ops/formula.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::nn {

// One named value of each unit of a layer.
struct Activation {
  std::string layer;  // the Scope it ran in: "l0", "l1_reverse", "encoder/l0"
  // "h", "c"; "f", a gate before its function; "sigmoid(f)". Where the functor names no arguments: "a0", "sigmoid(a0)".
  // A cell with step(): the functions that it calls, "tanh", "sigmoid", "sigmoid 2".
  std::string name;
  bool state = false;  // a part of the state, not a gate
  std::int64_t steps = 0, batch = 0, units = 0;
  std::vector<float> values;  // [steps, batch, units], NaN where a step did not calculate it
  float at(std::int64_t t, std::int64_t n, std::int64_t unit) const {
    return values.at(static_cast<std::size_t>((t * batch + n) * units + unit));
  }
};

// Notes them while it lives, in this thread, for all that unroll() runs: RecordActivations record; model(xs); then
// record.all(). Later calls of the same layers go on where the earlier ones ended, as texts are read in pieces.
// Layers run step by step meanwhile, with the same results, and without recomputation. Needs no tape.
// Throws where a layer is called with another batch than before.
// Cost: a copy of every value, and the parts of each formula by operations of their own: for looking, not for training.
class RecordActivations final : tapeloop::detail::FormulaListener {
 public:
  RecordActivations();
  ~RecordActivations();
  RecordActivations(const RecordActivations&) = delete;
  RecordActivations& operator=(const RecordActivations&) = delete;

  // By layer, in the order in which they were first run; in a layer the state first.
  std::vector<Activation> all() const;

  // --- for whoever writes a loop over time ---
  static RecordActivations*
  current();  // of this thread; null: nobody looks, or within a step already
  void begin_sequence(std::int64_t steps, std::int64_t batch);
  void begin_step(std::int64_t t, std::span<const Var> state);
  // What the step made, and the state that goes on, which may stand still where a sequence has ended.
  void end_step(std::span<const Var> made, std::span<const Var> state);

 private:
  struct Layer {
    std::string name;
    std::int64_t batch = 0;
    std::int64_t before = 0;  // steps of earlier calls
    std::int64_t steps = 0;   // of all calls so far
    std::vector<Activation> rows;
  };
  struct Value {
    std::string name;
    Tensor tensor;
    Var result;               // where it is a result of an operation
    std::string result_name;  // that the functor gives it; empty: none
    bool state;
  };
  void heard(const PointwiseKernel& kernel, const void* functor, std::span<const Var> arguments,
             std::span<const Var> results) override;
  void store(const Value& value);

  std::vector<Layer> layers_;
  std::size_t layer_ = 0;
  std::int64_t step_ = -1;  // -1: not within a step
  std::vector<Var> state_;  // before the step at hand
  std::vector<Value> values_;
  RecordActivations* outer_;
};

}  // namespace tapeloop::nn
