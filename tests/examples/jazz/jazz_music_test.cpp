// SPDX-License-Identifier: MIT
// Tests of the jazz example's scores, events, n-grams, measures and picture.
// Other files test the texts of corpora and charts, and MIDI files.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

#include "examples/jazz/measures.h"
#include "examples/jazz/music/events.h"
#include "examples/jazz/music/score.h"
#include "examples/jazz/ngram.h"
#include "examples/jazz/piano_roll.h"
#include "tests/examples/jazz/jazz_sample.h"

namespace {

using namespace jazz;
using namespace jazz::test;

// A tune of even eighths that runs up and down a scale over one chord.
Tune scale_tune(int first_pitch, int notes) {
  constexpr int kScale[] = {0, 2, 4, 5, 7, 9, 11, 12, 11, 9, 7, 5, 4, 2};
  Tune tune;
  tune.title = "scale";
  for (int i = 0; i < notes; ++i) tune.notes.push_back({i * 48, 48, first_pitch + kScale[i % 14]});
  tune.chords.push_back({0, notes * 48, {0, Quality::major}});
  return tune;
}

}  // namespace

TEST_CASE("jazz: chord tones are the four notes of the family, in any octave") {
  const Chord half_diminished{4, Quality::half_diminished};  // E G Bb D
  std::string tones;
  for (int pitch = 60; pitch < 72; ++pitch) {
    CHECK(is_chord_tone(half_diminished, pitch) == is_chord_tone(half_diminished, pitch - 36));
    if (is_chord_tone(half_diminished, pitch)) tones += print_pitch(pitch) + " ";
  }
  CHECK(tones == "d4 e4 g4 bb4 ");
  CHECK_FALSE(is_chord_tone(Chord{}, 60));
}

TEST_CASE("jazz: transposing moves key, chords and notes, and takes the octave that fits") {
  const Tune tune = sample()[0];
  const Tune up = transpose(scale_tune(60, 16), 3);
  CHECK(up.notes[1].pitch == 65);
  CHECK(up.chords[0].chord.root == 3);
  CHECK(transpose(tune, 0) == tune);
  CHECK(transpose(tune, 2).key.tonic == 7);
  CHECK(transpose(tune, 2).chords[3].chord == Chord{});  // no chord stays no chord
  // A line from c4 to c5 by -8 would go below g3, so it goes up 4 instead.
  CHECK(transpose(scale_tune(60, 16), -8).notes[0].pitch == 64);
  CHECK(transpose(scale_tune(60, 16), 12).notes[0].pitch == 72);
  for (int semitones = -30; semitones <= 30; ++semitones) {
    CAPTURE(semitones);
    const Tune moved = transpose(scale_tune(60, 16), semitones);
    for (const Note& note : moved.notes) {
      CHECK(note.pitch >= kLowestMelody);
      CHECK(note.pitch <= kHighestMelody);
    }
    CHECK((moved.notes[0].pitch - moved.chords[0].chord.root) % 12 == 0);
  }
  Tune whole_range = tune;
  whole_range.notes = {{0, 48, 0}, {48, 48, 127}};
  for (const Note& note : transpose(whole_range, 5).notes) {
    CHECK(note.pitch >= 0);
    CHECK(note.pitch <= 127);
  }
}

TEST_CASE("jazz: encoding and decoding gives the same tune back, in every key") {
  for (const Tune& tune : sample()) {
    for (int semitones = -6; semitones <= 6; ++semitones) {
      const Tune moved = transpose(tune, semitones);
      CHECK(decode(encode(moved), moved) == moved);
    }
  }
}

TEST_CASE("jazz: chords have delta 0, and a gap that is no step is bridged by a rest") {
  Tune tune;
  tune.notes = {{0, 384, 64}, {0, 384, 60}, {0, 384, 67}, {2000, 24, 60}, {2024, 32, 61}};
  sort_notes(tune.notes);
  const auto events = encode(tune);
  REQUIRE(events.size() == 8);  // five notes, three rests: 2000 ticks are 96 + 96 + 54 + 4 units
  CHECK(events[0].delta == 0);
  CHECK(events[1].delta == 0);
  CHECK(pitch_of(events[1].pitch) == 64);
  CHECK(events[3].pitch == kRest);
  CHECK(delta_ticks(events[3].delta) == 768);
  CHECK(decode(events, tune).notes == tune.notes);
}

