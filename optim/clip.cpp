// SPDX-License-Identifier: MIT
// Clipping: norms in float64 in a fixed order, then one pointwise pass over each gradient that is
// scaled. With p = 2 and gradients on one device, that device does all of it. Other cases use loops
// of the host, on copies if needed.
#include "tapeloop/optim/clip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/formula/elementwise.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/ops/transform_all.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/optimizer.h"
#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// One gradient, as contiguous elements on its own device.
struct Gradient {
  const NamedVar* parameter;
  Tensor elements;
};
using Gradients = PoolVector<Gradient>;

Gradients gradients_of(const char* what, const ParameterList& parameters) {
  if (detail::Repeated twice = detail::find_repeated(parameters); twice.second >= 0) {
    fail(what,
         fmt::format(
             "one parameter was given twice, as \"{}\" and as \"{}\"; list a shared parameter once",
             parameters[static_cast<std::size_t>(twice.first)].name,
             parameters[static_cast<std::size_t>(twice.second)].name));
  }
  Gradients result;
  result.reserve(parameters.size());
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.is_parameter()) {
      fail(
          what,
          fmt::format(
              "\"{}\" is not a parameter and has no gradient; give the list of an optimizer's or a "
              "model's parameters",
              parameter.name));
    }
    const Var& gradient = parameter.var.body()->grad;
    if (!gradient.defined()) continue;
    result.push_back({&parameter, gradient.value().contiguous()});
  }
  return result;
}

template <class Work>
auto with_elements(const Tensor& tensor, Work work) {
  const Tensor here = tensor.cpu();
  if (here.dtype() == DType::float32) return work(here.read<float>(), here.numel());
  return work(here.read<double>(), here.numel());
}

// The sum of term(|x|) in several independent sums, which the CPU adds in parallel.
template <class Term>
double sum_of(const Tensor& tensor, Term term) {
  return with_elements(tensor, [term](const auto* x, std::int64_t count) {
    constexpr std::int64_t kChains = 8;
    double sums[kChains] = {};
    std::int64_t i = 0;
    for (; i + kChains <= count; i += kChains) {
      for (std::int64_t k = 0; k < kChains; ++k)
        sums[k] += term(std::abs(static_cast<double>(x[i + k])));
    }
    for (; i < count; ++i) sums[i % kChains] += term(std::abs(static_cast<double>(x[i])));
    for (std::int64_t k = 1; k < kChains; ++k) sums[0] += sums[k];
    return sums[0];
  });
}

// max |x|; NaN if there is one.
double largest(std::span<const Gradient> gradients) {
  double result = 0;
  for (const Gradient& gradient : gradients) {
    with_elements(gradient.elements, [&result](const auto* x, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        double size = std::abs(static_cast<double>(x[i]));
        if (!(size <= result) && !std::isnan(result)) result = size;
      }
    });
  }
  return result;
}

template <class Term>
double sum_over(std::span<const Gradient> gradients, Term term) {
  double sum = 0;
  for (const Gradient& gradient : gradients) sum += sum_of(gradient.elements, term);
  return sum;
}

// The norm of gradients on several devices, or with p other than 2.
double norm_of(std::span<const Gradient> gradients, double p) {
  const double scale = largest(gradients);
  if (p == kInf || scale == 0 || !std::isfinite(scale)) return scale;
  if (p == 1) return sum_over(gradients, [](double x) { return x; });
  return scale *
         std::pow(sum_over(gradients, [p, scale](double x) { return std::pow(x / scale, p); }),
                  1 / p);
}

