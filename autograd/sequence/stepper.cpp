// SPDX-License-Identifier: MIT
// The layers of a Stepper one after the other, and its head. stepper_layer.h has one layer.
#include "tapeloop/autograd/sequence/stepper_layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

std::int64_t width() { return cpu::kernels().of<float>().panel_width; }
std::int64_t padded_size(std::int64_t n) { return (n + width() - 1) / width() * width(); }

void check_float(const char* what, const Tensor& tensor, const Shape& shape) {
  if (tensor.defined() && tensor.dtype() == DType::float32 && tensor.on_host() &&
      tensor.shape() == shape) {
    return;
  }
  const char* advice = "";
  if (tensor.defined() && tensor.dtype() != DType::float32) {
    advice = "; convert the model by nn::convert(model, DType::float32)";
  } else if (!tensor.on_host()) {
    advice = "; move the model by nn::move(model, Device::cpu)";
  }
  fail("stepper",
       fmt::format("{} is {}, expected float32{} on the cpu{}", what,
                   tensor.defined() ? tensor.describe() : "undefined", shape.str(), advice));
}

}  // namespace

static void check_format(const StepperOptions& options) {
  if (options.weights != Weights::float32 && options.weights != Weights::bfloat16) {
    fail("stepper", fmt::format("options.weights is {}, expected Weights::float32 or "
                                "Weights::bfloat16",
                                static_cast<int>(options.weights)));
  }
}

std::vector<std::unique_ptr<StreamLayer>> Stepper::layers_of(std::span<const StepperLayer> layers,
                                                             const StepperOptions& options) {
  check_format(options);
  std::vector<std::unique_ptr<StreamLayer>> result;
  for (const StepperLayer& given : layers) {
    result.push_back(std::make_unique<Layer>(given, options.weights));
  }
  return result;
}

Stepper::Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight,
                 const Tensor& head_bias, const StepperOptions& options)
    : Stepper(layers_of(layers, options), head_weight, head_bias, options) {}

Stepper::Stepper(std::vector<std::unique_ptr<StreamLayer>> layers, const Tensor& head_weight,
                 const Tensor& head_bias, const StepperOptions& options)
    : options_(options), layers_(std::move(layers)) {
  check_format(options);
  if (layers_.empty()) fail("stepper", "no layers were given; expected at least one");
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (i > 0 && layers_[i]->inputs() != outputs_) {
      fail("stepper", fmt::format("layer {} takes {} inputs, the one below it has {} hidden units",
                                  i, layers_[i]->inputs(), outputs_));
    }
    outputs_ = layers_[i]->outputs();
  }
  inputs_ = layers_.front()->inputs();
  if (!head_weight.defined()) {
    if (head_bias.defined())
      fail("stepper", "the head has a bias, but no weight; give both or neither");
    return;
  }
  if (head_weight.rank() != 2 || head_weight.dim(0) < 1) {
    fail("stepper",
         fmt::format("the head's weight is {}, expected [O, {}] with at least one output",
                     head_weight.shape().str(), layers_.back()->outputs()));
  }
  outputs_ = head_weight.dim(0);
  check_float("the head's weight", head_weight, {outputs_, layers_.back()->outputs()});
  if (head_bias.defined()) check_float("the head's bias", head_bias, {outputs_});
  head_ = cpu::RowWeights(std::array{head_weight}, options.weights);
  head_bias_ = detail::StepBuffer(padded_size(outputs_));
  if (head_bias.defined()) {
    const std::vector<float> values = head_bias.to_vector<float>();
    std::copy(values.begin(), values.end(), head_bias_.data());
  }
  head_result_ = detail::StepBuffer(head_bias_.size());
}

Stepper::Stepper(Stepper&& other) noexcept { swap(other); }

Stepper::~Stepper() = default;

Stepper& Stepper::operator=(Stepper&& other) noexcept {
  Stepper taken(std::move(other));
  swap(taken);
  return *this;
}