TEST_CASE("jazz: every delta up to 100 quarters survives, and every duration of the grid") {
  Tune tune;
  for (int units = 0; units <= 1200; ++units) {
    tune.notes = {{units * kUnitTicks, 48, 60}};
    CHECK(decode(encode(tune), tune).notes == tune.notes);
  }
  for (int eighths = 0; eighths < 15; ++eighths) {
    // All lengths that end on an eighth or in a triplet, up to a bar.
    for (int place : {0, 16, 32, 48}) {
      const int length = eighths * 48 + place;
      if (length == 0 || (length > 384 && length % 48 != 0)) continue;
      tune.notes = {{0, length, 60}};
      CAPTURE(length);
      CHECK(decode(encode(tune), tune).notes == tune.notes);
    }
  }
}

TEST_CASE("jazz: the steps ascend, and classes that do not exist are refused") {
  for (int i = 1; i < kDeltaClasses; ++i) CHECK(delta_ticks(i) > delta_ticks(i - 1));
  for (int i = 0; i < kDurationClasses; ++i) CHECK(duration_ticks(i) == delta_ticks(i + 1));
  CHECK(delta_ticks(kDeltaClasses - 1) == 768);
  CHECK_THROWS_AS(delta_ticks(kDeltaClasses), std::out_of_range);
  CHECK_THROWS_AS(duration_ticks(-1), std::out_of_range);
  CHECK_THROWS_AS(pitch_of(kRest), std::out_of_range);
  const Event wrong{0, kPitchClasses, 0, {}};
  CHECK_THROWS_AS(decode(std::span(&wrong, 1), Tune{}), std::out_of_range);
  Tune early;
  early.notes = {{-1, 48, 60}};
  CHECK_THROWS_AS(encode(early), std::out_of_range);
}

TEST_CASE(
    "jazz: a context names the place in the bar, the chord and the chord of the next half bar") {
  const Tune tune = sample()[0];
  const Context first = context_at(tune, 0);
  CHECK(first ==
        Context{0, 5, static_cast<int>(Quality::dominant), 5, static_cast<int>(Quality::dominant)});
  const Context second_half = context_at(tune, 240);
  CHECK(second_half.position == 30);
  CHECK(second_half.root == 5);
  CHECK(second_half.next_root == 10);
  const Context last = context_at(tune, 1535);
  CHECK(last.position == 47);
  CHECK(last.next_root == kNoRoot);
  CHECK(last.next_quality == 0);
}

TEST_CASE("jazz: the n-gram's distributions sum to one, also in contexts it never saw") {
  std::vector<std::vector<Event>> sequences;
  for (int semitones = -6; semitones < 6; ++semitones) {
    for (const Tune& tune : sample()) sequences.push_back(encode(transpose(tune, semitones)));
  }
  Ngram ngram;
  ngram.train(sequences);
  const std::vector<Event> strange = {{44, 88, 43, {}}, {1, 1, 1, {}}};
  for (const auto& past : {std::vector<Event>{}, sequences[0], strange}) {
    const std::pair<Factor, int> factors[] = {{Factor::delta, kDeltaClasses},
                                              {Factor::pitch, kPitchClasses},
                                              {Factor::duration, kDurationClasses}};
    for (const auto& [factor, classes] : factors) {
      double sum = 0;
      for (int value = 0; value < classes; ++value) {
        const double p = ngram.probability(factor, past, sequences[1][0], value);
        CHECK(p > 0);
        sum += p;
      }
      CHECK(sum == doctest::Approx(1).epsilon(1e-9));
    }
  }
}

