// SPDX-License-Identifier: MIT
// The weights are packed once: all gates side by side, padded to whole registers, so that
// a step has no tails. The formula works on whole registers too; its results after the end
// of a gate are never read.
#include "tapeloop/autograd/sequence/stepper.h"

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

Stepper::Buffer Stepper::filled(const Tensor& bias, std::int64_t size) {
  Buffer buffer(padded_size(size));
  if (!bias.defined()) return buffer;
  const std::vector<float> values = bias.to_vector<float>();
  std::copy_n(values.data(), size, buffer.data());
  return buffer;
}

Stepper::Layer Stepper::make_layer(const StepperLayer& given, Weights format) {
  const Recurrence& r = given.recurrence;
  if (!r.defined()) {
    fail("stepper",
         "a cell's recurrence() is undefined (an LSTM with projection, a GRU with its reset before "
         "the "
         "product, or a cell with step() only); step it by nn::step without a tape");
  }
  const Tensor w = r.w_hh.defined() ? r.w_hh.value() : Tensor();
  const Shape any = w.defined() ? w.shape() : Shape{};
  check_float("w_hh", w, any);
  if (any.rank() != 2 || any.dim(1) < 1 || any.dim(0) < 1 || any.dim(0) % any.dim(1) != 0) {
    fail("stepper", fmt::format("\"{}\": w_hh is {}; expected [G*H, H], the weights of G gates",
                                r.kernel->name, any.str()));
  }
  if (r.b_hh.defined() && !r.apart) {
    fail("stepper",
         fmt::format("\"{}\": b_hh is given, but only a recurrence of with_products_apart() has a "
                     "bias of its own; add b_hh to the bias of the input",
                     r.kernel->name));
  }
  if (r.b_hh.defined()) check_float("b_hh", r.b_hh.value(), {any.dim(0)});
  Layer layer{};
  layer.kernel = r.kernel;
  layer.formula = r.formula;
  layer.hidden = w.dim(1);
  layer.padded = padded_size(layer.hidden);
  layer.gates = static_cast<int>(w.dim(0) / w.dim(1));
  check_float("the input's weight", given.w_in,
              {w.dim(0), given.w_in.rank() == 2 ? given.w_in.dim(1) : 0});
  check_float("the input's bias", given.b_in, {w.dim(0)});
  layer.inputs = given.w_in.dim(1);
  if (layer.inputs < 1) {
    fail("stepper", fmt::format("the input's weight is {}, expected at least one input",
                                given.w_in.shape().str()));
  }
  const int arguments = layer.gates * (r.apart ? 2 : 1);
  layer.takes_h = r.kernel->inputs == arguments + r.parts();
  if (!layer.takes_h && r.kernel->inputs != arguments + r.parts() - 1) {
    fail("stepper",
         fmt::format("\"{}\" takes {} arguments; expected {} or {} with w_hh {} and {} results",
                     r.kernel->name, r.kernel->inputs, arguments + r.parts() - 1,
                     arguments + r.parts(), w.shape().str(), r.parts()));
  }
  // The formula reads the pre-activations of the last gate to the end of a register.
  const std::int64_t columns = w.dim(0), room = padded_size(columns) + width();
  layer.hx = Buffer(std::max(layer.padded, layer.hidden + layer.inputs));
  layer.z = Buffer(room);
  layer.bias = filled(given.b_in, columns);
  if (r.apart) {
    layer.weights = cpu::RowWeights(std::array{given.w_in}, format);
    layer.h_weights = cpu::RowWeights(std::array{w}, format);
    layer.h_bias = filled(r.b_hh.defined() ? r.b_hh.value() : Tensor(), columns);
    layer.h_z = Buffer(room);
  } else {
    layer.weights = cpu::RowWeights(std::array{w, given.w_in}, format);
  }
  for (int k = 1; k < r.parts(); ++k) layer.parts.emplace_back(layer.padded);
  return layer;
}

Stepper::Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight,
                 const Tensor& head_bias, const StepperOptions& options)
    : options_(options) {
  if (options.weights != Weights::float32 && options.weights != Weights::bfloat16) {
    fail("stepper", fmt::format("options.weights is {}, expected Weights::float32 or "
                                "Weights::bfloat16",
                                static_cast<int>(options.weights)));
  }
  if (layers.empty()) fail("stepper", "no layers were given; expected at least one");
  for (const StepperLayer& given : layers) {
    layers_.push_back(make_layer(given, options.weights));
    if (layers_.size() > 1 && layers_.back().inputs != layers_[layers_.size() - 2].hidden) {
      fail("stepper", fmt::format("layer {} takes {} inputs, the one below it has {} hidden units",
                                  layers_.size() - 1, layers_.back().inputs,
                                  layers_[layers_.size() - 2].hidden));
    }
  }
  outputs_ = layers_.back().hidden;
  if (!head_weight.defined()) {
    if (head_bias.defined())
      fail("stepper", "the head has a bias, but no weight; give both or neither");
    return;
  }
  if (head_weight.rank() != 2 || head_weight.dim(0) < 1) {
    fail("stepper",
         fmt::format("the head's weight is {}, expected [O, {}] with at least one output",
                     head_weight.shape().str(), layers_.back().hidden));
  }
  outputs_ = head_weight.dim(0);
  check_float("the head's weight", head_weight, {outputs_, layers_.back().hidden});
  if (head_bias.defined()) check_float("the head's bias", head_bias, {outputs_});
  head_ = cpu::RowWeights(std::array{head_weight}, options.weights);
  head_bias_ = filled(head_bias, outputs_);
  head_result_ = Buffer(head_bias_.size());
}