void Stepper::swap(Stepper& other) noexcept {
  std::swap(options_, other.options_);
  layers_.swap(other.layers_);
  std::swap(inputs_, other.inputs_);
  std::swap(outputs_, other.outputs_);
  std::swap(bad_input_, other.bad_input_);
  std::swap(head_, other.head_);
  std::swap(head_bias_, other.head_bias_);
  std::swap(head_result_, other.head_result_);
  std::swap(backwards_, other.backwards_);
  std::swap(error_, other.error_);
}

const char* text_of(StepError error) noexcept {
  switch (error) {
    case StepError::none: return "";
    case StepError::no_layers: return "the stepper was moved from; use the one that it moved to";
    case StepError::input_size: return "x has another size; give input_size() numbers";
    case StepError::output_size: return "y has another size; give room for output_size() numbers";
    case StepError::not_finite: return "x[bad_input()] is NaN or infinite; leave out this x";
  }
  return "";
}

bool Stepper::step(std::span<const float> x, std::span<float> y) noexcept {
  bad_input_ = -1;
  const auto refuse = [&](StepError error) {
    error_ = error;
    return false;
  };
  if (layers_.empty()) return refuse(StepError::no_layers);
  if (static_cast<std::int64_t>(x.size()) != inputs_) return refuse(StepError::input_size);
  if (static_cast<std::int64_t>(y.size()) != outputs_) return refuse(StepError::output_size);
  if (options_.check_inputs) {
    const auto bad = std::find_if_not(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
    if (bad != x.end()) {
      bad_input_ = bad - x.begin();
      return refuse(StepError::not_finite);
    }
  }
  error_ = StepError::none;
  const float* below = x.data();
  for (const auto& layer : layers_) {
    below = layer->step(below, backwards_);
  }
  backwards_ = !backwards_;
  if (head_.defined()) {
    head_.multiply(below, head_bias_.data(), head_result_.data(), false);
    below = head_result_.data();
  }
  std::memcpy(y.data(), below, y.size_bytes());
  return true;
}

bool Stepper::state_is_finite() const noexcept {
  for (const auto& layer : layers_) {
    for (const StreamLayer::Row& part : layer->parts()) {
      if (!std::all_of(part.data, part.data + part.size, [](float v) { return std::isfinite(v); }))
        return false;
    }
  }
  return true;
}

void Stepper::reset() noexcept {
  for (const auto& layer : layers_) {
    for (const StreamLayer::Row& part : layer->parts()) std::fill_n(part.data, part.size, 0.0f);
  }
}

std::int64_t Stepper::state_size() const {
  std::int64_t size = 0;
  for (const auto& layer : layers_) {
    for (const StreamLayer::Row& part : layer->parts()) size += part.size;
  }
  return size;
}

static void check_state(std::size_t given, std::int64_t expected) {
  if (static_cast<std::int64_t>(given) != expected) {
    fail("stepper", fmt::format("a state of {} numbers was given, expected state_size() = {}",
                                given, expected));
  }
}

void Stepper::state(std::span<float> to) const {
  check_state(to.size(), state_size());
  float* at = to.data();
  for (const auto& layer : layers_) {
    for (const StreamLayer::Row& part : layer->parts()) at = std::copy_n(part.data, part.size, at);
  }
}

void Stepper::set_state(std::span<const float> from) {
  check_state(from.size(), state_size());
  const float* at = from.data();
  for (const auto& layer : layers_) {
    for (const StreamLayer::Row& part : layer->parts()) {
      std::copy_n(at, part.size, part.data);
      at += part.size;
    }
  }
}

std::int64_t Stepper::bytes() const {
  std::int64_t result = head_.bytes() + (head_bias_.size() + head_result_.size()) *
                                            static_cast<std::int64_t>(sizeof(float));
  for (const auto& layer : layers_) result += layer->bytes();
  return result;
}

}  // namespace tapeloop