TEST_CASE("jazz: the n-gram's first smoothing step is that of Witten and Bell") {
  // One event: in every context a chain saw one symbol once, so each level halves the distance to
  // 1.
  const std::vector<std::vector<Event>> sequences = {{{3, 40, 5, {}}}};
  Ngram ngram;
  ngram.train(sequences);
  auto after = [](int levels, double uniform) { return 1 - std::pow(0.5, levels) * (1 - uniform); };
  const double delta = (after(4, 1.0 / 45) + 2 * after(5, 1.0 / 45)) / 3;  // 4, 5 and 5 levels
  CHECK(ngram.probability(Factor::delta, {}, sequences[0][0], 3) == doctest::Approx(delta));
}

TEST_CASE("jazz: the n-gram learns a melody by heart and does worse on another") {
  std::vector<std::vector<Event>> sequences(8, encode(scale_tune(60, 56)));
  Ngram ngram;
  ngram.train(sequences);
  const NatsPerNote known = ngram.nats_per_note(sequences);
  CHECK(known.total() < 0.2);
  const std::vector<std::vector<Event>> other = {encode(sample()[0])};
  const NatsPerNote unknown = ngram.nats_per_note(other);
  CHECK(unknown.pitch > 10 * known.pitch);
  CHECK(unknown.total() == doctest::Approx(unknown.delta + unknown.pitch + unknown.duration));
}

TEST_CASE("jazz: the n-gram beats a guess from the frequencies of single symbols") {
  std::vector<std::vector<Event>> train, test;
  for (int pitch = 55; pitch < 67; ++pitch) train.push_back(encode(scale_tune(pitch, 40)));
  test.push_back(encode(scale_tune(61, 40)));
  Ngram ngram;
  ngram.train(train);
  CHECK(ngram.nats_per_note(test).pitch < 1.0);
  CHECK(ngram.nats_per_note(test).delta < 0.2);
}

TEST_CASE("jazz: an n-gram without data or training says so") {
  Ngram ngram;
  CHECK_THROWS_AS(ngram.train({}), std::invalid_argument);
  CHECK_THROWS_AS(ngram.probability(Factor::pitch, {}, Event{}, 1), std::logic_error);
  const std::vector<std::vector<Event>> one = {encode(sample()[1])};
  ngram.train(one);
  CHECK_THROWS_AS(ngram.nats_per_note({}), std::invalid_argument);
}

TEST_CASE("jazz: chord tones are counted on beats 1 and 3 only") {
  Tune tune = scale_tune(60, 16);  // c d e f g a b c | b a g f e d c d over C major 7
  const RunIndex none({});
  const Tune one[] = {tune};
  CHECK(measure(one, none).chord_tones == 1.0);  // c g b e
  tune.notes[4].pitch = 68;
  const Tune changed[] = {tune};
  CHECK(measure(changed, none).chord_tones == 0.75);
  tune.chords[0].chord = {};
  const Tune silent[] = {tune};
  CHECK(std::isnan(measure(silent, none).chord_tones));
}

TEST_CASE("jazz: a copied run is found in another key, and at the same pitch only where it is") {
  const Tune corpus[] = {scale_tune(60, 14)};
  const RunIndex index(corpus);
  const auto same = index.look_up(corpus[0]);
  CHECK(same.runs == 7);
  CHECK(same.any_key == 7);
  CHECK(same.same_pitches == 7);
  const auto moved = index.look_up(scale_tune(63, 14));
  CHECK(moved.any_key == 7);
  CHECK(moved.same_pitches == 0);
  Tune slower = scale_tune(60, 14);
  for (Note& note : slower.notes) note.start *= 2;
  CHECK(index.look_up(slower).any_key == 0);
  Tune one_note_off = scale_tune(60, 14);
  one_note_off.notes[6].pitch += 1;
  CHECK(index.look_up(one_note_off).any_key == 0);
  CHECK(index.look_up(scale_tune(60, 7)).runs == 0);
}

