// SPDX-License-Identifier: MIT
// The blocks of an xLSTM for one stream: layers of a Stepper.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "tapeloop/nn/blocks/xlstm.h"
#include "tapeloop/nn/cells/xlstm/mlstm_head.h"
#include "tapeloop/nn/recurrent/stepper.h"

namespace tapeloop::nn {

namespace {

// Products and formulas write whole registers: so many more floats are behind each row.
constexpr std::int64_t kRoom = 32;

class Row {
 public:
  explicit Row(std::int64_t size = 0) : buffer_(size + kRoom) {}
  float* data() { return buffer_.data(); }
  const float* data() const { return buffer_.data(); }
  std::int64_t bytes() const { return buffer_.size() * static_cast<std::int64_t>(sizeof(float)); }

 private:
  tapeloop::detail::StepBuffer buffer_;
};

Row row_of(const Var& x, std::int64_t size) {
  Row row(size);
  if (!x.defined()) return row;
  const std::vector<float> values = x.value().to_vector<float>();
  std::copy(values.begin(), values.end(), row.data());
  return row;
}

// y = W x + b. With groups each of them reads and writes its own part.
class Product {
 public:
  Product() = default;
  Product(const Var& weight, const Var& bias, std::int64_t groups, Weights format)
      : rows_(weight.shape().numel() / weight.dim(-1) / groups),
        columns_(weight.dim(-1)),
        bias_(row_of(bias, rows_ * groups)) {
    const Tensor all = weight.value().contiguous().reshape({rows_ * groups, columns_});
    for (std::int64_t g = 0; g < groups; ++g) {
      weights_.emplace_back(std::array{all.slice(0, g * rows_, (g + 1) * rows_)}, format);
    }
  }
  void operator()(const float* x, float* y, bool backwards) const noexcept {
    for (std::size_t g = 0; g < weights_.size(); ++g) {
      const std::int64_t first = static_cast<std::int64_t>(g) * rows_;
      weights_[g].multiply(x + static_cast<std::int64_t>(g) * columns_, bias_.data() + first,
                           y + first, backwards);
    }
  }
  std::int64_t bytes() const {
    std::int64_t result = bias_.bytes();
    for (const cpu::RowWeights& w : weights_) result += w.bytes();
    return result;
  }

 private:
  std::int64_t rows_ = 0, columns_ = 0;
  Row bias_;
  std::vector<cpu::RowWeights> weights_;
};

Product product_of(const Linear& layer, Weights format) {
  return {layer.weight, layer.bias, 1, format};
}
Product product_of(const GroupLinear& layer, Weights format) {
  return {layer.weight, layer.bias, layer.weight.dim(0), format};
}

class Norm {
 public:
  Norm() = default;
  explicit Norm(const ScaledNorm& norm)
      : scale_(row_of(1.0 + norm.weight, norm.weight.dim(0))),
        norm_{norm.weight.dim(0), norm.groups, norm.epsilon, scale_.data(), nullptr, nullptr} {}
  // x may be y.
  void operator()(const float* x, float* y) const noexcept {
    tapeloop::detail::normalise(norm_, x, y);
  }
  std::int64_t bytes() const { return scale_.bytes(); }

 private:
  Row scale_;
  tapeloop::detail::StepNorm norm_{};
};

// A formula on rows that have kRoom behind them: operands in the order of the formula, then
// results.
template <class F>
class Formula {
 public:
  void operator()(std::initializer_list<float*> operands, std::int64_t size) const noexcept {
    std::array<void*, 16> rows;
    std::copy(operands.begin(), operands.end(), rows.begin());
    std::array<std::int64_t, 16> steps;
    steps.fill(1);
    kernel_.cpu[0](formula_.bytes, rows.data(), steps.data(), (size + kRoom - 1) / kRoom * kRoom);
  }

 private:
  const PointwiseKernel& kernel_ = pointwise_kernel<F>();
  tapeloop::detail::FormulaBytes formula_{F{}};
};

// silu of a causal convolution; `state` holds the last K - 1 inputs.
class Convolution {
 public:
  Convolution() = default;
  explicit Convolution(const CausalConvolution& layer)
      : size_(layer.weight.dim(0)),
        taps_(layer.taps()),
        weight_(row_of(transpose(reshape(layer.weight, {size_, taps_})), size_ * taps_)),
        bias_(row_of(layer.bias, size_)) {}
  std::int64_t state_size() const { return (taps_ - 1) * size_; }
  void operator()(const float* x, float* state, float* y) const noexcept {
    std::copy_n(bias_.data(), size_, y);
    for (std::int64_t k = 0; k < taps_; ++k) {
      const float* const tap = weight_.data() + k * size_;
      const float* const input = k + 1 < taps_ ? state + k * size_ : x;
      for (std::int64_t j = 0; j < size_; ++j) y[j] += tap[j] * input[j];
    }
    silu_({y, y}, size_);
    if (taps_ < 2) return;
    const auto bytes = static_cast<std::size_t>((taps_ - 2) * size_) * sizeof(float);
    std::memmove(state, state + size_, bytes);
    std::copy_n(x, size_, state + (taps_ - 2) * size_);
  }
  std::int64_t bytes() const { return weight_.bytes() + bias_.bytes(); }

