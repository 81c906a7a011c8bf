// SPDX-License-Identifier: MIT
// FORMULA PAGE: the update rule of every optimizer, each written once, element by element.
// p is the parameter, g its gradient; the state follows. Returns p' and the new
// state. Not differentiated.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::optim::rule {

// The gradient that every rule uses: g' = sign g + weight_decay p, where sign is -1 to maximize.
struct Descent {
  double learning_rate = 0;
  double weight_decay = 0;
  double sign = 1;
  TL_HD auto gradient(auto p, auto g) const { return sign * g + weight_decay * p; }
};

// p' = p - lr g'
struct Sgd {
  static constexpr const char* name = "sgd";
  static constexpr bool differentiable = false;
  Descent descent;
  TL_HD auto operator()(auto p, auto g) const {
    return p - descent.learning_rate * descent.gradient(p, g);
  }
};

// b' = momentum b + share g';  p' = p - lr b'
struct SgdMomentum {
  static constexpr const char* name = "sgd";
  static constexpr bool differentiable = false;
  Descent descent;
  double momentum = 0;
  double share = 1;  // of the gradient in the buffer: 1 at the first step, then 1 - dampening
  TL_HD auto operator()(auto p, auto g, auto b) const {
    auto b_next = momentum * b + share * descent.gradient(p, g);
    return outputs(p - descent.learning_rate * b_next, b_next);
  }
};

// b' = momentum b + g';  p' = p - lr (g' + momentum b')
struct Nesterov {
  static constexpr const char* name = "nag";
  static constexpr bool differentiable = false;
  Descent descent;
  double momentum = 0;
  TL_HD auto operator()(auto p, auto g, auto b) const {
    auto gradient = descent.gradient(p, g);
    auto b_next = momentum * b + gradient;
    return outputs(p - descent.learning_rate * (gradient + momentum * b_next), b_next);
  }
};

// Running averages of RMSprop:  v' = alpha v + (1 - alpha) g'^2,  m' = alpha m + (1 - alpha) g'
struct RunningMean {
  double alpha = 0;
  double epsilon = 0;
  TL_HD auto next(auto mean, auto x) const { return alpha * mean + (1.0 - alpha) * x; }
  TL_HD auto scale(auto v) const { return sqrt(v) + epsilon; }
  // v - m^2 is a variance; rounding can make it negative.
  TL_HD auto centered_scale(auto v, auto m) const {
    return sqrt(max(v - square(m), 0.0)) + epsilon;
  }
};

// p' = p - lr g' / (sqrt(v') + epsilon)
struct RmsProp {
  static constexpr const char* name = "rmsprop";
  static constexpr bool differentiable = false;
  Descent descent;
  RunningMean mean;
  TL_HD auto operator()(auto p, auto g, auto v) const {
    auto gradient = descent.gradient(p, g);
    auto v_next = mean.next(v, square(gradient));
    return outputs(p - descent.learning_rate * (gradient / mean.scale(v_next)), v_next);
  }
};

// b' = momentum b + g' / (sqrt(v') + epsilon);  p' = p - lr b'
struct RmsPropMomentum {
  static constexpr const char* name = "rmsprop";
  static constexpr bool differentiable = false;
  Descent descent;
  RunningMean mean;
  double momentum = 0;
  TL_HD auto operator()(auto p, auto g, auto v, auto b) const {
    auto gradient = descent.gradient(p, g);
    auto v_next = mean.next(v, square(gradient));
    auto b_next = momentum * b + gradient / mean.scale(v_next);
    return outputs(p - descent.learning_rate * b_next, v_next, b_next);
  }
};

// p' = p - lr g' / (sqrt(v' - m'^2) + epsilon)
struct RmsPropCentered {
  static constexpr const char* name = "rmsprop";
  static constexpr bool differentiable = false;
  Descent descent;
  RunningMean mean;
  TL_HD auto operator()(auto p, auto g, auto v, auto m) const {
    auto gradient = descent.gradient(p, g);
    auto v_next = mean.next(v, square(gradient));
    auto m_next = mean.next(m, gradient);
    return outputs(p - descent.learning_rate * (gradient / mean.centered_scale(v_next, m_next)),
                   v_next, m_next);
  }
};

