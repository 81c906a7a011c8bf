// SPDX-License-Identifier: MIT
// Clipping of gradients before an optimizer's step: by global norm, by the norm of each parameter,
// by value. Parameters without a gradient are skipped. No heap allocations.
#pragma once

#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::optim {

// What clipping does if a gradient has a NaN or an infinity.
enum class NonFinite {
  // Throw Error, which names the first such parameter; gradients stay unchanged.
  raise,
  // Return the norm, which is not finite, and leave the gradients unchanged. The
  // caller may skip the step.
  ignore,
};

// A norm of gradients. On a GPU the number is in device memory, and the
// conversion to double waits for it.
class GradNorm {
 public:
  explicit GradNorm(double value) : value_(value) {}
  explicit GradNorm(const Tensor& there) : there_(there) {}  // one element, float64
  // The number; on a GPU waits for it.
  double value() const { return there_.defined() ? there_.item() : value_; }
  operator double() const { return value(); }  // value()
  // Does not wait: float64, one element, on the gradients' device. A CapturedStep can return it.
  Tensor tensor() const {
    return there_.defined() ? there_ : Tensor::full({1}, value_, DType::float64);
  }

 private:
  double value_ = 0;
  Tensor there_;
};

// Scales all gradients by one factor, so that their norm is at most max_norm:
//   norm = (sum over all elements of |g|^p)^(1/p), max |g| for p = infinity
//   factor = max_norm / (norm + 1e-6), applied if factor < 1
// Returns the norm before clipping, added up in float64; max_norm = infinity only measures. A
// gradient that somebody else holds too is replaced, not changed. Throws if max_norm <= 0, p <= 0,
// a parameter is listed twice, or a gradient is not finite and `non_finite` is not ignore. PyTorch
// accepts max_norm = 0 and sets all gradients to 0. Cost: two passes over the gradients.
// On a GPU with p = 2 nothing waits. If a gradient is not finite, the next wait of the host throws,
// with the parameter's name; until then optimizer steps on the GPU have no effect. Other p wait.
// Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
GradNorm clip_grad_norm(const ParameterList& parameters, double max_norm, double p = 2,
                        NonFinite non_finite = NonFinite::raise);

// The same for each parameter by its own norm. Returns the largest norm before clipping.
GradNorm clip_grad_norm_each(const ParameterList& parameters, double max_norm, double p = 2,
                             NonFinite non_finite = NonFinite::raise);

// Limits each element of the gradients to [-limit, limit]; NaN stays NaN. Throws if limit <= 0.
void clip_grad_value(const ParameterList& parameters, double limit);

}  // namespace tapeloop::optim
