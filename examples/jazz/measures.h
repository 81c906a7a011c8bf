// SPDX-License-Identifier: MIT
// Numbers that compare generated music with its corpus and find copied runs. They judge no taste: a
// reader can check each count by hand.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "examples/jazz/music/score.h"

namespace jazz {

inline constexpr std::size_t kRunLength = 8;  // notes of a run that counts as copied

// All runs of 8 consecutive notes of a corpus, under two names each: by intervals and rhythm (the
// same lick in any key) and by pitches and rhythm. Rhythm is the ticks between onsets; how long the
// notes sound and where in the bar they begin does not matter. Notes of a chord follow one another
// from low to high. Memory: about 100 bytes per note.
class RunIndex {
 public:
  explicit RunIndex(std::span<const Tune> corpus);

  struct Copied {
    std::size_t runs = 0;          // runs looked up
    std::size_t any_key = 0;       // of them found as intervals and rhythm
    std::size_t same_pitches = 0;  // of them found as pitches and rhythm
  };

  static constexpr int kNoTune = -1;

  // Looks up the runs of a tune in the corpus. Ignores tune number `except`, so that a tune of the
  // corpus can be compared with the others.
  Copied look_up(const Tune& tune, int except = kNoTune) const;

 private:
  static constexpr int kSeveral = -2;

  static bool found(const std::unordered_map<std::string, int>& runs, const std::string& run,
                    int except);

  // The only tune that has the run, or kSeveral.
  std::unordered_map<std::string, int> by_interval_;
  std::unordered_map<std::string, int> by_pitch_;
};

// Shares are from 0 to 1; NaN if there was nothing to count.
struct Measures {
  std::size_t tunes = 0;
  std::size_t notes = 0;
  double notes_per_bar = 0;
  double chord_tones = 0;     // share of onsets on beats 1 and 3 (or the half bar) over a chord
  double copied_any_key = 0;  // share of 8-note runs that are in the corpus, in any key
  double copied_pitches = 0;  // the same at the same pitches
  int lowest = 0;             // MIDI numbers, 0 without notes
  int highest = 0;
  double rhythm_bits = 0;  // entropy of (ticks since the previous onset, length)
};

// Measures tunes against a corpus.
Measures measure(std::span<const Tune> tunes, const RunIndex& corpus);

// Measures the corpus itself: looks up each tune's runs in the other tunes. `corpus` must be the
// tunes of the index, in the same order.
Measures measure_corpus(std::span<const Tune> corpus, const RunIndex& index);

// A table with one measure on each line, ready to print.
std::string comparison_table(const Measures& generated, const Measures& corpus);

}  // namespace jazz
