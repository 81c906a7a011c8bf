// SPDX-License-Identifier: MIT
// Events as rows of class numbers, which the model looks up in its tables. It holds no weights and
// does not choose what to predict.
//
// The model predicts a note in three turns. Each turn knows the results of the turns before it:
//   delta     from the line so far (the recurrent state)
//   pitch     from that, the delta, and what the chart says of the moment that is now known
//   duration  from that, the delta and the pitch
// A pitch logit is a sum of three: one for the key of the piano, one for the interval to the
// chord's root, one for the interval to the last note. So the model learns a chord's third, or a
// step down, once for all keys and registers. With transposed training data alone it would need
// many more passes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "examples/jazz/music/events.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace jazz {

// The events of a tune, and the chart's context of the first tick.
struct Sequence {
  std::vector<Event> events;
  Context start;
};

Sequence encode_sequence(const Tune& tune);

// The state of a line: everything besides the recurrent state that predicts the next event.
struct Line {
  bool begun = false;  // false before the first event: `last` then only has its context
  Event last;
  // Pitch class of the last event that was not a rest; kRest if there is none.
  int sounding = kRest;

  explicit Line(const Context& start) { last.at = start; }
  void add(const Event& event);
};

inline constexpr int kInputFeatures = 10;
inline constexpr int kPitchFeatures = 10;
inline constexpr int kDurationFeatures = 6;

// Rows of the three tables; each feature has its own range of rows.
extern const int kInputRows;
extern const int kPitchRows;
extern const int kDurationRows;

// Columns of the pitch logits' parts. Root: 12 intervals to the root, and the rest. Step: from -24
// to 24 to the last note, farther down, farther up, and the rest.
inline constexpr int kRootColumns = 13;
inline constexpr int kStepColumns = 52;

using InputRow = std::array<std::int64_t, kInputFeatures>;
using PitchRow = std::array<std::int64_t, kPitchFeatures>;
using DurationRow = std::array<std::int64_t, kDurationFeatures>;

InputRow input_row(const Line& line);
PitchRow pitch_row(const Line& line, int delta, const Context& at);
DurationRow duration_row(const Line& line, int delta, const Context& at, int pitch);

// For each pitch class, its column in one of the two relative parts, given the root or the pitch
// class of the last note: [89] each.
std::span<const std::int64_t> root_columns(int root);
std::span<const std::int64_t> step_columns(int sounding);

// Target of a place after a sequence's end: the loss ignores it.
inline constexpr std::int64_t kNoTarget = -1;

// T steps of N lines. All int64. The targets of a line that has ended are kNoTarget.
struct Batch {
  tapeloop::Tensor input;         // [T, N, 10]
  tapeloop::Tensor pitch;         // [T, N, 10]
  tapeloop::Tensor duration;      // [T, N, 6]
  tapeloop::Tensor root_columns;  // [T N, 89]
  tapeloop::Tensor step_columns;  // [T N, 89]
  tapeloop::Tensor targets[3];    // delta, pitch, duration: [T, N]
  std::int64_t notes = 0;         // events that sound
  std::int64_t events = 0;

  Batch(std::int64_t steps, std::int64_t lines);

  // Puts an event and the line before it at step t of line n.
  void set(std::int64_t t, std::int64_t n, const Line& before, const Event& event);
};

}  // namespace jazz