Stepper::Stepper(Stepper&& other) noexcept { swap(other); }

Stepper& Stepper::operator=(Stepper&& other) noexcept {
  Stepper taken(std::move(other));
  swap(taken);
  return *this;
}

void Stepper::swap(Stepper& other) noexcept {
  std::swap(options_, other.options_);
  layers_.swap(other.layers_);
  std::swap(outputs_, other.outputs_);
  std::swap(bad_input_, other.bad_input_);
  std::swap(head_, other.head_);
  std::swap(head_bias_, other.head_bias_);
  std::swap(head_result_, other.head_result_);
  std::swap(backwards_, other.backwards_);
}

void Stepper::run(Layer& layer, bool backwards) noexcept {
  const bool apart = layer.h_weights.defined();
  layer.weights.multiply(apart ? layer.x() : layer.h(), layer.bias.data(), layer.z.data(),
                         backwards);
  if (apart) {
    layer.h_weights.multiply(layer.h(), layer.h_bias.data(), layer.h_z.data(), backwards);
  }
  void* data[kMaxOperands];
  std::int64_t step[kMaxOperands];
  int n = 0;
  const auto add = [&](float* operand) {
    data[n] = operand;
    step[n++] = 1;
  };
  for (int g = 0; g < layer.gates; ++g) add(layer.z.data() + g * layer.hidden);
  for (int g = 0; apart && g < layer.gates; ++g) add(layer.h_z.data() + g * layer.hidden);
  if (layer.takes_h) add(layer.h());
  for (Buffer& part : layer.parts) add(part.data());
  add(layer.h());  // results, written over the old state
  for (Buffer& part : layer.parts) add(part.data());
  layer.kernel->cpu[0](layer.formula.bytes, data, step, layer.padded);
}

bool Stepper::step(std::span<const float> x, std::span<float> y) noexcept {
  bad_input_ = -1;
  if (static_cast<std::int64_t>(x.size()) != input_size() ||
      static_cast<std::int64_t>(y.size()) != outputs_ || layers_.empty()) {
    return false;
  }
  if (options_.check_inputs) {
    const auto bad = std::find_if_not(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
    if (bad != x.end()) {
      bad_input_ = bad - x.begin();
      return false;
    }
  }
  const float* below = x.data();
  for (Layer& layer : layers_) {
    std::memcpy(layer.x(), below, static_cast<std::size_t>(layer.inputs) * sizeof(float));
    run(layer, backwards_);
    below = layer.h();
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
  const auto finite = [](const float* part, std::int64_t size) {
    return std::all_of(part, part + size, [](float v) { return std::isfinite(v); });
  };
  return std::all_of(layers_.begin(), layers_.end(), [&](const Layer& layer) {
    return finite(layer.h(), layer.hidden) &&
           std::all_of(layer.parts.begin(), layer.parts.end(),
                       [&](const Buffer& part) { return finite(part.data(), layer.hidden); });
  });
}

void Stepper::reset() noexcept {
  for (Layer& layer : layers_) {
    std::fill_n(layer.h(), layer.padded, 0.0f);
    for (Buffer& part : layer.parts) std::fill_n(part.data(), layer.padded, 0.0f);
  }
}

std::int64_t Stepper::state_size() const {
  std::int64_t size = 0;
  for (const Layer& layer : layers_)
    size += layer.hidden * static_cast<std::int64_t>(1 + layer.parts.size());
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
  for (const Layer& layer : layers_) {
    at = std::copy_n(layer.h(), layer.hidden, at);
    for (const Buffer& part : layer.parts) at = std::copy_n(part.data(), layer.hidden, at);
  }
}

void Stepper::set_state(std::span<const float> from) {
  check_state(from.size(), state_size());
  const float* at = from.data();
  for (Layer& layer : layers_) {
    std::copy_n(at, layer.hidden, layer.h());
    at += layer.hidden;
    for (Buffer& part : layer.parts) {
      std::copy_n(at, layer.hidden, part.data());
      at += layer.hidden;
    }
  }
}

std::int64_t Stepper::bytes() const {
  std::int64_t floats = head_bias_.size() + head_result_.size(), of_weights = head_.bytes();
  for (const Layer& layer : layers_) {
    floats += layer.hx.size() + layer.bias.size() + layer.z.size() + layer.h_bias.size() +
              layer.h_z.size() + layer.padded * static_cast<std::int64_t>(layer.parts.size());
    of_weights += layer.weights.bytes() + layer.h_weights.bytes();
  }
  return of_weights + floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tapeloop
