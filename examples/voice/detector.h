// SPDX-License-Identifier: MIT
// A voice detector of the form of Silero VAD: a short Fourier transform by convolution, four
// convolutions, an LSTM, a probability per chunk. As a module that is trained, and as a stream.
// It reads no sound file.
//   T chunks, N streams, B bins of the transform, F frames of a chunk, H units of the LSTM.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "tapeloop/tapeloop.h"

namespace voice {

inline constexpr std::int64_t kChunk = 512;   // new samples of a chunk: 32 ms
inline constexpr std::int64_t kContext = 64;  // samples of the chunk before, in front of them
inline constexpr std::int64_t kWindow = 256;  // of the Fourier transform
inline constexpr std::int64_t kHop = 128;     // from one frame to the next
inline constexpr std::int64_t kPadded = kContext + kChunk + 64;  // with the mirrored end
inline constexpr std::int64_t kBins = kWindow / 2 + 1;
inline constexpr std::int64_t kFrames = (kPadded - kWindow) / kHop + 1;
inline constexpr std::array<std::int64_t, 4> kStrides = {1, 2, 2, 1};  // of the convolutions

// `window`: kContext + kChunk samples, and behind them room for the mirror image of the last 64
// samples without the very last one, which this function writes.
void mirror_end(float* window);
// The windows of a whole recording, [T, kPadded]: the context of the first chunk and the end of the
// last one are zeros.
tapeloop::Tensor windows_of(std::span<const float> samples);

// Parameters have the names of Silero VAD's TorchScript file. The Fourier transform is a buffer.
struct Detector {
  tapeloop::Var basis;                        // [2 B, 1, kWindow]: cosines, then sines
  std::vector<tapeloop::nn::Conv1d> encoder;  // kernels of 3, each followed by relu
  tapeloop::nn::Lstm rnn;
  tapeloop::nn::Conv1d decoder;  // [1, H, 1]
  // A new one: windows of Hann's form, `channels` outputs of each convolution.
  Detector(const std::array<std::int64_t, 4>& channels, std::int64_t hidden,
           tapeloop::Random& random);
  // |Fourier transform| of windows [n, kPadded]: [n, B, F]. No gradient.
  tapeloop::Tensor spectra(const tapeloop::Tensor& windows) const;
  // spectra [T, N, B, F] -> logits [T, N]. `state` is the LSTM's, of the chunks before; it becomes
  // that after the last chunk.
  tapeloop::Var logits(const tapeloop::Tensor& spectra, tapeloop::nn::Lstm::State& state) const;
  void visit(tapeloop::nn::Visitor& v) const;
};

// A detector with the sizes and the weights of a safetensors file. Throws FileError if a tensor has
// a size that no such detector has, and Error that lists missing and surplus names.
Detector read_detector(const std::string& path);

// A convolution of kernel 3 or the Fourier transform on one window, by packed weights: rows [F, C],
// F' = (F + 2 padding - kernel) / stride + 1. Taps that would read only padding are left out.
class StreamConvolution {
 public:
  // weight [O, C, kernel], bias [O] or undefined. `frames`: F, on rows with `padding` zero rows on
  // both sides.
  StreamConvolution(const tapeloop::Tensor& weight, const tapeloop::Tensor& bias,
                    std::int64_t frames, std::int64_t stride, std::int64_t padding);
  std::int64_t outputs() const { return outputs_; }
  std::int64_t frames() const { return frames_; }  // F'
  // x: the first padded row. y: rows [F', O].
  void run(const float* x, float* y) const noexcept;

 private:
  std::int64_t channels_, outputs_, frames_, stride_, first_ = 0, taps_ = 0;
  tapeloop::Tensor panels_, bias_;
};

// One stream of sound. It copies the weights, and allocates nothing after its construction. The
// result does not depend on the lengths of the pieces.
class VoiceStream {
 public:
  using Take = std::function<void(float probability)>;
  explicit VoiceStream(const Detector& detector);
  // Adds samples; calls take() for each chunk that they complete. Throws Error for NaN.
  void push(std::span<const float> samples, const Take& take);
  // Fills the last chunk with zeros, if it has a sample.
  void finish(const Take& take);
  void reset();  // for another recording

 private:
  float chunk();
  std::int64_t filled_ = 0;                 // samples of the present chunk
  std::vector<float> window_, parts_;       // the window; its transform [F, 2 B]
  std::vector<StreamConvolution> encoder_;  // with the Fourier transform in front
  std::vector<std::vector<float>> rows_;    // the input of each convolution, and its zero rows
  tapeloop::Stepper lstm_;
  std::vector<float> hidden_, decoder_;  // decoder_: weights and the bias
};

}  // namespace voice
