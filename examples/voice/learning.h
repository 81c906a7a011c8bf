// SPDX-License-Identifier: MIT
// Recordings as a task of a detector: pieces of equal length, truncated BPTT, and a threshold of
// the energy as a baseline.
#pragma once

#include <vector>

#include "examples/common/task_training.h"
#include "examples/voice/detector.h"
#include "examples/voice/signal.h"

namespace voice {

// A batch of P chunks of N pieces, and the labels of each chunk.
struct Batch {
  tapeloop::Tensor spectra;  // [P, N, B, F]
  tapeloop::Tensor labels;   // [P, N]
};

// Recordings cut into pieces of P chunks; the last piece of each ends with it. A piece begins with
// the LSTM's initial state.
class Pieces {
 public:
  // `length`: P, at most. Shorter if a recording is.
  Pieces(const Detector& detector, const std::vector<Labelled>& recordings, std::int64_t length);
  std::int64_t count() const { return static_cast<std::int64_t>(pieces_.size()); }
  Batch batch(const std::vector<std::int64_t>& pieces) const;
  std::vector<std::int64_t> all() const;  // 0, 1, .. count() - 1

  // The share of chunks with the right label if chunks above `threshold` are voice, and the
  // threshold that is best here.
  double right_by_energy(double threshold) const;
  double best_threshold() const;

 private:
  struct Piece {
    std::vector<float> spectra;  // [P, B, F]
    std::vector<float> labels, energies;
  };
  std::vector<Piece> pieces_;
};

// The mean binary cross-entropy. The gradient ends after `bptt` chunks; the state goes on.
tapeloop::Var loss_of(const Detector& detector, const Batch& batch, std::int64_t bptt);
// The loss, and the share of chunks with the right label.
common::Score score_of(const Detector& detector, const Batch& batch);

}  // namespace voice