 private:
  std::int64_t size_ = 0, taps_ = 1;
  Row weight_, bias_;  // weight [taps, F]
  Formula<formula::Silu> silu_;
};

// What the layers share: E features in and out, and the parts of the state.
class BlockLayer : public StreamLayer {
 public:
  std::int64_t inputs() const final { return features_; }
  std::int64_t outputs() const final { return features_; }
  std::span<const StreamLayer::Row> parts() const final { return parts_; }
  std::int64_t bytes() const final { return bytes_; }

 protected:
  explicit BlockLayer(std::int64_t features) : features_(features), y_(features) {}
  void add_part(std::int64_t size) {
    memory_.emplace_back(size);
    parts_.push_back({memory_.back().data(), size});
    bytes_ += memory_.back().bytes();
  }
  float* part(std::size_t k) { return parts_[k].data; }

  std::int64_t features_;
  nn::Row y_;
  std::int64_t bytes_ = 0;

 private:
  std::vector<nn::Row> memory_;
  std::vector<StreamLayer::Row> parts_;
};

class MlstmStream final : public BlockLayer {
 public:
  MlstmStream(const MlstmBlock& block, Weights format)
      : BlockLayer(block.proj_up.weight.dim(1)),
        inner_(block.learnable_skip.dim(0)),
        heads_(block.own.heads),
        epsilon_(static_cast<float>(block.own.epsilon)),
        norm_(block.xlstm_norm),
        outnorm_(block.outnorm),
        up_(product_of(block.proj_up, format)),
        down_(product_of(block.proj_down, format)),
        q_(product_of(block.q_proj, format)),
        k_(product_of(block.k_proj, format)),
        v_(product_of(block.v_proj, format)),
        gates_(concat({block.igate.weight, block.fgate.weight}, 0),
               concat({block.igate.bias, block.fgate.bias}, 0), 1, format),
        conv_(block.conv1d),
        skip_(row_of(block.learnable_skip, inner_)),
        normed_(features_),
        halves_(2 * inner_),
        u_(inner_),
        qkv_(3 * inner_),
        if_(2 * heads_),
        h_(inner_) {
    const std::int64_t d = inner_ / heads_;
    for (const std::int64_t size : {conv_.state_size(), inner_ * d, inner_, heads_}) add_part(size);
    for (const Product* p : {&up_, &down_, &q_, &k_, &v_, &gates_}) bytes_ += p->bytes();
    bytes_ += norm_.bytes() + outnorm_.bytes() + conv_.bytes() + skip_.bytes();
  }
  const float* step(const float* x, bool backwards) noexcept override {
    const std::int64_t d = inner_ / heads_;
    norm_(x, normed_.data());
    up_(normed_.data(), halves_.data(), backwards);
    float* const z = halves_.data() + inner_;
    conv_(halves_.data(), part(0), u_.data());
    float *const q = qkv_.data(), *const k = q + inner_, *const v = k + inner_;
    q_(u_.data(), q, backwards);
    k_(u_.data(), k, backwards);
    v_(halves_.data(), v, backwards);
    gates_(q, if_.data(), backwards);
    const float scale = 1 / std::sqrt(static_cast<float>(d));
    for (std::int64_t j = 0; j < inner_; ++j) k[j] *= scale;
    for (std::int64_t j = 0; j < heads_; ++j) {
      detail::step_mlstm_head({d, q + j * d, k + j * d, v + j * d, if_.data()[j],
                               detail::log_sigmoid(if_.data()[heads_ + j]), part(1) + j * d * d,
                               part(2) + j * d, part(3) + j, h_.data() + j * d},
                              epsilon_);
    }
    outnorm_(h_.data(), h_.data());
    silu_({z, z}, inner_);
    for (std::int64_t j = 0; j < inner_; ++j) {
      h_.data()[j] = (h_.data()[j] + skip_.data()[j] * u_.data()[j]) * z[j];
    }
    down_(h_.data(), y_.data(), backwards);
    for (std::int64_t j = 0; j < features_; ++j) y_.data()[j] += x[j];
    return y_.data();
  }

