// SPDX-License-Identifier: MIT
// Writing the tune, measuring the takes, printing both.
// It prints a missed aim as missed; the program does not draw again for a better result.
#include "examples/jazz/report.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/jazz/midi/midi.h"
#include "examples/jazz/midi/wav.h"
#include "examples/jazz/piano_roll.h"

namespace jazz {
namespace {

constexpr double kMostPointsApart = 10;
constexpr double kMostCopied = 0.2;

nlohmann::json to_json(const Measures& m) {
  return {{"tunes", m.tunes},
          {"notes", m.notes},
          {"notes_per_bar", m.notes_per_bar},
          {"chord_tones", m.chord_tones},
          {"copied_any_key", m.copied_any_key},
          {"copied_pitches", m.copied_pitches},
          {"lowest", m.lowest},
          {"highest", m.highest},
          {"rhythm_bits", m.rhythm_bits}};
}

bool has_chords(const Tune& tune) {
  for (const ChordSpan& span : tune.chords) {
    if (span.chord.quality != Quality::none) return true;
  }
  return false;
}

}  // namespace

void write_tune(const Tune& tune, const OutputFiles& files, std::uint64_t seed) {
  const bool chords = has_chords(tune);
  write_midi(tune, files.midi,
             {.swing = chords, .rhythm_section = chords, .seed = static_cast<std::uint32_t>(seed)});
  common::print("wrote {}: {} notes, {} bars, {:.0f} quarters a minute\n", files.midi,
                tune.notes.size(), bars_of(tune), tune.tempo);
  write_piano_roll(tune, files.picture);
  common::print("wrote {}\n", files.picture);
  const WavResult sound = write_wav(files.midi, files.sound);
  if (sound.written) {
    common::print("wrote {}\n", files.sound);
  } else {
    common::print("no {}: {}\n", files.sound, sound.why_not);
  }
}

Judgement judge(std::span<const Tune> takes, const Material& material) {
  const std::vector<Tune> corpus = material.all();
  const RunIndex index(corpus);
  Judgement result;
  result.generated = measure(takes, index);
  result.written = measure(takes.first(1), index);
  result.corpus = measure_corpus(corpus, index);
  result.points_apart = 100 * std::abs(result.generated.chord_tones - result.corpus.chord_tones);
  result.chord_tones_met = result.points_apart <= kMostPointsApart;
  result.copying_met = result.generated.copied_any_key < kMostCopied;
  return result;
}

void print(const Judgement& j) {
  common::print("{}", comparison_table(j.generated, j.corpus));
  const auto verdict = [](bool met) { return met ? "met" : "MISSED"; };
  if (!std::isnan(j.points_apart)) {
    common::print("aim: chord tones within {:.0f} points of the corpus: {:.1f} apart, {}\n",
                  kMostPointsApart, j.points_apart, verdict(j.chord_tones_met));
  }
  if (std::isnan(j.generated.copied_any_key)) {
    common::print("copied runs: too few notes to hold a run of 8\n");
  } else {
    common::print("aim: under {:.0f} % of 8-note runs copied: {:.1f} %, {}\n", 100 * kMostCopied,
                  100 * j.generated.copied_any_key, verdict(j.copying_met));
  }
  const auto percent = [](double share, const char* of) {
    return std::isnan(share) ? fmt::format("too few notes for {}", of)
                             : fmt::format("{:.1f} % {}", 100 * share, of);
  };
  common::print("the written take alone: {}, {}\n",
                percent(j.written.chord_tones, "chord tones on strong beats"),
                percent(j.written.copied_any_key, "copied runs"));
}

nlohmann::json to_json(const Judgement& j) {
  return {{"generated", to_json(j.generated)},    {"written", to_json(j.written)},
          {"corpus", to_json(j.corpus)},          {"chord_tones_points_apart", j.points_apart},
          {"chord_tones_met", j.chord_tones_met}, {"copying_met", j.copying_met}};
}

nlohmann::json to_json(const NatsPerNote& nats) {
  return {{"delta", nats.delta},
          {"pitch", nats.pitch},
          {"duration", nats.duration},
          {"total", nats.total()}};
}

}  // namespace jazz
