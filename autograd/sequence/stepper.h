// SPDX-License-Identifier: MIT
// Stepper: a trained recurrent model for one stream, one time step per call: in an audio callback, a control loop, a
// game. Float32, or with weights in bfloat16; no gradients, no batch. nn::make_stepper (nn/recurrent/stepper.h) builds one from a
// model.
//   I input size, H hidden size, O output size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tapeloop/autograd/device/cpu/row_weights.h"
#include "tapeloop/autograd/sequence/recurrent.h"

namespace tapeloop {

// One layer: h', ... = recurrence(w_in x + b_in, h, ...).
struct StepperLayer {
  Recurrence recurrence;
  Tensor w_in;  // [G*H, I]
  Tensor b_in;  // [G*H]
};

// bfloat16: each weight is rounded once, to the nearest, by 1 part in 256 at most; half the memory to read in a step, so
// up to twice the speed where the weights do not fit a core's first cache. Biases, state and sums stay float32.
struct StepperOptions {
  Weights weights = Weights::float32;
  // step() refuses an x with NaN or infinity. Costs one pass over x.
  bool check_inputs = false;
};

class Stepper {
 public:
  // Takes a snapshot: later changes of the weights do not show. A head [O, H] maps the last layer's h to the output; where
  // it is undefined the output is h itself. Throws where shapes do not fit or a tensor is not float32.
  Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight = {},
          const Tensor& head_bias = {}, const StepperOptions& options = {});

  Stepper(const Stepper&) = delete;  // one stream, one Stepper
  Stepper& operator=(const Stepper&) = delete;
  Stepper(Stepper&& other) noexcept;  // `other` then has no layers and refuses steps
  Stepper& operator=(Stepper&& other) noexcept;

  std::int64_t input_size() const { return layers_.empty() ? 0 : layers_.front().inputs; }
  std::int64_t output_size() const { return outputs_; }
  Weights weights() const { return options_.weights; }

  // x [I] -> y [O], and the state moves on. No allocation, no lock, no system call; throws nothing. Spans of other sizes
  // are an error of the program: nothing is computed, and false returned. A layer costs one product of its [x; h]
  // with all of its weights, which are read once, and its formula.
  // A NaN in x stays in the state, and so in every later y, until reset() or set_state();
  // state_is_finite() shows it. With options.check_inputs, a step whose x holds NaN or infinity
  // returns false too and changes neither the state nor y. bad_input() then says which element it
  // was.
  bool step(std::span<const float> x, std::span<float> y) noexcept;
  std::int64_t bad_input() const noexcept { return bad_input_; }  // of the last step(); -1: none
  // True if no part of the state is NaN or infinite. Cost: one pass over the state; no allocation.
  bool state_is_finite() const noexcept;

  void reset() noexcept;  // the state to zeros, as at the beginning
  // All parts of all layers, [state_size()]: layer by layer, h first. Puts back what state() gave, bit for bit.
  std::int64_t state_size() const;
  void state(std::span<float> to) const;
  void set_state(std::span<const float> from);

  std::int64_t bytes() const;  // of weights and state

 private:
  // Aligned to a register, a whole number of them long.
  class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(std::int64_t size) : storage_(Tensor::zeros({size})) {}
    float* data() { return static_cast<float*>(storage_.raw()); }
    const float* data() const { return static_cast<const float*>(storage_.raw()); }
    std::int64_t size() const { return storage_.defined() ? storage_.numel() : 0; }

   private:
    Tensor storage_;
  };
  struct Layer {
    const PointwiseKernel* kernel;
    detail::FormulaBytes formula;
    std::int64_t inputs, hidden, padded;  // I, H, and H rounded up to whole registers
    int gates;
    bool takes_h;
    Buffer
        hx;  // h, then x; the formula fills the register that h ends in, so x is put there before each product
    cpu::RowWeights weights;    // of [h; x], or of x alone where products are apart
    cpu::RowWeights h_weights;  // of h, where apart
    Buffer bias, z, h_bias, h_z;
    std::vector<Buffer> parts;  // of the state, but h
    float* h() { return hx.data(); }
    const float* h() const { return hx.data(); }
    float* x() { return hx.data() + hidden; }
  };
  static Buffer filled(const Tensor& bias, std::int64_t size);  // to whole registers
  static Layer make_layer(const StepperLayer& given, Weights format);
  static void run(Layer& layer, bool backwards) noexcept;

  void swap(Stepper& other) noexcept;
  Stepper() = default;

  StepperOptions options_;
  std::vector<Layer> layers_;
  std::int64_t outputs_ = 0;
  std::int64_t bad_input_ = -1;
  cpu::RowWeights head_;
  Buffer head_bias_, head_result_;
  bool backwards_ = false;  // every second step reads each layer's weights from the other end
};

}  // namespace tapeloop