[[noreturn]] void fail_not_finite(const char* what, std::span<const Gradient> gradients) {
  std::string first;
  int more = 0;
  for (const Gradient& gradient : gradients) {
    std::int64_t nans = 0;
    std::int64_t infinities = 0;
    with_elements(gradient.elements, [&](const auto* x, std::int64_t count) {
      for (std::int64_t i = 0; i < count; ++i) {
        nans += std::isnan(x[i]) ? 1 : 0;
        infinities += std::isinf(x[i]) ? 1 : 0;
      }
    });
    if (nans + infinities == 0) continue;
    if (!first.empty()) {
      ++more;
      continue;
    }
    first = fmt::format(
        "in the gradient of \"{}\" ({}) {} of {} elements are not finite ({} NaN, {} infinite)",
        gradient.parameter->name, gradient.elements.describe(), nans + infinities,
        gradient.elements.numel(), nans, infinities);
  }
  if (first.empty())
    fail(what, "the norm of the gradients is above what float64 can hold; scale the loss down");
  if (more > 0) first += fmt::format(", and so it is in {} more", more);
  fail(what,
       first +
           "; lower the learning rate or look for log(0), 0/0 and the like in the loss. To skip "
           "the step, call zero_grad(). clip_grad_norm(parameters, max_norm, 2, "
           "NonFinite::ignore) returns the norm instead of this error");
}

void check(const char* what, double max_norm, double p) {
  if (!(max_norm > 0)) {
    fail(what, fmt::format("max_norm is {}; expected a number above 0, or infinity to measure the "
                           "norm only; to train without clipping, leave the call out",
                           max_norm));
  }
  if (!(p > 0))
    fail(what,
         fmt::format("p is {}; expected a number above 0, or infinity for the largest element", p));
}

// True if nobody else holds the gradient, so that it can be changed in place.
bool is_ours(const Var& gradient) {
  return gradient.body()->references.load(std::memory_order_acquire) == 1 &&
         !gradient.value().shares_memory_with_others() && gradient.value().is_contiguous();
}

// gradient = formula(gradient)
template <class F>
void change(TransformAll& all, const Var& parameter, const F& formula) {
  Var& gradient = parameter.body()->grad;
  const Tensor& value = gradient.value();
  if (is_ours(gradient)) return all.add(formula, {value}, {value});
  Tensor changed = Tensor::empty(value.shape(), value.dtype(), value.device());
  transform(formula, {value}, {changed});
  gradient = Var(std::move(changed));
}

// gradient = gradient * factor; the factor is a scalar on the gradient's device.
void scale_by(TransformAll& all, const Var& parameter, const Tensor& factor) {
  Var& gradient = parameter.body()->grad;
  const Tensor& value = gradient.value();
  if (is_ours(gradient)) return all.add(formula::Mul{}, {value, factor}, {value});
  gradient = Var(value) * Var(factor);
}

void scale_to(const Var& parameter, double norm, double max_norm) {
  double factor = max_norm / (norm + 1e-6);
  if (!(factor < 1)) return;
  TransformAll all;
  change(all, parameter, formula::Scale{factor});
  all.run();
}

bool on_one_device(std::span<const Gradient> gradients) {
  return std::all_of(gradients.begin(), gradients.end(), [&](const Gradient& g) {
    return g.elements.device() == gradients[0].elements.device();
  });
}

// True if the host can read the factors, and this one is 1.
bool is_known_one(const Tensor& factors, std::int64_t place) {
  return factors.on_host() && factors.read<double>()[place] == 1;
}

