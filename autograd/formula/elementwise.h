// SPDX-License-Identifier: MIT
// FORMULA PAGE: the built-in pointwise operations. Each formula is written once; its kernels and
// derivatives are made from it.
// Inputs and results are elements of tensors that broadcast with each other. Settings are members.
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::formula {

// --- arithmetic ---
struct Add {
  static constexpr const char* name = "add";
  TL_HD auto operator()(auto a, auto b) const { return a + b; }
};
struct Sub {
  static constexpr const char* name = "sub";
  TL_HD auto operator()(auto a, auto b) const { return a - b; }
};
struct Mul {
  static constexpr const char* name = "mul";
  static constexpr bool for_many = true;
  TL_HD auto operator()(auto a, auto b) const { return a * b; }
};
struct Div {
  static constexpr const char* name = "div";
  TL_HD auto operator()(auto a, auto b) const { return a / b; }
};
struct Affine {  // scale x + shift: x + 2, x - 2, 2 - x
  static constexpr const char* name = "add";
  double scale = 1;
  double shift = 0;
  TL_HD auto operator()(auto x) const { return x * scale + shift; }
};
struct Negate {  // -x; changes the sign of zero too
  static constexpr const char* name = "neg";
  TL_HD auto operator()(auto x) const { return -x; }
};
struct Scale {  // factor x
  static constexpr const char* name = "mul";
  double factor = 1;
  TL_HD auto operator()(auto x) const { return x * factor; }
};
struct DivBy {  // x / divisor
  static constexpr const char* name = "div";
  double divisor = 1;
  TL_HD auto operator()(auto x) const { return x / divisor; }
};
struct DivInto {  // numerator / x
  static constexpr const char* name = "div";
  double numerator = 1;
  TL_HD auto operator()(auto x) const { return numerator / x; }
};
struct Pow {  // d/da a^b = b a^(b-1), and 0 where b = 0; d/db a^b = a^b log a, and 0 where a = 0
  static constexpr const char* name = "pow";
  TL_HD auto operator()(auto a, auto b) const { return pow(a, b); }
};
struct PowConstant {
  static constexpr const char* name = "pow";
  double exponent = 1;
  TL_HD auto operator()(auto x) const { return pow(x, exponent); }
};
// The product of two derivatives: 0 if either one is 0, even if the other is infinite or NaN.
struct ChainProduct {
  static constexpr const char* name = "mul";
  TL_HD auto operator()(auto a, auto b) const { return zero_safe_product(a, b); }
};
struct Max {  // where a = b, half of the gradient goes to each
  static constexpr const char* name = "max";
  TL_HD auto operator()(auto a, auto b) const { return max(a, b); }
};
struct Min {
  static constexpr const char* name = "min";
  TL_HD auto operator()(auto a, auto b) const { return min(a, b); }
};

struct Clamp {  // derivative 1 from low to high, 0 outside
  static constexpr const char* name = "clamp";
  static constexpr bool for_many = true;
  double low = 0;
  double high = 1;
  TL_HD auto operator()(auto x) const { return clamp(x, low, high); }
};
// --- activations; the functions of functions.h are formulas, too ---
struct Relu {
  static constexpr const char* name = "relu";
  TL_HD auto operator()(auto x) const { return relu(x); }
};
struct LeakyRelu {
  static constexpr const char* name = "leaky_relu";
  double slope = 0.01;
  TL_HD auto operator()(auto x) const { return leaky_relu(x, slope); }
};
struct Elu {
  static constexpr const char* name = "elu";
  double alpha = 1;
  TL_HD auto operator()(auto x) const { return elu(x, alpha); }
};
struct Gelu {
  static constexpr const char* name = "gelu";
  TL_HD auto operator()(auto x) const { return gelu(x); }
};
struct Silu {
  static constexpr const char* name = "silu";
  TL_HD auto operator()(auto x) const { return silu(x); }
};
struct Softsign {
  static constexpr const char* name = "softsign";
  TL_HD auto operator()(auto x) const { return softsign(x); }
};

// --- choice: in a mask, 0 means no and every other number yes; a mask gets no gradient ---
struct Select {
  static constexpr const char* name = "select";
  TL_HD auto operator()(auto mask, auto yes, auto no) const { return select(mask == 0.0, no, yes); }
};
struct Less {
  static constexpr const char* name = "less";
  TL_HD auto operator()(auto a, auto b) const { return select(a < b, 1.0, 0.0); }
};
struct Equal {
  static constexpr const char* name = "equal";
  TL_HD auto operator()(auto a, auto b) const { return select(a == b, 1.0, 0.0); }
};

// --- losses, element by element (x the prediction, t the target) ---
struct SquaredError {
  static constexpr const char* name = "squared_error";
  TL_HD auto operator()(auto x, auto t) const { return square(x - t); }
};
struct AbsoluteError {
  static constexpr const char* name = "absolute_error";
  TL_HD auto operator()(auto x, auto t) const { return abs(x - t); }
};
struct Huber {  // 0.5 e^2 for |e| <= delta, delta (|e| - 0.5 delta) beyond. Huber 1964
  static constexpr const char* name = "huber";
  double delta = 1;
  TL_HD auto operator()(auto x, auto t) const {
    auto e = x - t;
    return select(abs(e) <= delta, 0.5 * square(e), delta * (abs(e) - 0.5 * delta));
  }
};
// -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)). The shorter softplus(x) - t x would round a
// small loss away.
struct BceWithLogits {
  static constexpr const char* name = "bce_with_logits";
  TL_HD auto operator()(auto x, auto t) const { return t * softplus(-x) + (1.0 - t) * softplus(x); }
};
struct KlTerm {  // t (log t - x) for log-probabilities x; 0 where t = 0, NaN where t < 0
  static constexpr const char* name = "kl_term";
  TL_HD auto operator()(auto x, auto t) const {
    auto log_t = log(select(t == 0.0, 1.0, t));
    return select(t == 0.0, 0.0, t * (log_t - x));
  }
};

// One time step of the forward variables of CTC, in logarithms. Graves et al. 2006
//   a' = log(e^a + e^before + [skip] e^two_before) + emission
// A state is reached from itself, from the state before it and, if `skip` is above 0, from the one
// before that. If `running` is 0, the state does not change. An impossible state has -1e30, whose
// exp adds nothing to a sum.
struct CtcStep {
  static constexpr const char* name = "ctc_step";
  TL_HD auto operator()(auto a, auto before, auto two_before, auto skip, auto emission,
                        auto running) const {
    auto skipped = select(skip > 0.0, two_before, -1e30);
    auto m = max(max(a, before), skipped);
    auto reached = m + log(exp(a - m) + exp(before - m) + exp(skipped - m));
    return select(running > 0.0, reached + max(emission, -1e30), a);
  }
};

// --- parts of structured operations ---
struct Centered {  // exp(x - m), m the largest of its row
  static constexpr const char* name = "exp_centered";
  TL_HD auto operator()(auto x, auto m) const { return exp(x - m); }
};
struct SoftmaxGradient {  // y (dy - s), s = sum(y dy) of the row
  static constexpr const char* name = "softmax_gradient";
  TL_HD auto operator()(auto y, auto dy, auto s) const { return zero_safe_product(y, dy - s); }
};
struct LogSoftmaxGradient {  // dy - e^y s, s = sum(dy) of the row
  static constexpr const char* name = "log_softmax_gradient";
  TL_HD auto operator()(auto y, auto dy, auto s) const { return dy - zero_safe_product(exp(y), s); }
};
// dy e^((x - m) - y), where m is the shift of the row and y = logsumexp(x) - m. If all of a row of
// x is -inf, then y = -inf and the gradient is 0: the limit for logits that fall together.
struct LogSumExpGradient {
  static constexpr const char* name = "logsumexp_gradient";
  TL_HD auto operator()(auto x, auto m, auto y, auto dy) const {
    auto share = select(y == -INFINITY, 0.0, exp((x - m) - y));
    return zero_safe_product(dy, share);
  }
};
struct Standardize {  // (x - mean) / sqrt(var + epsilon)
  static constexpr const char* name = "standardize";
  double epsilon = 1e-5;
  TL_HD auto operator()(auto x, auto mean, auto var) const {
    return (x - mean) / sqrt(var + epsilon);
  }
};
struct ScaleShift {
  static constexpr const char* name = "scale_shift";
  TL_HD auto operator()(auto x, auto scale, auto shift) const { return x * scale + shift; }
};
struct KeepScaled {  // dropout: x / (1 - p) where the random number u >= p, else 0
  static constexpr const char* name = "dropout";
  double p = 0.5;
  TL_HD auto operator()(auto x, auto u) const { return select(u < p, 0.0, x * (1.0 / (1.0 - p))); }
};

}  // namespace tapeloop::formula

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop {

// Three pages, so that a change recompiles only a third of the kernels.
struct ArithmeticPage
    : Page<formula::Add, formula::Sub, formula::Mul, formula::Div, formula::Affine, formula::Negate,
           formula::Scale, formula::DivBy, formula::DivInto, formula::ChainProduct, formula::Pow,
           formula::PowConstant, formula::Max, formula::Min, formula::Clamp, formula::Select,
           formula::Less, formula::Equal, formula::Relu, formula::LeakyRelu, formula::Elu,
           formula::Gelu, formula::Silu, formula::Softsign> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
struct FunctionPage : formula::Functions {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
struct LossPage
    : Page<formula::SquaredError, formula::AbsoluteError, formula::Huber, formula::BceWithLogits,
           formula::KlTerm, formula::CtcStep, formula::Centered, formula::SoftmaxGradient,
           formula::LogSoftmaxGradient, formula::LogSumExpGradient, formula::Standardize,
           formula::ScaleShift, formula::KeepScaled> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};

template <class F>
requires(ArithmeticPage::contains<F>) struct PageOf<F> {
  using type = ArithmeticPage;
};
template <class F>
requires(FunctionPage::contains<F>) struct PageOf<F> {
  using type = FunctionPage;
};
template <class F>
requires(LossPage::contains<F>) struct PageOf<F> {
  using type = LossPage;
};

}  // namespace tapeloop
