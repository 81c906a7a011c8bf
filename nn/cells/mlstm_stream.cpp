// SPDX-License-Identifier: MIT
// The mLSTM for one stream.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/mlstm.h"

namespace tapeloop::nn {

namespace {

// C is kept transposed, [key, value]: the loops over values then have no sums across a register.
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
    const std::int64_t d = head_;
    const float* const z = z_.data();
    const float *q = z + j * d, *k = q + size_, *v = k + size_, *o = v + size_;
    const float i = z[4 * size_ + j], f = z[4 * size_ + heads_ + j];
    const float log_f = own_.forget == ForgetGate::sigmoid ? log_sigmoid(f) : f;
    float* const h = parts_[0].data + j * d;
    float* const c = parts_[1].data + j * d * d;
    float* const n = parts_[2].data + j * d;
    float& m = parts_[3].data[j];
    const bool started = std::any_of(n, n + d, [](float x) { return x != 0; });
    const float next = started ? std::max(log_f + m, i) : i;
    const float keep = started ? std::exp(log_f + m - next) : 0.0f, take = std::exp(i - next);
    m = next;
    float nq = 0;
    std::fill_n(h, d, 0.0f);
    for (std::int64_t key = 0; key < d; ++key) {
      const float add = take * k[key], query = q[key];
      float* const row = c + key * d;
      n[key] = keep * n[key] + add;
      nq += n[key] * query;
      for (std::int64_t u = 0; u < d; ++u) {
        row[u] = keep * row[u] + add * v[u];
        h[u] += query * row[u];
      }
    }
    const float bound = std::exp(-next);
    const float below = std::max(std::abs(nq), bound) + static_cast<float>(own_.epsilon);
    for (std::int64_t u = 0; u < d; ++u) h[u] = h[u] / below / (1.0f + std::exp(-o[u]));
  }
  static float log_sigmoid(float x) {
    return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x));
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
  if (projection.weight.dtype() != DType::float32 || !projection.weight.value().on_host()) {
    fail("stepper", "the model's weights are " + projection.weight.value().describe() +
                        ", expected float32 on the cpu; convert it by nn::convert(model, "
                        "DType::float32)");
  }
  return std::make_unique<MlstmLayer>(projection, weight_q.dim(0), own, format);
}

}  // namespace tapeloop::nn
