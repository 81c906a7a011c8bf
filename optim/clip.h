// SPDX-License-Identifier: MIT
// Clipping of gradients before an optimizer's step: by global norm, by the norm of each parameter, by value.
// Parameters without a gradient count for nothing. No heap allocations.
#pragma once

#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::optim {

// What to do about a NaN or an infinity among the gradients.
enum class NonFinite {
  raise,   // throw Error, which names the first such parameter; gradients stay as they are
  ignore,  // return the norm, which is not finite then, and leave gradients as they are: the caller may skip the step
};

// A norm of gradients as a number. On a GPU it is there already, and converting it waits: whoever does not look at it does not
// wait either.
class GradNorm {
 public:
  explicit GradNorm(double value) : value_(value) {}
  explicit GradNorm(const Tensor& there) : there_(there) {}  // one element, float64
  double value() const { return there_.defined() ? there_.item() : value_; }
  operator double() const { return value(); }
  // Without a wait: float64, one element, on the gradients' device. What a CapturedStep can return.
  Tensor tensor() const {
    return there_.defined() ? there_ : Tensor::full({1}, value_, DType::float64);
  }

 private:
  double value_ = 0;
  Tensor there_;
};

// Scales all gradients by one factor, so that their norm comes to at most max_norm:
//   norm = (sum over all elements of |g|^p)^(1/p), max |g| for p = infinity;   factor = max_norm / (norm + 1e-6)
// applied where factor < 1. Returns the norm before clipping, which is added up in float64; max_norm = infinity
// measures and never clips. A gradient that somebody else holds too is replaced, not changed. Throws where max_norm < 0,
// p <= 0, a parameter is listed twice, or a gradient is not finite. Cost: two passes over the gradients.
// On a GPU, for p = 2, everything happens there and nobody waits: a gradient that is not finite is thrown when the host waits
// next, by its name, and until then no optimizer changes a parameter there. Other p wait.
// Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
GradNorm clip_grad_norm(const ParameterList& parameters, double max_norm, double p = 2,
                        NonFinite non_finite = NonFinite::raise);

// The same for each parameter by its own norm. Returns the largest norm before clipping.
GradNorm clip_grad_norm_each(const ParameterList& parameters, double max_norm, double p = 2,
                             NonFinite non_finite = NonFinite::raise);

// Holds each element of the gradients between -limit and limit; NaN stays NaN. Throws where limit < 0.
void clip_grad_value(const ParameterList& parameters, double limit);

}  // namespace tapeloop::optim
