// SPDX-License-Identifier: MIT
// Stepper: a trained recurrent model for one stream, one time step per call: in an audio callback, a control loop, a
// game. Float32, no gradients, no batch. nn::make_stepper (nn/stepper.h) builds one from a model.
//   I input size, H hidden size, O output size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/recurrent.h"

namespace tapeloop {

// One layer: h', ... = recurrence(w_in x + b_in, h, ...).
struct StepperLayer {
  Recurrence recurrence;
  Tensor w_in;  // [G*H, I]
  Tensor b_in;  // [G*H]
};

class Stepper {
 public:
  // Takes a snapshot: later changes of the weights do not show. A head [O, H] maps the last layer's h to the output; where
  // it is undefined the output is h itself. Throws where shapes do not fit or a tensor is not float32.
  Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight = {},
          const Tensor& head_bias = {});

  Stepper(const Stepper&) = delete;  // one stream, one Stepper
  Stepper& operator=(const Stepper&) = delete;
  Stepper(Stepper&&) = default;
  Stepper& operator=(Stepper&&) = default;

  std::int64_t input_size() const { return layers_.front().inputs; }
  std::int64_t output_size() const { return outputs_; }

  // x [I] -> y [O], and the state moves on. No allocation, no lock, no system call; throws nothing. Spans of other sizes
  // are an error of the program: nothing is computed, and false returned. A layer costs one product of its [x; h]
  // with all of its weights, which are read once, and its formula.
  bool step(std::span<const float> x, std::span<float> y) noexcept;

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
    bool apart, takes_h;
    Buffer xh;                      // x, then h with room for whole registers
    Buffer weights, bias, z;        // of [x; h], or of x alone where products are apart
    Buffer h_weights, h_bias, h_z;  // of h, where apart
    std::vector<Buffer> parts;      // of the state, but h
    float* h() { return xh.data() + inputs; }
    const float* h() const { return xh.data() + inputs; }
  };
  static Layer make_layer(const StepperLayer& given);
  static void run(Layer& layer) noexcept;

  std::vector<Layer> layers_;
  std::int64_t outputs_ = 0;
  Buffer head_, head_bias_, head_result_;
};

}  // namespace tapeloop
