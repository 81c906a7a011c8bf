// SPDX-License-Identifier: MIT
// Lead sheets: the text of a corpus of tunes, and chord charts as on a command line.
#include <utility>

#include "examples/jazz/music/chart.h"
#include "examples/jazz/music/corpus.h"
#include "examples/jazz/music/events.h"
#include "examples/jazz/music/score.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

using namespace jazz;

constexpr std::string_view kFile = "input.txt";
constexpr int kBar = 4 * kTicksPerQuarter;

void check_chords(const std::vector<ChordSpan>& chords) {
  int end = 0;
  for (const ChordSpan& span : chords) {
    expect(span.start == end && span.length > 0, "chords follow one another without a gap");
    end += span.length;
    expect(parse_chord(print_chord(span.chord)) == span.chord, "a chord is printed as it is read");
  }
  expect(end % kBar == 0, "chords fill their bars");
}

// The chords in the text of a chart.
std::string chart_text(const std::vector<ChordSpan>& chords) {
  std::string text;
  for (const ChordSpan& span : chords) {
    if (span.start > 0) text += span.start % kBar == 0 ? " | " : " ";
    text += print_chord(span.chord);
  }
  return text;
}

void try_chart(std::string_view text) {
  Tune chart;
  try {
    chart = parse_chart(text);
  } catch (const std::invalid_argument& error) {
    expect(std::string_view(error.what()).find("chart") != std::string_view::npos,
           "the message says that the chart is wrong");
    return;
  }
  check_chords(chart.chords);
  expect(chart.chords.size() <= text.size(), "every chord takes a letter");
  const Tune again = parse_chart(chart_text(chart.chords));
  expect(again.chords == chart.chords, "a chart is printed as it is read");
}

void check_tune(const Tune& tune) {
  expect(!tune.title.empty() && !tune.form.empty(), "a tune has a title and a form");
  expect(parse_key(print_key(tune.key)) == tune.key, "a key is printed as it is read");
  expect(tune.tempo >= 20 && tune.tempo <= 400, "the tempo is one that is played");
  check_chords(tune.chords);
  const int length = tune.chords.back().start + tune.chords.back().length;
  int end = 0;
  for (const Note& note : tune.notes) {
    expect(note.start >= end && note.length > 0, "one note sounds at a time");
    end = note.start + note.length;
    expect(note.pitch >= kLowestMelody && note.pitch <= kHighestMelody, "a note is in the range");
    expect(parse_pitch(print_pitch(note.pitch)) == note.pitch, "a pitch is printed as it is read");
  }
  expect(end <= length, "the melody ends with the chords");
  const Tune again = decode(encode(tune), tune);
  expect(again.notes.size() == tune.notes.size(), "events keep every note");
  for (std::size_t i = 0; i < tune.notes.size(); ++i) {
    expect(
        again.notes[i].start == tune.notes[i].start && again.notes[i].pitch == tune.notes[i].pitch,
        "events keep every onset and pitch");
  }
}

void try_corpus(std::string_view text) {
  std::vector<Tune> tunes;
  try {
    tunes = parse_corpus(text, kFile);
  } catch (const CorpusError& error) {
    expect(error.line() >= 1 && error.line() <= 1 + static_cast<int>(text.size()),
           "the error is in a line of the text");
    expect(std::string_view(error.what())
               .starts_with(std::string(kFile) + ":" + std::to_string(error.line()) + ": "),
           "the message begins with the place");
    return;
  }
  expect(!tunes.empty(), "a text without a tune is an error");
  for (const Tune& tune : tunes) check_tune(tune);
}

}  // namespace

void try_charts(std::string_view bytes) {
  try_corpus(bytes);
  try_chart(bytes);
}

std::vector<std::string> charts_seeds() {
  return {
      "F7 | Bb7 | F7 | Cm7 F7",
      "| Cmaj7 A7alt Dm7b5 G7sus4 | NC | F#dim7 Bb6 |",
      "# a comment\ntune: Two bars\nform: ii-V\nkey: Bb\ntempo: 160\n\n"
      "Cm7 | F7\nc5 eb5 g5 - . bb4 c5 d5 | (c5 bb4 a4) g4 - - . . .\n",
      "tune: One\nform: blues\nkey: Cm\ntempo: 90\n\n| Cm7 Fm7 |\n| c5 - - - f#5 - . . |\n\n"
      "tune: Two\nform: blues\nkey: F\ntempo: 400\n\nNC\n. . . . . . . c6\n\nF7\n- - - - a4 - - "
      "-\n",
  };
}

}  // namespace tapeloop::fuzz