TEST_CASE("jazz: the corpus is compared with its other tunes, not with itself") {
  const Tune corpus[] = {scale_tune(60, 14), sample()[0], scale_tune(65, 14)};
  const RunIndex index(corpus);
  CHECK(index.look_up(corpus[0], 0).any_key == 7);  // the third tune has them too
  CHECK(index.look_up(corpus[0], 0).same_pitches == 0);
  CHECK(index.look_up(corpus[1], 1).any_key == 0);
  const Measures all = measure_corpus(corpus, index);
  CHECK(all.copied_any_key == doctest::Approx(14.0 / (7 + 7 + 13)));
  CHECK(all.copied_pitches == 0);
}

TEST_CASE("jazz: range, density and rhythm entropy") {
  Tune tune = scale_tune(60, 16);
  const RunIndex none({});
  const Tune even[] = {tune};
  Measures m = measure(even, none);
  CHECK(m.lowest == 60);
  CHECK(m.highest == 72);
  CHECK(m.notes_per_bar == 8);
  // The first note has delta 0, the other 15 are alike.
  CHECK(m.rhythm_bits == doctest::Approx(-(std::log2(1.0 / 16) + 15 * std::log2(15.0 / 16)) / 16));
  const std::string table = comparison_table(m, measure({}, none));
  check_contains(table, "c4 to c5");
  check_contains(table, "100.0 %");
  check_contains(table, "generated");
  CHECK(table.find("nan") == std::string::npos);
}

TEST_CASE("jazz: the piano roll draws each note once and again where a system breaks it") {
  Tune tune = sample()[0];
  tune.title = "R&B <\x01\xff caf\xc3\xa9>";
  auto count = [](const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
      ++n;
    return n;
  };
  const std::string one_system = piano_roll_svg(tune);
  CHECK(count(one_system, "fill-opacity") == tune.notes.size());
  // A system has four bars. The first of these two notes crosses its end.
  Tune longer = tune;
  for (const int start : {4 * 384 - 48, 4 * 384 + 48}) longer.notes.push_back({start, 96, 60});
  CHECK(count(piano_roll_svg(longer), "fill-opacity") == tune.notes.size() + 3);
  check_contains(one_system, "R&amp;B &lt;\xEF\xBF\xBD\xEF\xBF\xBD caf\xc3\xa9&gt;");
  check_contains(one_system, ">Bdim7</text>");
  check_contains(one_system, ">bar 4</text>");
  CHECK(count(one_system, "<svg") == count(one_system, "</svg>"));
}

TEST_CASE("jazz: the piano roll of a tune without notes, bars or chords is still a picture") {
  check_contains(piano_roll_svg(Tune{}), "</svg>");
  Tune low;
  low.notes = {{0, 10, 0, 1}, {5, 1000, 127, 127}};
  low.beats_per_bar = 7;
  low.beat_unit = 8;
  check_contains(piano_roll_svg(low), "</svg>");
  low.notes[0].start = 3000 * 384;
  CHECK_THROWS_AS(piano_roll_svg(low), std::invalid_argument);
}

TEST_CASE("jazz: a picture that cannot be written leaves the old file and no partial one") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::temp_directory_path() / "tapeloop_jazz_picture_test";
  fs::remove_all(folder);
  CHECK_THROWS_AS(write_piano_roll(Tune{}, folder / "a.svg"), std::runtime_error);
  fs::create_directories(folder);
  write_piano_roll(sample()[0], folder / "a.svg");
  CHECK(fs::file_size(folder / "a.svg") == piano_roll_svg(sample()[0]).size());
  fs::create_directories(folder / "b.svg" / "inside");  // a folder with the name of the output file
  CHECK_THROWS_AS(write_piano_roll(sample()[0], folder / "b.svg"), std::runtime_error);
  CHECK_FALSE(fs::exists(folder / "b.svg.partial"));
  // A link where the partial file goes: the file behind it is not written.
  fs::create_symlink(folder / "elsewhere", folder / "a.svg.partial");
  CHECK_THROWS_WITH_AS(write_piano_roll(Tune{}, folder / "a.svg"),
                       doctest::Contains("a.svg.partial: cannot be made"), std::runtime_error);
  CHECK(fs::file_size(folder / "a.svg") == piano_roll_svg(sample()[0]).size());
  CHECK_FALSE(fs::exists(folder / "elsewhere"));
  fs::remove_all(folder);
}
