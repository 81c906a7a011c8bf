// SPDX-License-Identifier: MIT
// The baseline for the network: interpolated n-grams of order 3 over the same events. It knows
// nothing of keys: give it the same transposed copies as the network.
//
// A mixture of two or three back-off chains predicts each factor. A chain is a list of ever longer
// contexts, smoothed by Witten & Bell (1991): with c counts and T(h) the number of different
// symbols seen after h,
//   p(w | h) = (c(h, w) + T(h) p(w | shorter h)) / (c(h) + T(h)),   p(w) at the end uniform.
// One chain uses the line alone (up to 3 earlier notes), one the place in the bar, and for the
// pitch one the chords. EM fits the mixture weights on the last eighth of the sequences, with
// counts of the rest; then all sequences are counted.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "examples/jazz/music/events.h"

namespace jazz {

enum class Factor { delta, pitch, duration };
inline constexpr int kFactors = 3;

// Nats per sounding note: the sum includes the cost of rests, the number of notes does not include
// rests.
struct NatsPerNote {
  double delta = 0;
  double pitch = 0;
  double duration = 0;
  double total() const { return delta + pitch + duration; }
};

class Ngram {
 public:
  using Sequences = std::span<const std::vector<Event>>;

  // Forgets earlier training. Transposed copies of one tune should be adjacent, so that the last
  // eighth holds tunes that the rest does not have. Throws std::invalid_argument if there is no
  // event.
  void train(Sequences sequences);

  // p(value | past, now). `now` holds the factors before this one and, for pitch and duration, the
  // context of the onset. Throws std::logic_error before training.
  double probability(Factor factor, std::span<const Event> past, const Event& now, int value) const;

  // Throws std::invalid_argument if there is no note.
  NatsPerNote nats_per_note(Sequences sequences) const;

 private:
  static constexpr int kChains = 3;

  struct Seen {
    int total = 0;
    int kinds = 0;
  };

  struct Mixture {
    double weight[kFactors][kChains] = {};
  };

  void count(Sequences sequences);
  void fit_weights(Sequences held_out);
  double chain_probability(Factor factor, int chain, std::span<const Event> past, const Event& now,
                           int value) const;

  std::unordered_map<std::uint64_t, Seen> contexts_;
  std::unordered_map<std::uint64_t, int> counts_;  // key: context and value
  Mixture mixture_;
  bool trained_ = false;
};

}  // namespace jazz
