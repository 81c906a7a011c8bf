// SPDX-License-Identifier: MIT
// Stepper: a trained recurrent model for one stream, one time step per call, e.g. in an audio
// callback or a control loop. Weights in float32 or bfloat16; no gradients, no batch.
// nn::make_stepper (nn/recurrent/stepper.h) makes one from a model.
//   I input size, H hidden size, O output size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tapeloop/autograd/device/cpu/row_weights.h"
#include "tapeloop/autograd/sequence/recurrent.h"

namespace tapeloop {

// One layer: a step, and the input that it reads, w_in x + b_in.
struct StepperLayer {
  Recurrence recurrence;                 // the step
  Tensor w_in;                           // [columns of the input, I]
  Tensor b_in;                           // [columns of the input]
  PoolVector<std::int64_t> state_sizes;  // of the parts of the state, h first
};

// bfloat16: each weight is rounded once, to nearest, by at most 1 part in 256. A step reads half
// the memory, so it is up to twice as fast if the weights do not fit a core's first cache. Biases,
// state and sums stay float32.
struct StepperOptions {
  Weights weights = Weights::float32;  // the format in which a Stepper keeps weights
  // step() refuses an x with NaN or infinity. Cost: one pass over x.
  bool check_inputs = false;
};

// Why Stepper::step() refused a step.
enum class StepError : std::uint8_t { none, no_layers, input_size, output_size, not_finite };
// What was wrong and what to do, as a constant text; "" for none.
const char* text_of(StepError error) noexcept;

namespace detail {
// Floats, aligned to a register; a whole number of registers.
class StepBuffer {
 public:
  StepBuffer() = default;
  explicit StepBuffer(std::int64_t size) : storage_(Tensor::zeros({size})) {}
  float* data() { return static_cast<float*>(storage_.raw()); }
  const float* data() const { return static_cast<const float*>(storage_.raw()); }
  std::int64_t size() const { return storage_.defined() ? storage_.numel() : 0; }

 private:
  Tensor storage_;
};
// A layer norm of one row, in groups of equal size. scale, bias and add may be null.
//   y = add + scale (x - mean) / sqrt(variance + epsilon) + bias
struct StepNorm {
  std::int64_t size;
  std::int64_t groups;
  double epsilon;
  const float *scale, *bias, *add;
};
// x may be y.
void normalise(const StepNorm& norm, const float* x, float* y) noexcept;
}  // namespace detail

// A layer of a Stepper with a step of its own. A StepperLayer is one whose step is a Recurrence.
class StreamLayer {
 public:
  // A part of the state.
  struct Row {
    float* data;        // the first number
    std::int64_t size;  // how many
  };
  StreamLayer() = default;
  StreamLayer(const StreamLayer&) = delete;
  StreamLayer& operator=(const StreamLayer&) = delete;
  virtual ~StreamLayer() = default;

  virtual std::int64_t inputs() const = 0;   // the size of x
  virtual std::int64_t outputs() const = 0;  // the size of y
  // x [inputs()] -> y [outputs()], which is valid until the next step, and the next state. No
  // allocation. `backwards` is true at every second step: see RowWeights::multiply.
  virtual const float* step(const float* x, bool backwards) noexcept = 0;
  // All parts of the state; the initial state is zeros.
  virtual std::span<const Row> parts() const = 0;
  virtual std::int64_t bytes() const = 0;  // size of weights and state
};

class Stepper {
 public:
  // Copies the weights: later changes of the model have no effect. A head [O, H] maps the
  // last layer's h to the output; without a head the output is h. Throws if shapes do not fit
  // or a tensor is not float32.
  Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight = {},
          const Tensor& head_bias = {}, const StepperOptions& options = {});
  // The same with layers of any kind, made for the weights' format of the options.
  Stepper(std::vector<std::unique_ptr<StreamLayer>> layers, const Tensor& head_weight = {},
          const Tensor& head_bias = {}, const StepperOptions& options = {});

  Stepper(const Stepper&) = delete;  // one stream, one Stepper
  Stepper& operator=(const Stepper&) = delete;
  Stepper(Stepper&& other) noexcept;  // `other` then has no layers and refuses steps
  Stepper& operator=(Stepper&& other) noexcept;
  ~Stepper();

  // I; 0 without layers.
  std::int64_t input_size() const { return inputs_; }
  std::int64_t output_size() const { return outputs_; }  // O
  Weights weights() const { return options_.weights; }   // their format

  // x [I] -> y [O], and the next state. No allocation, lock or system call; throws nothing. Spans
  // of other sizes are an error: step() changes nothing and returns false, and error() says why.
  // Cost for each layer: one product of [x; h] with all weights, which are read once, and the
  // formula.
  // A NaN in x stays in the state, and so in every later y, until reset() or
  // set_state(); state_is_finite() finds it. With options.check_inputs, a step whose x
  // has NaN or infinity is refused. bad_input() is then the index of that element.
  [[nodiscard]] bool step(std::span<const float> x, std::span<float> y) noexcept;
  StepError error() const noexcept { return error_; }             // of the last step()
  std::int64_t bad_input() const noexcept { return bad_input_; }  // of the last step(); -1: none
  // True if no part of the state is NaN or infinite. Cost: one pass over the state; no allocation.
  bool state_is_finite() const noexcept;

  void reset() noexcept;  // sets the state to zeros, the initial state
  // All parts of the state of all layers, [state_size()]: layer by layer, h first. set_state()
  // restores the result of state() bit for bit.
  std::int64_t state_size() const;
  void state(std::span<float> to) const;
  void set_state(std::span<const float> from);

  std::int64_t bytes() const;  // size of weights and state

 private:
  class Layer;
  static std::vector<std::unique_ptr<StreamLayer>> layers_of(std::span<const StepperLayer> layers,
                                                             const StepperOptions& options);
  void swap(Stepper& other) noexcept;
  Stepper() = default;

  StepperOptions options_;
  std::vector<std::unique_ptr<StreamLayer>> layers_;
  std::int64_t inputs_ = 0, outputs_ = 0;
  StepError error_ = StepError::none;
  std::int64_t bad_input_ = -1;
  cpu::RowWeights head_;
  detail::StepBuffer head_bias_, head_result_;
  bool backwards_ = false;  // every second step reads the weights of a layer in reverse order
};

}  // namespace tapeloop
