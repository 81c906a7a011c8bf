// SPDX-License-Identifier: MIT
// The sampling loop: all takes in parallel, three draws for each note.
#include "examples/jazz/generate.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace jazz {
namespace {

using namespace tapeloop;

struct Take {
  Random random;
  Line line;
  std::vector<Event> events;
  int now = 0;  // tick of the last onset
  bool ended = false;
};

void forbid(const Tensor& logits, std::int64_t row, std::int64_t value) {
  logits.data<float>()[row * logits.dim(1) + value] = -std::numeric_limits<float>::infinity();
}

int place_in_beat(const Line& line) {
  return line.last.at.position % (kTicksPerQuarter / kUnitTicks);
}

// Forbids the deltas that the options exclude after a line. If that is all of them, forbids only 0.
void forbid_deltas(const Tensor& logits, std::size_t row, const Line& line,
                   const GenerateOptions& options) {
  std::vector<int> bad;
  for (int delta = 0; delta < kDeltaClasses; ++delta) {
    const bool same_time = options.one_voice && line.begun && delta == 0;
    const bool off_grid =
        !options.steps.empty() && !options.steps.contains({place_in_beat(line), delta});
    if (same_time || off_grid) bad.push_back(delta);
  }
  if (bad.size() == static_cast<std::size_t>(kDeltaClasses)) bad = {0};
  for (int delta : bad) forbid(logits, static_cast<std::int64_t>(row), delta);
}

// Draws one class for each take that has not ended, with the take's own random numbers.
std::vector<int> draw(const Tensor& logits, std::vector<Take>& takes,
                      const nn::SampleOptions& options) {
  std::vector<int> values(takes.size(), 0);
  for (std::size_t n = 0; n < takes.size(); ++n) {
    if (takes[n].ended) continue;
    const auto row = static_cast<std::int64_t>(n);
    const Tensor choice = nn::sample(logits.slice(0, row, row + 1), takes[n].random, options);
    values[n] = static_cast<int>(choice.item());
  }
  return values;
}

template <class Row>
void put(const Tensor& tensor, std::size_t n, const Row& row) {
  std::copy(row.begin(), row.end(),
            tensor.data<std::int64_t>() + n * static_cast<std::size_t>(tensor.dim(-1)));
}

Tensor rows(std::size_t count, std::int64_t width) {
  return Tensor::zeros({static_cast<std::int64_t>(count), width}, DType::int64);
}

// The notes of a take, cut at the end of the chart and, with one voice, at the next note.
Tune finished(const Take& take, const Tune& chart, int end, bool one_voice) {
  Tune tune = decode(take.events, chart);
  for (std::size_t i = 0; i < tune.notes.size(); ++i) {
    int limit = end;
    if (one_voice && i + 1 < tune.notes.size()) limit = tune.notes[i + 1].start;
    tune.notes[i].length = std::min(tune.notes[i].length, limit - tune.notes[i].start);
  }
  return tune;
}

}  // namespace

void fit_to(GenerateOptions& options, const Material& material) {
  options.one_voice = material.one_voice;
  // If the tunes fit a horn's range, they stay in that range in all keys.
  const bool horn = material.lowest >= kLowestMelody && material.highest <= kHighestMelody;
  options.lowest = horn ? kLowestMelody : material.lowest;
  options.highest = horn ? kHighestMelody : material.highest;
  options.steps.clear();
  for (const auto* tunes : {&material.training, &material.held_out}) {
    for (const Tune& tune : *tunes) {
      const Sequence sequence = encode_sequence(tune);
      Line line(sequence.start);
      for (const Event& event : sequence.events) {
        options.steps.emplace(place_in_beat(line), event.delta);
        line.add(event);
      }
    }
  }
}

std::vector<Tune> generate(const Model& model, const Tune& chart, int count,
                           const GenerateOptions& options) {
  const int end = length_of(chart);
  if (count < 1 || end < 1) {
    throw std::invalid_argument("generate: expected one take or more, and a chart with bars");
  }
  const PauseRecording no_tape;
  const nn::SampleOptions pitch{.temperature = options.temperature, .top_p = options.top_p};
  const nn::SampleOptions rhythm{.temperature = options.rhythm_temperature};
  Random seeds(options.seed);
  std::vector<Take> takes;
  for (int k = 0; k < count; ++k) takes.push_back({seeds.split(), Line(context_at(chart, 0)), {}});

  const std::size_t n = takes.size();
  Memory memory;
  const auto going_on = [](const Take& take) { return !take.ended; };
  while (std::any_of(takes.begin(), takes.end(), going_on)) {
    Tensor input = rows(n, kInputFeatures);
    for (std::size_t i = 0; i < n; ++i) put(input, i, input_row(takes[i].line));
    const Var h = reshape(
        model.read(input.reshape({1, static_cast<std::int64_t>(n), kInputFeatures}), memory),
        {-1, model.options().hidden});

    const Tensor delta_logits = model.delta_logits(h).value().to(Device::cpu);
    for (std::size_t i = 0; i < n; ++i) forbid_deltas(delta_logits, i, takes[i].line, options);
    const std::vector<int> deltas = draw(delta_logits, takes, rhythm);

    Tensor pitch_rows = rows(n, kPitchFeatures);
    Tensor by_root = rows(n, kPitchClasses);
    Tensor by_step = rows(n, kPitchClasses);
    std::vector<Context> moments(n);
    for (std::size_t i = 0; i < n; ++i) {
      Take& take = takes[i];
      take.now += delta_ticks(deltas[i]);
      if (take.now >= end) take.ended = true;
      moments[i] = context_at(chart, take.now);
      put(pitch_rows, i, pitch_row(take.line, deltas[i], moments[i]));
      put(by_root, i, root_columns(moments[i].root));
      put(by_step, i, step_columns(take.line.sounding));
    }
    const Tensor pitch_logits =
        model.pitch_logits(h, pitch_rows, by_root, by_step).value().to(Device::cpu);
    for (std::size_t i = 0; i < n; ++i) {
      for (int p = 1; p < kPitchClasses; ++p) {
        if (pitch_of(p) < options.lowest || pitch_of(p) > options.highest) {
          forbid(pitch_logits, static_cast<std::int64_t>(i), p);
        }
      }
    }
    const std::vector<int> pitches = draw(pitch_logits, takes, pitch);

    Tensor duration_rows = rows(n, kDurationFeatures);
    for (std::size_t i = 0; i < n; ++i) {
      put(duration_rows, i, duration_row(takes[i].line, deltas[i], moments[i], pitches[i]));
    }
    const std::vector<int> durations =
        draw(model.duration_logits(h, duration_rows).value(), takes, rhythm);
    for (std::size_t i = 0; i < n; ++i) {
      if (takes[i].ended) continue;
      takes[i].events.push_back({deltas[i], pitches[i], durations[i], moments[i]});
      takes[i].line.add(takes[i].events.back());
    }
  }
  std::vector<Tune> tunes;
  for (const Take& take : takes) tunes.push_back(finished(take, chart, end, options.one_voice));
  return tunes;
}

}  // namespace jazz
