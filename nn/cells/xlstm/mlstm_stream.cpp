// SPDX-License-Identifier: MIT
// The mLSTM for one stream.
#include <algorithm>
#include <cmath>

#include "tapeloop/nn/cells/xlstm/mlstm.h"
#include "tapeloop/nn/cells/xlstm/mlstm_head.h"

namespace tapeloop::nn {

namespace {

// C is kept as [key, value].
class MlstmLayer final : public StreamLayer {
 public:
  MlstmLayer(const Linear& projection, std::int64_t hidden, const MlstmOptions& own, Weights format)
      : inputs_(projection.weight.dim(1)),
        size_(hidden),
        heads_(own.heads),
        head_(hidden / own.heads),
        own_(own),
        weights_(std::array{projection.weight.value()}, format) {
    const std::int64_t columns = projection.weight.dim(0);
    constexpr std::int64_t kRegister = 16;  // floats of the widest register
    bias_ = tapeloop::detail::StepBuffer(columns + 2 * kRegister);
    z_ = tapeloop::detail::StepBuffer(columns + 2 * kRegister);
    state_ = tapeloop::detail::StepBuffer(2 * size_ + size_ * head_ + heads_);
    if (projection.bias.defined()) {
      const std::vector<float> values = projection.bias.value().to_vector<float>();
      std::copy(values.begin(), values.end(), bias_.data());
    }
    float* at = state_.data();
    for (const std::int64_t size : {size_, size_ * head_, size_, heads_}) {
      parts_.push_back({at, size});
      at += size;
    }
  }
  std::int64_t inputs() const override { return inputs_; }
  std::int64_t outputs() const override { return size_; }
  std::span<const Row> parts() const override { return parts_; }
  std::int64_t bytes() const override {
    return weights_.bytes() +
           (bias_.size() + z_.size() + state_.size()) * static_cast<std::int64_t>(sizeof(float));
  }
  const float* step(const float* x, bool backwards) noexcept override {
    weights_.multiply(x, bias_.data(), z_.data(), backwards);
    for (std::int64_t j = 0; j < heads_; ++j) step_head(j);
    return parts_[0].data;
  }

 private:
  void step_head(std::int64_t j) noexcept {
    const float *const z = z_.data(), *const q = z + j * head_, *const o = q + 3 * size_;
    const float f = z[4 * size_ + heads_ + j];
    float* const h = parts_[0].data + j * head_;
    detail::step_mlstm_head(
        {head_, q, q + size_, q + 2 * size_, z[4 * size_ + j],
         own_.forget == ForgetGate::sigmoid ? detail::log_sigmoid(f) : f,
         parts_[1].data + j * head_ * head_, parts_[2].data + j * head_, parts_[3].data + j, h},
        static_cast<float>(own_.epsilon));
    for (std::int64_t u = 0; u < head_; ++u) h[u] /= 1.0f + std::exp(-o[u]);
  }

  std::int64_t inputs_, size_, heads_, head_;
  MlstmOptions own_;
  cpu::RowWeights weights_;
  tapeloop::detail::StepBuffer bias_, z_, state_;
  std::vector<Row> parts_;
};

}  // namespace

std::unique_ptr<StreamLayer> MlstmCell::stream_layer(Weights format) const {
  const PauseRecording pause;
  const Linear projection = input_projection();
  detail::check_float32("the model's weights", projection.weight.value());
  return std::make_unique<MlstmLayer>(projection, weight_q.dim(0), own, format);
}

}  // namespace tapeloop::nn
