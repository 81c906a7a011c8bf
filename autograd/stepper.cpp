// SPDX-License-Identifier: MIT
// Weights packed once, gate by gate and padded to whole registers, so that a step has no tails and no decisions to make.
#include "autograd/stepper.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "autograd/cpu/kernels.h"
#include "autograd/error.h"

namespace tapeloop {

namespace {

std::int64_t width() { return cpu::kernels().of<float>().panel_width; }
std::int64_t padded_size(std::int64_t n) { return (n + width() - 1) / width() * width(); }

void check_float(const char* what, const Tensor& tensor, const Shape& shape) {
  if (!tensor.defined() || tensor.dtype() != DType::float32 || tensor.device() != Device::cpu ||
      tensor.shape() != shape) {
    fail("stepper", fmt::format("{} is {}, expected float32{} on the cpu; convert the model by "
                                "nn::convert(model, DType::float32)",
                                what, tensor.describe(), shape.str()));
  }
}

// Rows [gates * hidden, columns] of several matrices side by side, as panels for a vector of all their columns: each gate's
// rows padded to whole registers.
void pack(std::span<const Tensor> matrices, std::int64_t gates, float* panels) {
  std::int64_t columns = 0;
  for (const Tensor& m : matrices) columns += m.dim(1);
  const std::int64_t rows = matrices[0].dim(0) / gates;
  const Tensor joined = Tensor::empty({gates * rows, columns});
  std::int64_t at = 0;
  for (const Tensor& m : matrices) {
    joined.slice(1, at, at + m.dim(1)).copy_from(m);
    at += m.dim(1);
  }
  for (std::int64_t g = 0; g < gates; ++g) {
    const MatrixView<float> b{joined.read<float>() + g * rows * columns, 1, columns};
    cpu::kernels().of<float>().pack_panels(b, columns, rows,
                                           panels + g * padded_size(rows) * columns);
  }
}

void copy_padded(const Tensor& bias, std::int64_t gates, float* to) {
  if (!bias.defined()) return;
  const std::vector<float> values = bias.to_vector<float>();
  const std::int64_t rows = bias.dim(0) / gates;
  for (std::int64_t g = 0; g < gates; ++g)
    std::copy_n(values.data() + g * rows, rows, to + g * padded_size(rows));
}

// z [columns, whole registers] = bias + weights a
void multiply(std::int64_t k, std::int64_t columns, const float* a, const float* weights,
              const float* bias, float* z) noexcept {
  cpu::kernels().of<float>().multiply_panels(
      {1, k, a, k, weights, 0, columns / width(), columns, bias, columns, z, columns});
}

}  // namespace

Stepper::Layer Stepper::make_layer(const StepperLayer& given) {
  const Recurrence& r = given.recurrence;
  if (!r.defined()) {
    fail("stepper",
         "a cell's recurrence() is undefined (an LSTM with projection, a GRU with its reset before "
         "the "
         "product, or a cell with step() only); step it by nn::step without a tape");
  }
  const Tensor w = r.w_hh.value();
  check_float("w_hh", w, w.rank() == 2 ? w.shape() : Shape{0, 0});
  Layer layer{};
  layer.kernel = r.kernel;
  layer.formula = r.formula;
  layer.hidden = w.dim(1);
  layer.padded = padded_size(layer.hidden);
  layer.gates = static_cast<int>(w.dim(0) / w.dim(1));
  layer.apart = r.apart;
  check_float("the input's weight", given.w_in,
              {w.dim(0), given.w_in.rank() == 2 ? given.w_in.dim(1) : 0});
  check_float("the input's bias", given.b_in, {w.dim(0)});
  layer.inputs = given.w_in.dim(1);
  const int arguments = layer.gates * (r.apart ? 2 : 1);
  layer.takes_h = r.kernel->inputs == arguments + r.parts();
  if (!layer.takes_h && r.kernel->inputs != arguments + r.parts() - 1) {
    fail("stepper", fmt::format("\"{}\" takes {} arguments, which does not fit w_hh {}",
                                r.kernel->name, r.kernel->inputs, w.shape().str()));
  }
  const std::int64_t columns = layer.gates * layer.padded;
  layer.xh = Buffer(layer.inputs + layer.padded);
  layer.z = Buffer(columns);
  layer.bias = Buffer(columns);
  copy_padded(given.b_in, layer.gates, layer.bias.data());
  if (r.apart) {
    layer.weights = Buffer(columns * layer.inputs);
    pack(std::array{given.w_in}, layer.gates, layer.weights.data());
    layer.h_weights = Buffer(columns * layer.hidden);
    pack(std::array{w}, layer.gates, layer.h_weights.data());
    layer.h_bias = Buffer(columns);
    copy_padded(r.b_hh.defined() ? r.b_hh.value() : Tensor(), layer.gates, layer.h_bias.data());
    layer.h_z = Buffer(columns);
  } else {
    layer.weights = Buffer(columns * (layer.inputs + layer.hidden));
    pack(std::array{given.w_in, w}, layer.gates, layer.weights.data());
  }
  for (int k = 1; k < r.parts(); ++k) layer.parts.emplace_back(layer.padded);
  return layer;
}

Stepper::Stepper(std::span<const StepperLayer> layers, const Tensor& head_weight,
                 const Tensor& head_bias) {
  if (layers.empty()) fail("stepper", "no layers were given; expected at least one");
  for (const StepperLayer& given : layers) {
    layers_.push_back(make_layer(given));
    if (layers_.size() > 1 && layers_.back().inputs != layers_[layers_.size() - 2].hidden) {
      fail("stepper", fmt::format("layer {} takes {} inputs, the one below it has {} hidden units",
                                  layers_.size() - 1, layers_.back().inputs,
                                  layers_[layers_.size() - 2].hidden));
    }
  }
  outputs_ = layers_.back().hidden;
  if (!head_weight.defined()) return;
  outputs_ = head_weight.dim(0);
  check_float("the head's weight", head_weight, {outputs_, layers_.back().hidden});
  const std::int64_t columns = padded_size(outputs_);
  head_ = Buffer(columns * layers_.back().hidden);
  pack(std::array{head_weight}, 1, head_.data());
  head_bias_ = Buffer(columns);
  if (head_bias.defined()) check_float("the head's bias", head_bias, {outputs_});
  copy_padded(head_bias, 1, head_bias_.data());
  head_result_ = Buffer(columns);
}

void Stepper::run(Layer& layer) noexcept {
  const std::int64_t columns = layer.gates * layer.padded;
  const std::int64_t k = layer.inputs + (layer.apart ? 0 : layer.hidden);
  multiply(k, columns, layer.xh.data(), layer.weights.data(), layer.bias.data(), layer.z.data());
  if (layer.apart) {
    multiply(layer.hidden, columns, layer.h(), layer.h_weights.data(), layer.h_bias.data(),
             layer.h_z.data());
  }
  void* data[kMaxOperands];
  std::int64_t step[kMaxOperands];
  int n = 0;
  const auto add = [&](float* operand) {
    data[n] = operand;
    step[n++] = 1;
  };
  for (int g = 0; g < layer.gates; ++g) add(layer.z.data() + g * layer.padded);
  for (int g = 0; layer.apart && g < layer.gates; ++g) add(layer.h_z.data() + g * layer.padded);
  if (layer.takes_h) add(layer.h());
  for (Buffer& part : layer.parts) add(part.data());
  add(layer.h());  // results, in the places of what they replace
  for (Buffer& part : layer.parts) add(part.data());
  layer.kernel->cpu[0](layer.formula.bytes, data, step, layer.padded);
}

bool Stepper::step(std::span<const float> x, std::span<float> y) noexcept {
  if (static_cast<std::int64_t>(x.size()) != input_size() ||
      static_cast<std::int64_t>(y.size()) != outputs_) {
    return false;
  }
  const float* below = x.data();
  for (Layer& layer : layers_) {
    std::memcpy(layer.xh.data(), below, static_cast<std::size_t>(layer.inputs) * sizeof(float));
    run(layer);
    below = layer.h();
  }
  if (head_.size() > 0) {
    multiply(layers_.back().hidden, head_result_.size(), below, head_.data(), head_bias_.data(),
             head_result_.data());
    below = head_result_.data();
  }
  std::memcpy(y.data(), below, y.size_bytes());
  return true;
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
  std::int64_t floats = head_.size() + head_bias_.size() + head_result_.size();
  for (const Layer& layer : layers_) {
    floats += layer.xh.size() + layer.weights.size() + layer.bias.size() + layer.z.size() +
              layer.h_weights.size() + layer.h_bias.size() + layer.h_z.size() +
              layer.padded * static_cast<std::int64_t>(layer.parts.size());
  }
  return floats * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tapeloop
