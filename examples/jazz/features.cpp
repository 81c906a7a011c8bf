// SPDX-License-Identifier: MIT
// The tables of features, and batches of them. Only the lists of sizes here define the order of the
// features.
#include "examples/jazz/features.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace jazz {
namespace {

using tapeloop::DType;
using tapeloop::Tensor;

constexpr int kBeat = 12;  // units of a quarter
// Intervals to the root; then: no interval (a rest, no chord), nothing yet.
constexpr int kIntervals = 12 + 2;

constexpr std::array<int, kInputFeatures> kInputSizes{
    kDeltaClasses + 1, kPitchClasses + 1, kDurationClasses + 1, kPositions, kBeat, kRoots,
    kQualities,        kIntervals,        kIntervals,           kQualities};
constexpr std::array<int, kPitchFeatures> kPitchSizes{
    kDeltaClasses, kPositions, kBeat,      kRoots,        kQualities,
    kIntervals,    kQualities, kIntervals, kPitchClasses, kQualities* kIntervals};
constexpr std::array<int, kDurationFeatures> kDurationSizes{
    kDeltaClasses, kPitchClasses, kPositions, kBeat, kIntervals, kDurationClasses + 1};

template <std::size_t N>
std::array<std::int64_t, N> rows_of(const std::array<int, N>& sizes,
                                    const std::array<int, N>& values) {
  std::array<std::int64_t, N> rows{};
  int first = 0;
  for (std::size_t i = 0; i < N; ++i) {
    rows[i] = first + values[i];
    first += sizes[i];
  }
  return rows;
}

// Semitones from a root up to a pitch class of the piano; 12 if one of them is missing.
int interval_to(int root, int pitch) {
  if (root == kNoRoot || pitch == kRest) return 12;
  return (pitch_of(pitch) + 12 - root) % 12;
}

int root_motion(const Context& at) {
  if (at.root == kNoRoot || at.next_root == kNoRoot) return 12;
  return (at.next_root + 12 - at.root) % 12;
}

Tensor integers(const tapeloop::Shape& shape, std::int64_t value) {
  return Tensor::full(shape, static_cast<double>(value), DType::int64);
}

template <class Row>
void put(const Tensor& tensor, std::int64_t place, const Row& row) {
  const auto width = static_cast<std::int64_t>(row.size());
  std::copy(row.begin(), row.end(), tensor.data<std::int64_t>() + place * width);
}

}  // namespace

const int kInputRows = std::accumulate(kInputSizes.begin(), kInputSizes.end(), 0);
const int kPitchRows = std::accumulate(kPitchSizes.begin(), kPitchSizes.end(), 0);
const int kDurationRows = std::accumulate(kDurationSizes.begin(), kDurationSizes.end(), 0);

Sequence encode_sequence(const Tune& tune) { return {encode(tune), context_at(tune, 0)}; }

void Line::add(const Event& event) {
  begun = true;
  last = event;
  if (event.pitch != kRest) sounding = event.pitch;
}

InputRow input_row(const Line& line) {
  const Event& e = line.last;
  const Context& at = e.at;
  const int interval = line.begun ? interval_to(at.root, e.pitch) : 13;
  return rows_of(kInputSizes,
                 {line.begun ? e.delta : kDeltaClasses, line.begun ? e.pitch : kPitchClasses,
                  line.begun ? e.duration : kDurationClasses, at.position, at.position % kBeat,
                  at.root, at.quality, interval, root_motion(at), at.next_quality});
}

PitchRow pitch_row(const Line& line, int delta, const Context& at) {
  const int interval = line.sounding == kRest ? 13 : interval_to(at.root, line.sounding);
  return rows_of(kPitchSizes,
                 {delta, at.position, at.position % kBeat, at.root, at.quality, root_motion(at),
                  at.next_quality, interval, line.sounding, at.quality * kIntervals + interval});
}

DurationRow duration_row(const Line& line, int delta, const Context& at, int pitch) {
  return rows_of(kDurationSizes,
                 {delta, pitch, at.position, at.position % kBeat, interval_to(at.root, pitch),
                  line.begun ? line.last.duration : kDurationClasses});
}

std::span<const std::int64_t> root_columns(int root) {
  static const auto table = [] {
    std::array<std::array<std::int64_t, kPitchClasses>, kRoots> rows{};
    for (int r = 0; r < kRoots; ++r) {
      auto& row = rows[static_cast<std::size_t>(r)];
      row[kRest] = kRootColumns - 1;
      // Without a root the columns mean note names: any fixed root works.
      for (int p = 1; p < kPitchClasses; ++p) {
        row[static_cast<std::size_t>(p)] = interval_to(r == kNoRoot ? 0 : r, p);
      }
    }
    return rows;
  }();
  return table[static_cast<std::size_t>(root)];
}

std::span<const std::int64_t> step_columns(int sounding) {
  static const auto table = [] {
    std::array<std::array<std::int64_t, kPitchClasses>, kPitchClasses> rows{};
    // Replaces the last note at the beginning.
    constexpr int kMiddle = 1 + (60 - kLowestKey);
    for (int s = 0; s < kPitchClasses; ++s) {
      auto& row = rows[static_cast<std::size_t>(s)];
      row[kRest] = kStepColumns - 1;
      for (int p = 1; p < kPitchClasses; ++p) {
        const int step = p - (s == kRest ? kMiddle : s);
        row[static_cast<std::size_t>(p)] = std::clamp(step, -25, 25) + 25;
      }
    }
    return rows;
  }();
  return table[static_cast<std::size_t>(sounding)];
}

Batch::Batch(std::int64_t steps, std::int64_t lines)
    : input(integers({steps, lines, kInputFeatures}, 0)),
      pitch(integers({steps, lines, kPitchFeatures}, 0)),
      duration(integers({steps, lines, kDurationFeatures}, 0)),
      root_columns(integers({steps * lines, kPitchClasses}, 0)),
      step_columns(integers({steps * lines, kPitchClasses}, 0)) {
  for (Tensor& target : targets) target = integers({steps, lines}, kNoTarget);
}

void Batch::set(std::int64_t t, std::int64_t n, const Line& before, const Event& event) {
  const std::int64_t place = t * input.dim(1) + n;
  put(input, place, input_row(before));
  put(pitch, place, pitch_row(before, event.delta, event.at));
  put(duration, place, duration_row(before, event.delta, event.at, event.pitch));
  put(root_columns, place, jazz::root_columns(event.at.root));
  put(step_columns, place, jazz::step_columns(before.sounding));
  const int values[] = {event.delta, event.pitch, event.duration};
  for (std::size_t i = 0; i < 3; ++i) targets[i].data<std::int64_t>()[place] = values[i];
  ++events;
  if (event.pitch != kRest) ++notes;
}

}  // namespace jazz