// Clips by the Euclidean norm of all gradients, or of `each`, on their device. The host does not
// wait for a GPU. The factors are on that device, in the element type of their gradients.
GradNorm clip_on_device(const char* what, Gradients& gradients, double max_norm,
                        NonFinite non_finite, bool each) {
  const Device device = gradients[0].elements.device();
  const std::int64_t count = static_cast<std::int64_t>(gradients.size());
  PoolVector<Tensor> tensors;
  for (const Gradient& gradient : gradients) tensors.push_back(gradient.elements);
  const Tensor norms = Tensor::empty({count + 1}, DType::float64, device);
  const bool raise = non_finite == NonFinite::raise;
  PoolVector<std::string_view> names;
  if (raise && !norms.on_host()) {
    for (const Gradient& gradient : gradients) names.push_back(gradient.parameter->name);
  }
  backend(device).norms(norms, tensors, names);
  // The number that must be finite: the norm of all, or the largest one.
  const Tensor total =
      each ? max(Var(norms.slice(0, 0, count)), {0}).value() : norms.select(0, count).clone();
  if (raise && total.on_host() && !std::isfinite(total.item())) fail_not_finite(what, gradients);
  tensors.clear();
  // Releases the memory, so that the gradients can be changed in place.
  for (Gradient& gradient : gradients) gradient.elements = Tensor();
  const Tensor factors = Tensor::empty({count + 1}, DType::float64, device);
  transform(rule::ClipFactor{max_norm}, {norms, total.reshape({1}).expand(norms.shape())},
            {factors});
  Tensor single;  // the factors in float32, if a gradient needs them
  TransformAll all;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t place = each ? i : count;
    if (is_known_one(factors, place)) continue;
    const Var& parameter = gradients[static_cast<std::size_t>(i)].parameter->var;
    const bool narrow = parameter.body()->grad.dtype() == DType::float32;
    if (narrow && !single.defined()) single = factors.to(DType::float32);
    scale_by(all, parameter, (narrow ? single : factors).select(0, place));
  }
  all.run();
  return GradNorm(total);
}

}  // namespace

GradNorm clip_grad_norm(const ParameterList& parameters, double max_norm, double p,
                        NonFinite non_finite) {
  check("clip_grad_norm", max_norm, p);
  Gradients gradients = gradients_of("clip_grad_norm", parameters);
  if (gradients.empty()) return GradNorm(0.0);
  if (p == 2 && on_one_device(gradients)) {
    return clip_on_device("clip_grad_norm", gradients, max_norm, non_finite, false);
  }
  double norm = norm_of(gradients, p);
  if (!std::isfinite(norm)) {
    if (non_finite == NonFinite::raise) fail_not_finite("clip_grad_norm", gradients);
    return GradNorm(norm);
  }
  for (Gradient& gradient : gradients) {
    gradient.elements = Tensor();  // releases the memory, so that it can be scaled in place
    scale_to(gradient.parameter->var, norm, max_norm);
  }
  return GradNorm(norm);
}

GradNorm clip_grad_norm_each(const ParameterList& parameters, double max_norm, double p,
                             NonFinite non_finite) {
  check("clip_grad_norm_each", max_norm, p);
  Gradients gradients = gradients_of("clip_grad_norm_each", parameters);
  if (gradients.empty()) return GradNorm(0.0);
  if (p == 2 && on_one_device(gradients)) {
    return clip_on_device("clip_grad_norm_each", gradients, max_norm, non_finite, true);
  }
  PoolVector<double> norms;
  double result = 0;
  for (const Gradient& gradient : gradients) {
    double norm = norm_of({&gradient, 1}, p);
    if (!std::isfinite(norm) && non_finite == NonFinite::raise)
      fail_not_finite("clip_grad_norm_each", gradients);
    if (!(norm <= result) && !std::isnan(result)) result = norm;
    norms.push_back(norm);
  }
  if (!std::isfinite(result)) return GradNorm(result);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    gradients[i].elements = Tensor();
    scale_to(gradients[i].parameter->var, norms[i], max_norm);
  }
  return GradNorm(result);
}

void clip_grad_value(const ParameterList& parameters, double limit) {
  if (!(limit > 0)) {
    fail("clip_grad_value", fmt::format("limit is {}; expected a number above 0; to train without "
                                        "clipping, leave the call out",
                                        limit));
  }
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.is_parameter()) {
      fail("clip_grad_value",
           fmt::format("\"{}\" is not a parameter and has no gradient", parameter.name));
    }
  }
  TransformAll all;
  for (const NamedVar& parameter : parameters) {
    if (parameter.var.body()->grad.defined()) {
      change(all, parameter.var, formula::Clamp{.low = -limit, .high = limit});
    }
  }
  all.run();
}

}  // namespace tapeloop::optim
