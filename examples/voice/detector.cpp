// SPDX-License-Identifier: MIT
// The module of the detector, and its stream by the library's packed products and Stepper.
#include "examples/voice/detector.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/files/safetensors.h"

namespace voice {

using namespace tapeloop;

void mirror_end(float* window) {
  constexpr std::int64_t heard = kContext + kChunk;
  for (std::int64_t i = 0; i < kPadded - heard; ++i) window[heard + i] = window[heard - 2 - i];
}

Tensor windows_of(std::span<const float> samples) {
  const auto count = static_cast<std::int64_t>(samples.size());
  const std::int64_t chunks = (count + kChunk - 1) / kChunk;
  std::vector<float> windows(static_cast<std::size_t>(chunks * kPadded));
  for (std::int64_t t = 0; t < chunks; ++t) {
    float* window = windows.data() + t * kPadded;
    for (std::int64_t i = 0; i < kContext + kChunk; ++i) {
      const std::int64_t from = t * kChunk - kContext + i;
      if (from >= 0 && from < count) window[i] = samples[static_cast<std::size_t>(from)];
    }
    mirror_end(window);
  }
  return Tensor::from({chunks, kPadded}, windows);
}

Detector::Detector(const std::array<std::int64_t, 4>& channels, std::int64_t hidden,
                   Random& random) {
  std::vector<float> waves(static_cast<std::size_t>(2 * kBins * kWindow));
  for (std::int64_t k = 0; k < kBins; ++k) {
    for (std::int64_t i = 0; i < kWindow; ++i) {
      const double turn = 2 * std::numbers::pi * static_cast<double>(i) / kWindow;
      const double hann = 0.5 - 0.5 * std::cos(turn), angle = turn * static_cast<double>(k);
      waves[static_cast<std::size_t>(k * kWindow + i)] = static_cast<float>(hann * std::cos(angle));
      waves[static_cast<std::size_t>((kBins + k) * kWindow + i)] =
          static_cast<float>(-hann * std::sin(angle));
    }
  }
  basis = Var(Tensor::from({2 * kBins, 1, kWindow}, waves));
  std::int64_t inputs = kBins;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    encoder.emplace_back(inputs, channels[i], 3, random,
                         ConvolutionOptions{.stride = {1, kStrides[i]}, .padding = {0, 1}});
    inputs = channels[i];
  }
  rnn = nn::Lstm({.input = inputs, .hidden = hidden}, random);
  decoder = nn::Conv1d(hidden, 1, 1, random);
}

Tensor Detector::spectra(const Tensor& windows) const {
  const PauseRecording pause;
  const Var parts =
      conv1d(Var(windows.insert_axis(1)), basis, Var(), ConvolutionOptions{.stride = {1, kHop}});
  return sqrt(square(slice(parts, 1, 0, kBins)) + square(slice(parts, 1, kBins, 2 * kBins)))
      .value();
}

Var Detector::logits(const Tensor& spectra, nn::Lstm::State& state) const {
  const std::int64_t steps = spectra.dim(0), streams = spectra.dim(1);
  Var x(spectra.reshape({steps * streams, spectra.dim(2), spectra.dim(3)}));
  for (const nn::Conv1d& layer : encoder) x = relu(layer(x));
  const auto out = rnn(reshape(x, {steps, streams, -1}), state);
  state = out.last;
  return reshape(decoder(reshape(relu(out.ys), {steps * streams, -1, 1})), {steps, streams});
}

void Detector::visit(nn::Visitor& v) const {
  v.buffer("stft.forward_basis_buffer", basis);
  for (std::size_t i = 0; i < encoder.size(); ++i) {
    v(fmt::format("encoder.{}.reparam_conv", i), encoder[i]);
  }
  v("decoder.rnn", rnn.cells()[0]);
  v("decoder.decoder.2", decoder);
}

Detector read_detector(const std::string& path) {
  const StateDict saved = nn::load(path);
  // A tensor that is absent gives any size here; load_state_dict() names it.
  const auto rows_of = [&](const std::string& name, std::int64_t parts) -> std::int64_t {
    for (const NamedTensor& item : saved) {
      if (item.name != name) continue;
      const std::int64_t rows = item.tensor.rank() > 0 ? item.tensor.dim(0) : 0;
      if (rows >= parts && rows % parts == 0) return rows / parts;
      throw FileError(fmt::format("{}: {} is {}, expected a multiple of {} in its first axis", path,
                                  name, item.tensor.describe(), parts));
    }
    return 128;
  };
  std::array<std::int64_t, 4> channels{};
  for (std::size_t i = 0; i < channels.size(); ++i) {
    channels[i] = rows_of(fmt::format("encoder.{}.reparam_conv.bias", i), 1);
  }
  Random random(0);
  Detector detector(channels, rows_of("decoder.rnn.bias_hh", 4), random);
  nn::load_state_dict(detector, saved, path);
  return detector;
}

// --- the stream ---