// b' = momentum b + g' / (sqrt(v' - m'^2) + epsilon);  p' = p - lr b'
struct RmsPropCenteredMomentum {
  static constexpr const char* name = "rmsprop";
  static constexpr bool differentiable = false;
  Descent descent;
  RunningMean mean;
  double momentum = 0;
  TL_HD auto operator()(auto p, auto g, auto v, auto m, auto b) const {
    auto gradient = descent.gradient(p, g);
    auto v_next = mean.next(v, square(gradient));
    auto m_next = mean.next(m, gradient);
    auto b_next = momentum * b + gradient / mean.centered_scale(v_next, m_next);
    return outputs(p - descent.learning_rate * b_next, v_next, m_next, b_next);
  }
};

// m' = beta1 m + (1 - beta1) g';  v' = beta2 v + (1 - beta2) g'^2
// p' = (1 - shrink) p - step m' / (sqrt(v') scale + epsilon)
//   step = lr / (1 - beta1^t), scale = 1 / sqrt(1 - beta2^t)
//   shrink = lr weight_decay with decoupled decay, else 0
struct Adam {
  static constexpr const char* name = "adam";
  static constexpr bool differentiable = false;
  Descent descent;  // its learning rate is `step`
  double beta1 = 0;
  double beta2 = 0;
  double scale = 1;
  double epsilon = 0;
  double shrink = 0;
  TL_HD auto operator()(auto p, auto g, auto m, auto v) const {
    auto gradient = descent.gradient(p, g);
    auto m_next = beta1 * m + (1.0 - beta1) * gradient;
    auto v_next = beta2 * v + (1.0 - beta2) * square(gradient);
    auto kept = p - shrink * p;
    return outputs(kept - descent.learning_rate * (m_next / (sqrt(v_next) * scale + epsilon)),
                   m_next, v_next);
  }
};

// Adam with w' = max(w, v'), the largest v so far, instead of v' in p'.
struct AmsGrad {
  static constexpr const char* name = "amsgrad";
  static constexpr bool differentiable = false;
  Adam adam;
  TL_HD auto operator()(auto p, auto g, auto m, auto v, auto w) const {
    auto gradient = adam.descent.gradient(p, g);
    auto m_next = adam.beta1 * m + (1.0 - adam.beta1) * gradient;
    auto v_next = adam.beta2 * v + (1.0 - adam.beta2) * square(gradient);
    auto w_next = max(w, v_next);
    auto kept = p - adam.shrink * p;
    return outputs(
        kept - adam.descent.learning_rate * (m_next / (sqrt(w_next) * adam.scale + adam.epsilon)),
        m_next, v_next, w_next);
  }
};

// The factor by which clipping multiplies a gradient of this norm. 1 if `total`, the norm of all
// gradients, is not finite.
struct ClipFactor {
  static constexpr const char* name = "clip";
  static constexpr bool differentiable = false;
  double max_norm = 0;
  TL_HD auto operator()(auto norm, auto total) const {
    auto factor = max_norm / (norm + 1e-6);
    return select((total - total) < 1.0, select(factor < 1.0, factor, 1.0), 1.0);
  }
};

// s' = s + g'^2;  p' = p - lr g' / (sqrt(s') + epsilon)
struct Adagrad {
  static constexpr const char* name = "adagrad";
  static constexpr bool differentiable = false;
  Descent descent;
  double epsilon = 0;
  TL_HD auto operator()(auto p, auto g, auto s) const {
    auto gradient = descent.gradient(p, g);
    auto s_next = s + square(gradient);
    return outputs(p - descent.learning_rate * (gradient / (sqrt(s_next) + epsilon)), s_next);
  }
};

}  // namespace tapeloop::optim::rule

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {

namespace optim {
struct UpdatesPage
    : Page<rule::Sgd, rule::SgdMomentum, rule::Nesterov, rule::RmsProp, rule::RmsPropMomentum,
           rule::RmsPropCentered, rule::RmsPropCenteredMomentum, rule::Adam, rule::AmsGrad,
           rule::Adagrad, rule::ClipFactor> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace optim

template <class F>
requires(optim::UpdatesPage::contains<F>) struct PageOf<F> {
  using type = optim::UpdatesPage;
};

}  // namespace tapeloop
