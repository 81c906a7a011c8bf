// SPDX-License-Identifier: MIT
// Cuts recordings, joins pieces to batches, and follows the state through segments.
#include "examples/voice/learning.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tapeloop/autograd/ops/losses.h"

namespace voice {

using namespace tapeloop;

Pieces::Pieces(const Detector& detector, const std::vector<Labelled>& recordings,
               std::int64_t length) {
  for (const Labelled& one : recordings) {
    length = std::min(length, static_cast<std::int64_t>(one.labels.size()));
  }
  if (length < 1) fail("voice", "a recording has no samples");
  constexpr auto numbers = static_cast<std::size_t>(kBins * kFrames);
  for (const Labelled& one : recordings) {
    const auto chunks = static_cast<std::int64_t>(one.labels.size());
    const Tensor spectra = detector.spectra(windows_of(one.samples).to(detector.basis.device()));
    const std::vector<float> all = spectra.to(Device::cpu).to_vector<float>();
    for (std::int64_t at = 0; at < chunks; at += length) {
      const std::int64_t begin = std::min(at, chunks - length);
      Piece piece;
      const float* from = all.data() + static_cast<std::size_t>(begin) * numbers;
      piece.spectra.assign(from, from + static_cast<std::size_t>(length) * numbers);
      for (std::int64_t t = begin; t < begin + length; ++t) {
        piece.labels.push_back(one.labels[static_cast<std::size_t>(t)]);
        double energy = 0;
        const auto end = std::min(one.samples.size(), static_cast<std::size_t>((t + 1) * kChunk));
        for (auto i = static_cast<std::size_t>(t * kChunk); i < end; ++i)
          energy += static_cast<double>(one.samples[i]) * static_cast<double>(one.samples[i]);
        piece.energies.push_back(static_cast<float>(energy));
      }
      pieces_.push_back(std::move(piece));
    }
  }
}

std::vector<std::int64_t> Pieces::all() const {
  std::vector<std::int64_t> result(pieces_.size());
  std::iota(result.begin(), result.end(), 0);
  return result;
}

Batch Pieces::batch(const std::vector<std::int64_t>& list) const {
  const std::size_t length = pieces_[0].labels.size(), numbers = kBins * kFrames;
  std::vector<float> x, y;
  x.reserve(length * list.size() * numbers);
  for (std::size_t t = 0; t < length; ++t) {
    for (const std::int64_t i : list) {
      const Piece& piece = pieces_[static_cast<std::size_t>(i)];
      const float* from = piece.spectra.data() + t * numbers;
      x.insert(x.end(), from, from + numbers);
      y.push_back(piece.labels[t]);
    }
  }
  const auto steps = static_cast<std::int64_t>(length);
  const auto count = static_cast<std::int64_t>(list.size());
  return {Tensor::from({steps, count, kBins, kFrames}, x), Tensor::from({steps, count}, y)};
}

double Pieces::right_by_energy(double threshold) const {
  std::int64_t right = 0, chunks = 0;
  for (const Piece& piece : pieces_) {
    for (std::size_t t = 0; t < piece.labels.size(); ++t, ++chunks)
      right += (static_cast<double>(piece.energies[t]) > threshold) == (piece.labels[t] >= 0.5f);
  }
  return static_cast<double>(right) / static_cast<double>(chunks);
}

double Pieces::best_threshold() const {
  std::vector<std::pair<float, bool>> chunks;
  for (const Piece& piece : pieces_) {
    for (std::size_t t = 0; t < piece.labels.size(); ++t)
      chunks.emplace_back(piece.energies[t], piece.labels[t] >= 0.5f);
  }
  std::sort(chunks.begin(), chunks.end());
  // Below the first chunk all are voice; each chunk that the threshold passes changes sides.
  std::int64_t right =
      std::count_if(chunks.begin(), chunks.end(), [](auto& c) { return c.second; });
  std::int64_t best = right;
  double threshold = -1;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    right += chunks[i].second ? -1 : 1;
    if (i + 1 < chunks.size() && chunks[i + 1].first == chunks[i].first) continue;
    if (right <= best) continue;
    best = right;
    threshold = static_cast<double>(chunks[i].first);
  }
  return threshold;
}

Var loss_of(const Detector& detector, const Batch& batch, std::int64_t bptt) {
  const std::int64_t steps = batch.labels.dim(0);
  nn::Lstm::State state;
  Var total;
  for (std::int64_t t = 0; t < steps; t += bptt) {
    const std::int64_t end = std::min(t + bptt, steps);
    const Var logits = detector.logits(batch.spectra.slice(0, t, end), state);
    const Var nats = bce_with_logits(logits, batch.labels.slice(0, t, end), Reduce::sum);
    total = total.defined() ? total + nats : nats;
    state = state.detach();
  }
  return total * (1 / static_cast<double>(batch.labels.numel()));
}

common::Score score_of(const Detector& detector, const Batch& batch) {
  nn::Lstm::State state;
  const Var logits = detector.logits(batch.spectra, state);
  const std::vector<float> found = logits.value().to(Device::cpu).to_vector<float>();
  const std::vector<float> wanted = batch.labels.to(Device::cpu).to_vector<float>();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < found.size(); ++i) right += (found[i] >= 0) == (wanted[i] >= 0.5f);
  return {bce_with_logits(logits, batch.labels).item(),
          static_cast<double>(right) / static_cast<double>(found.size()),
          {}};
}

}  // namespace voice