 private:
  std::int64_t inner_, heads_;
  float epsilon_;
  Norm norm_, outnorm_;
  Product up_, down_, q_, k_, v_, gates_;
  Convolution conv_;
  Formula<formula::Silu> silu_;
  nn::Row skip_, normed_, halves_, u_, qkv_, if_, h_;
};

class SlstmStream final : public BlockLayer {
 public:
  SlstmStream(const SlstmBlock& block, Weights format)
      : BlockLayer(block.xlstm_norm.weight.dim(0)),
        inner_(block.ffn.proj_down.weight.dim(1)),
        norm_(block.xlstm_norm),
        group_norm_(block.group_norm),
        ffn_norm_(block.ffn_norm),
        conv_(block.conv1d),
        up_(product_of(block.ffn.proj_up, format)),
        down_(product_of(block.ffn.proj_down, format)),
        normed_(features_),
        u_(features_),
        from_h_(4 * features_),
        halves_(2 * inner_) {
    const std::int64_t size = features_, d = size / block.heads;
    const std::array<const GroupLinear*, 4> layers{&block.igate, &block.fgate, &block.zgate,
                                                   &block.ogate};
    for (std::size_t g = 0; g < 4; ++g) {
      const auto first = static_cast<std::int64_t>(g) * size;
      const Var bias = slice(block.bias, 0, first, first + size);
      gates_[g] = Product(layers[g]->weight, bias, block.heads, format);
      recurrent_[g] =
          Product(reshape(slice(block.weight_hh, 0, first, first + size), {block.heads, d, d}),
                  Var(), block.heads, format);
      rows_[g] = nn::Row(size);
      bytes_ += gates_[g].bytes() + recurrent_[g].bytes();
    }
    add_part(conv_.state_size());
    for (int k = 0; k < 4; ++k) add_part(size);
    bytes_ += norm_.bytes() + group_norm_.bytes() + ffn_norm_.bytes() + conv_.bytes() +
              up_.bytes() + down_.bytes();
  }
  const float* step(const float* x, bool backwards) noexcept override {
    const std::int64_t size = features_;
    norm_(x, normed_.data());
    conv_(normed_.data(), part(0), u_.data());
    for (std::size_t g = 0; g < 4; ++g) {
      float* const z = rows_[g].data();
      gates_[g](g < 2 ? u_.data() : normed_.data(), z, backwards);
      recurrent_[g](part(1), from_h_.data(), backwards);
      for (std::int64_t j = 0; j < size; ++j) z[j] += from_h_.data()[j];
    }
    float *const h = part(1), *const c = part(2), *const n = part(3), *const m = part(4);
    slstm_(
        {rows_[0].data(), rows_[1].data(), rows_[2].data(), rows_[3].data(), c, n, m, h, c, n, m},
        size);
    float* const y = y_.data();
    group_norm_(h, y);
    for (std::int64_t j = 0; j < size; ++j) y[j] += x[j];
    ffn_norm_(y, normed_.data());
    up_(normed_.data(), halves_.data(), backwards);
    float *const gate = halves_.data(), *const value = gate + inner_;
    mlp_({gate, value, gate}, inner_);
    down_(gate, from_h_.data(), backwards);
    for (std::int64_t j = 0; j < size; ++j) y[j] += from_h_.data()[j];
    return y;
  }

 private:
  std::int64_t inner_;
  Norm norm_, group_norm_, ffn_norm_;
  Convolution conv_;
  Product up_, down_;
  std::array<Product, 4> gates_, recurrent_;
  nn::Row normed_, u_, from_h_, halves_;
  std::array<nn::Row, 4> rows_;
  Formula<SlstmGates> slstm_;
  Formula<GeluGate> mlp_;
};

class NormStream final : public BlockLayer {
 public:
  explicit NormStream(const ScaledNorm& norm) : BlockLayer(norm.weight.dim(0)), norm_(norm) {
    bytes_ = norm_.bytes();
  }
  const float* step(const float* x, bool) noexcept override {
    norm_(x, y_.data());
    return y_.data();
  }

 private:
  Norm norm_;
};

}  // namespace

std::vector<std::unique_ptr<StreamLayer>> Xlstm::stream_layers(Weights format) const {
  const PauseRecording pause;
  for (const NamedVar& p : parameters(*this)) detail::check_float32(p.name.c_str(), p.var.value());
  std::vector<std::unique_ptr<StreamLayer>> layers;
  for (const Block& block : blocks_) {
    if (block.mlstm) {
      layers.push_back(std::make_unique<MlstmStream>(*block.mlstm, format));
    } else {
      layers.push_back(std::make_unique<SlstmStream>(*block.slstm, format));
    }
  }
  if (options_.final_norm) layers.push_back(std::make_unique<NormStream>(post_blocks_norm_));
  return layers;
}

Stepper make_stepper(const Xlstm& model, const Linear& head, const StepperOptions& options) {
  return detail::with_head(model.stream_layers(options.weights), head, options);
}

}  // namespace tapeloop::nn
