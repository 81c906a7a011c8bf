// SPDX-License-Identifier: MIT
// Clipping: norms in float64 in a fixed order, then one pointwise pass over each gradient. On the CPU by plain loops; on another
// device squares are added up there and only their sums are read, everything else is rare and done on copies.
#include "optim/clip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/backend.h"
#include "autograd/elementwise.h"
#include "autograd/error.h"
#include "autograd/memory.h"
#include "autograd/pointwise.h"
#include "optim/optimizer.h"

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
  const Tensor here = tensor.to(Device::cpu);
  if (here.dtype() == DType::float32) return work(here.data<float>(), here.numel());
  return work(here.data<double>(), here.numel());
}

// The sum of term(|x|) by several chains, so that additions do not wait for each other.
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

// max |x|; NaN where there is one.
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

// The sum of all squares. Gradients on another device are done there, with one wait for all.
double sum_of_squares(std::span<const Gradient> gradients) {
  const auto square = [](double x) { return x * x; };
  const auto elsewhere = std::find_if(gradients.begin(), gradients.end(), [](const Gradient& g) {
    return g.elements.device() != Device::cpu;
  });
  if (elsewhere == gradients.end()) return sum_over(gradients, square);
  const Device device = elsewhere->elements.device();
  const Tensor sums =
      Tensor::empty({static_cast<std::int64_t>(gradients.size())}, DType::float64, device);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Tensor& elements = gradients[i].elements;
    const Tensor wide = Tensor::empty({elements.numel()}, DType::float64, device);
    wide.copy_from(elements.reshape(wide.shape()));
    transform(formula::Square{}, {wide}, {wide});
    const std::int64_t place = static_cast<std::int64_t>(i);
    backend(device).reduce(Reduction::sum, sums.slice(0, place, place + 1), wide);
  }
  double sum = 0;
  for (const double part : sums.to_vector<double>()) sum += part;
  return sum;
}

double norm_of(std::span<const Gradient> gradients, double p) {
  if (p == 2) {
    double sum = sum_of_squares(gradients);
    if (sum > 1e-280 && sum < kInf)
      return std::sqrt(sum);  // else squares may have over- or underflowed
  }
  double scale = largest(gradients);
  if (p == kInf || scale == 0 || !std::isfinite(scale)) return scale;
  if (p == 1) return sum_over(gradients, [](double x) { return x; });
  if (p == 2)
    return scale *
           std::sqrt(sum_over(gradients, [scale](double x) { return (x / scale) * (x / scale); }));
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
  fail(what, first +
                 "; lower the learning rate or look for log(0), 0/0 and the like in the loss; "
                 "NonFinite::ignore returns the norm instead, to skip the step");
}

void check(const char* what, double max_norm, double p) {
  if (!(max_norm >= 0)) fail(what, fmt::format("max_norm is {}; expected 0 or above", max_norm));
  if (!(p > 0))
    fail(what,
         fmt::format("p is {}; expected a number above 0, or infinity for the largest element", p));
}

// Applies a formula of one number to a gradient: in place, unless somebody else would see it change.
template <class F>
void change(const Var& parameter, const F& formula) {
  Var& gradient = parameter.body()->grad;
  const Tensor& value = gradient.value();
  bool ours = gradient.body()->references.load(std::memory_order_acquire) == 1 &&
              !value.shares_memory_with_others() && value.is_contiguous();
  if (ours) {
    transform(formula, {value}, {value});
  } else {
    Tensor changed = Tensor::empty(value.shape(), value.dtype(), value.device());
    transform(formula, {value}, {changed});
    gradient = Var(std::move(changed));
  }
}

void scale_to(const Var& parameter, double norm, double max_norm) {
  double factor = max_norm / (norm + 1e-6);
  if (factor < 1) change(parameter, formula::Affine{.scale = factor});
}

}  // namespace

double clip_grad_norm(const ParameterList& parameters, double max_norm, double p,
                      NonFinite non_finite) {
  check("clip_grad_norm", max_norm, p);
  Gradients gradients = gradients_of("clip_grad_norm", parameters);
  double norm = norm_of(gradients, p);
  if (!std::isfinite(norm)) {
    if (non_finite == NonFinite::raise) fail_not_finite("clip_grad_norm", gradients);
    return norm;
  }
  for (Gradient& gradient : gradients) {
    gradient.elements = Tensor();  // lets go of the memory, which is then scaled in place
    scale_to(gradient.parameter->var, norm, max_norm);
  }
  return norm;
}

double clip_grad_norm_each(const ParameterList& parameters, double max_norm, double p,
                           NonFinite non_finite) {
  check("clip_grad_norm_each", max_norm, p);
  Gradients gradients = gradients_of("clip_grad_norm_each", parameters);
  PoolVector<double> norms;
  double result = 0;
  for (const Gradient& gradient : gradients) {
    double norm = norm_of({&gradient, 1}, p);
    if (!std::isfinite(norm) && non_finite == NonFinite::raise)
      fail_not_finite("clip_grad_norm_each", gradients);
    if (!(norm <= result) && !std::isnan(result)) result = norm;
    norms.push_back(norm);
  }
  if (!std::isfinite(result)) return result;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    gradients[i].elements = Tensor();
    scale_to(gradients[i].parameter->var, norms[i], max_norm);
  }
  return result;
}

void clip_grad_value(const ParameterList& parameters, double limit) {
  if (!(limit >= 0))
    fail("clip_grad_value", fmt::format("limit is {}; expected 0 or above", limit));
  for (const NamedVar& parameter : parameters) {
    if (!parameter.var.is_parameter()) {
      fail("clip_grad_value",
           fmt::format("\"{}\" is not a parameter and has no gradient", parameter.name));
    }
  }
  for (const NamedVar& parameter : parameters) {
    if (parameter.var.body()->grad.defined()) {
      change(parameter.var, formula::Clamp{.low = -limit, .high = limit});
    }
  }
}

}  // namespace tapeloop::optim