StreamConvolution::StreamConvolution(const Tensor& weight, const Tensor& bias, std::int64_t frames,
                                     std::int64_t stride, std::int64_t padding)
    : channels_(weight.dim(1)),
      outputs_(weight.dim(0)),
      frames_((frames + 2 * padding - weight.dim(2)) / stride + 1),
      stride_(stride) {
  const std::int64_t kernel = weight.dim(2);
  std::int64_t end = 0;
  first_ = kernel;
  for (std::int64_t p = 0; p < frames_; ++p) {
    for (std::int64_t k = 0; k < kernel; ++k) {
      const std::int64_t row = p * stride + k - padding;
      if (row < 0 || row >= frames) continue;
      first_ = std::min(first_, k);
      end = std::max(end, k + 1);
    }
  }
  taps_ = end - first_;
  // [O, C, k] as [k, C, O]: the rows that a position reads stand one after the other.
  const std::array<int, 3> axes = {2, 1, 0};
  const Tensor rows = weight.slice(2, first_, end).permute(axes).contiguous();
  const auto& kernels = cpu::kernels().of<float>();
  const std::int64_t k = taps_ * channels_, width = kernels.panel_width;
  panels_ = Tensor::zeros({panel_count(outputs_, width) * k * width});
  kernels.pack_panels({rows.read<float>(), outputs_, 1}, k, outputs_,
                      static_cast<float*>(panels_.raw()));
  bias_ = bias.defined() ? bias.clone() : Tensor::zeros({outputs_});
}

void StreamConvolution::run(const float* x, float* y) const noexcept {
  const auto& kernels = cpu::kernels().of<float>();
  kernels.multiply_panels({frames_, taps_ * channels_, x + first_ * channels_, stride_ * channels_,
                           static_cast<const float*>(panels_.raw()), 0,
                           panel_count(outputs_, kernels.panel_width), outputs_,
                           static_cast<const float*>(bias_.raw()), 0, y, outputs_});
}

VoiceStream::VoiceStream(const Detector& detector)
    : window_(kPadded), lstm_(nn::make_stepper(detector.rnn)) {
  // The window is its transform's input: kPadded rows of one channel.
  encoder_.emplace_back(detector.basis.value(), Tensor(), kPadded, kHop, 0);
  parts_.resize(static_cast<std::size_t>(kFrames * 2 * kBins));
  std::int64_t frames = kFrames, channels = kBins;
  for (std::size_t i = 0; i < detector.encoder.size(); ++i) {
    const nn::Conv1d& layer = detector.encoder[i];
    rows_.emplace_back(static_cast<std::size_t>((frames + 2) * channels));
    encoder_.emplace_back(layer.weight.value(), layer.bias.value(), frames, kStrides[i], 1);
    frames = encoder_.back().frames();
    channels = encoder_.back().outputs();
  }
  rows_.emplace_back(static_cast<std::size_t>((frames + 2) * channels));  // the LSTM's input
  hidden_.resize(static_cast<std::size_t>(lstm_.output_size()));
  decoder_ = detector.decoder.weight.value().to_vector<float>();
  decoder_.push_back(static_cast<float>(detector.decoder.bias.value().item()));
}

void VoiceStream::push(std::span<const float> samples, const Take& take) {
  for (const float x : samples) {
    if (!std::isfinite(x)) fail("voice", "a sample is NaN or infinite, expected finite numbers");
  }
  while (!samples.empty()) {
    const auto count = std::min(samples.size(), static_cast<std::size_t>(kChunk - filled_));
    std::copy_n(samples.begin(), count, window_.begin() + kContext + filled_);
    samples = samples.subspan(count);
    filled_ += static_cast<std::int64_t>(count);
    if (filled_ == kChunk) take(chunk());
  }
}

void VoiceStream::finish(const Take& take) {
  if (filled_ == 0) return;
  std::fill_n(window_.begin() + kContext + filled_, kChunk - filled_, 0.0f);
  take(chunk());
}

void VoiceStream::reset() {
  std::fill(window_.begin(), window_.end(), 0.0f);
  filled_ = 0;
  lstm_.reset();
}

float VoiceStream::chunk() {
  mirror_end(window_.data());
  encoder_[0].run(window_.data(), parts_.data());
  for (std::int64_t f = 0; f < kFrames; ++f) {
    const float* re = parts_.data() + f * 2 * kBins;
    float* to = rows_[0].data() + (f + 1) * kBins;  // row 0 is padding
    for (std::int64_t k = 0; k < kBins; ++k)
      to[k] = std::sqrt(re[k] * re[k] + re[k + kBins] * re[k + kBins]);
  }
  for (std::size_t i = 1; i < encoder_.size(); ++i) {
    const std::int64_t outputs = encoder_[i].outputs();
    float* to = rows_[i].data() + outputs;
    encoder_[i].run(rows_[i - 1].data(), to);
    for (std::int64_t j = 0; j < encoder_[i].frames() * outputs; ++j) to[j] = std::max(to[j], 0.0f);
  }
  const std::span<const float> code(rows_.back().data() + encoder_.back().outputs(),
                                    static_cast<std::size_t>(lstm_.input_size()));
  if (!lstm_.step(code, hidden_)) fail("voice", text_of(lstm_.error()));
  for (float& h : hidden_) h = std::max(h, 0.0f);
  const float logit = decoder_.back() +
                      cpu::kernels().dot_row(lstm_.output_size(), hidden_.data(), decoder_.data());
  std::copy_n(window_.begin() + kChunk, kContext, window_.begin());
  filled_ = 0;
  return 1 / (1 + std::exp(-logit));
}

}  // namespace voice
