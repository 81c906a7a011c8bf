// SPDX-License-Identifier: MIT
// Tests of the texts that the jazz example reads: chord symbols, corpora and charts, written by
// editors of any system.
#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/chart.h"
#include "examples/jazz/music/corpus.h"
#include "examples/jazz/music/score.h"
#include "tests/examples/jazz/jazz_sample.h"

namespace {

using namespace jazz;
using namespace jazz::test;
using tapeloop::test::contains;

std::string corpus_error(const std::string& text) {
  return message_of<CorpusError>([&] { parse_corpus(text, "bad.txt"); });
}

// Returns the sample with one piece of text replaced.
std::string edited(const std::string& from, const std::string& to) {
  std::string text = kText;
  const auto place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

std::string with_line_ends(std::string text, const std::string& end) {
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += end.size()) {
    text.replace(at, 1, end);
  }
  return text;
}

std::string utf16(const std::string& ascii) {
  std::string bytes = "\xff\xfe";
  for (char c : ascii) bytes += {c, '\0'};
  return bytes;
}

}  // namespace

TEST_CASE("jazz: chord symbols of every family are read, and printed so that they read back") {
  const std::pair<const char*, Chord> cases[] = {
      {"F", {5, Quality::major}},
      {"F6", {5, Quality::major}},
      {"Bbmaj7", {10, Quality::major}},
      {"Bb7", {10, Quality::dominant}},
      {"B7", {11, Quality::dominant}},
      {"C7alt", {0, Quality::dominant}},
      {"F#13", {6, Quality::dominant}},
      {"Cbm7", {11, Quality::minor}},
      {"Am", {9, Quality::minor}},
      {"Gmmaj7", {7, Quality::minor}},
      {"Em7b5", {4, Quality::half_diminished}},
      {"Bdim7", {11, Quality::diminished}},
      {"Csus", {0, Quality::suspended}},
      {"C7sus", {0, Quality::suspended}},
      {"NC", {}},
  };
  for (const auto& row : cases) {
    const std::string text = row.first;
    const Chord chord = row.second;
    CAPTURE(text);
    REQUIRE(parse_chord(text).has_value());
    CHECK(*parse_chord(text) == chord);
    CHECK(*parse_chord(print_chord(chord)) == chord);
  }
  for (const char* wrong : {"", "H7", "f7", "C8", "Cmaj7 ", "C#b7", "7", "Intro"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_chord(wrong).has_value());
  }
}

TEST_CASE("jazz: pitches and keys are read and printed") {
  CHECK(parse_pitch("c4") == 60);
  CHECK(parse_pitch("bb4") == 70);
  CHECK(parse_pitch("cb5") == 71);
  CHECK(parse_pitch("b#4") == 72);
  CHECK(parse_pitch("f#5") == 78);
  CHECK(parse_pitch("g9") == 127);
  for (const char* wrong : {"", "c", "C4", "h4", "c10", "a9", "c-1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_pitch(wrong).has_value());
  }
  for (int pitch = 12; pitch < 128; ++pitch) CHECK(parse_pitch(print_pitch(pitch)) == pitch);
  CHECK(*parse_key("Bb") == Key{10, false});
  CHECK(*parse_key("Cm") == Key{0, true});
  CHECK_FALSE(parse_key("C minor").has_value());
  CHECK(print_key({6, true}) == "F#m");
  CHECK(print_key({}) == "");
}

TEST_CASE("jazz: the corpus text becomes notes and chords at their ticks") {
  const auto tunes = sample();
  REQUIRE(tunes.size() == 2);
  const Tune& tune = tunes[0];
  CHECK(tune.title == "First Ferry");
  CHECK(tune.form == "4 bars");
  CHECK(tune.key == Key{5, false});
  CHECK(tune.tempo == 132);
  CHECK(bars_of(tune) == 4);
  REQUIRE(tune.chords.size() == 8);
  CHECK(tune.chords[1] == ChordSpan{384, 192, {10, Quality::dominant}});
  CHECK(tune.chords[2] == ChordSpan{576, 192, {11, Quality::diminished}});
  CHECK(tune.chords[7] == ChordSpan{1440, 96, {5, Quality::major}});
  CHECK(chord_at(tune, 575).root == 10);
  CHECK(chord_at(tune, 768) == Chord{});
  CHECK(chord_at(tune, 1536) == Chord{});

  const std::
      vector<Note>
          expected = {{48, 48, 69},    {96, 48, 72},   {144, 48, 75},  {192, 48, 74},
                      {240, 48, 72},   {288, 48, 69},  {336, 48, 65},  {384, 32, 70},
                      {416, 32, 72},   {448, 32, 74},  {480, 96, 77},  {576, 96, 74},
                      {672, 48, 68},   {720, 144, 67},  // held for two slots across the bar line
                      {1104, 128, 84},  // held across the bar line and into a triplet
                      {1232, 32, 69},  {1296, 48, 55}, {1344, 48, 71}, {1392, 48, 72},
                      {1440, 48, 78}};
  REQUIRE(tune.notes.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(tune.notes[i] == expected[i]);
  }
  CHECK(tunes[1].notes == std::vector<Note>{{0, 384, 72}});
  CHECK(tunes[1].key == Key{0, true});
}

TEST_CASE(
    "jazz: a mistake in the corpus is reported with file, line, what was found and expected") {
  check_contains(corpus_error(edited("form: 4 bars\n", "")),
                 "bad.txt:3: found 'key: F', expected a line 'form:");
  check_contains(corpus_error(edited("key: F\n", "key: H\n")), "bad.txt:4: unknown key 'H'");
  check_contains(corpus_error(edited("132", "fast")),
                 "bad.txt:5: tempo 'fast', expected a whole number");
  check_contains(corpus_error(edited("132", "1000")), "bad.txt:5: tempo '1000'");
  check_contains(corpus_error(edited("132\n", "132\nF7\n")), "bad.txt:6: expected a blank line");
  check_contains(corpus_error(edited("d5 c5 a4 f4", "d5 c5 a4")),
                 "bad.txt:8: bar 1 has 7 slots, expected 8: '. a4 c5 eb5 d5 c5 a4'");
  check_contains(corpus_error(edited("Bdim7", "Bdim9")), "bad.txt:7: bar 2: unknown chord 'Bdim9'");
  check_contains(corpus_error(edited("Bb7   Bdim7", "Bb7 Bb7 Bdim7")), "bar 2 has 3 chords");
  check_contains(corpus_error(edited("NC |", "NC | F7 |")),
                 "bad.txt:11: the melody line has 2 bars, expected 3");
  check_contains(corpus_error(edited("g3 cb5", "h3 cb5")), "bar 2: found 'h3', expected a pitch");
  check_contains(corpus_error(edited("g3 cb5", "f3 cb5")),
                 "bar 2: 'f3' is outside the range g3 to c6");
  check_contains(corpus_error(edited("(bb4 c5 d5)", "(bb4 c5)")), "a triplet must be");
  check_contains(corpus_error(edited("- - . .", ". - . .")), "'-' has no sounding note to hold");
  check_contains(corpus_error(edited("c5 - - - - - - -\n", "")), "expected the melody line");
  check_contains(corpus_error(edited("Cm6\nc5 - - - - - - -\n", "")),
                 "tune 'Second Stop' has no bars");
  check_contains(corpus_error("# nothing\n"), "expected a line 'tune: TITLE'");
  check_contains(corpus_error(""), "bad.txt:1: the text holds no tune");
}

TEST_CASE("jazz: carriage returns, tabs and bar lines at the ends of lines change nothing") {
  std::string text = kText;
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) {
    text.insert(at, "\r");
  }
  CHECK(parse_corpus(text, "crlf.txt") == sample());
  CHECK(parse_corpus(edited("F7    ", "| F7\t"), "bars.txt") == sample());
}

TEST_CASE("charts are read, and their mistakes are named by bar and chord") {
  const Tune chart = parse_chart(" | F7 | Bb7 Bdim7 | Cm7 F7 Dm7 G7 | ");
  REQUIRE(chart.chords.size() == 7);
  CHECK(chart.chords[1].start == 384);
  CHECK(chart.chords[2].start == 576);
  CHECK(chart.chords[6].length == 96);
  CHECK(print_chord(chart.chords[2].chord) == "Bdim7");
  for (const std::string& name : form_names()) CHECK(bars_of(standard_form(name)) % 4 == 0);

  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 | Bb7 H7"); }),
                 "bar 2, chord 2 of the chart: 'H7'"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 | \x1b[2J"); }),
                 "bar 2, chord 1 of the chart: '\\x1b[2J'"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 \x07 C7"); }),
                 "('F7 \\x07 C7')"));
  const auto refused = [](const char* text) {
    try {
      parse_corpus(text, "t");
    } catch (const CorpusError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(contains(refused("tune: a\nform: b\nkey: \x1b[2J\n"), "unknown key '\\x1b[2J', expected"));
  CHECK(contains(refused("\x1b]0;x\x07\n"), "found '\\x1b]0;x\\x07', expected"));
  Tune odd;
  odd.title = "caf\xe9\x1b";
  odd.tempo = 0;
  CHECK(contains(message_of<std::invalid_argument>([&] { midi_bytes(odd); }),
                 "midi_bytes \"caf\\xe9\\x1b\": "));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 | | C7"); }),
                 "bar 2 of the chart has 0 chords"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 C7 G7"); }),
                 "bar 1 of the chart has 3 chords"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("  \t"); }), "empty"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("|"); }),
                 "bar 1 of the chart has 0 chords"));
  CHECK(contains(message_of<std::invalid_argument>([] { standard_form("waltz"); }), "minor_blues"));
  CHECK(contains(message_of<std::invalid_argument>([] { repeated(standard_form("blues"), 100); }),
                 "1000 bars"));
}

TEST_CASE("jazz: a corpus from any system's editor gives the same tunes") {
  for (const char* end : {"\r\n", "\r", "\u0085", "\u2028", "\u2029"}) {
    CAPTURE(end);
    const std::string text = with_line_ends(kText, end);
    CHECK(parse_corpus(text, "t.txt") == sample());
    CHECK(parse_corpus("\ufeff" + text + "\x1a", "t.txt") == sample());
  }
  CHECK(parse_corpus(utf16(with_line_ends(kText, "\r\n")), "t.txt") == sample());
  CHECK(parse_corpus(edited("F7   ", "F7\u00a0\t\u3000"), "t.txt") == sample());
  // The signs that notation programs write.
  CHECK(parse_corpus(edited("Bb7   Bdim7", "B♭7 B°7"), "t.txt") == sample());
  CHECK(parse_corpus(edited("b#4 f#5", "b♯4 f♯5"), "t.txt") == sample());
  CHECK(parse_corpus(edited("key: F", "key: E♯"), "t.txt") == sample());
}

TEST_CASE("jazz: a corpus that is not text is refused with its line") {
  check_contains(corpus_error(edited("First", "F\xfcrst")),
                 "bad.txt:2: byte 8 of the line (0xfc) is not UTF-8; convert the file");
  check_contains(corpus_error(edited("Second", std::string("S\0cond", 6))),
                 "bad.txt:13: the line has a NUL byte");
  check_contains(corpus_error("\xff\xfetune"
                              "x"),
                 "bad.txt:1: this is UTF-16 and damaged");
  check_contains(corpus_error(std::string("\xff\xfe\0\0t\0\0\0", 8)),
                 "bad.txt:1: this is UTF-32; convert it");
  check_contains(corpus_error(edited("- - . .", "– - . .")), "bar 1: found '–', expected a pitch");
}

TEST_CASE("jazz: charts from any system, with the signs that players write") {
  const Tune expected = parse_chart("Bb7 | F#m7 Cmaj7 | Bm7b5 Cdim7 | Gm7 D7b9");
  CHECK(parse_chart("B♭7 | F♯−7 CΔ7 | Bø7 C°7 | G−7 D7♭9") == expected);
  CHECK(parse_chart("Bb7 | F#m7 C△ | Bø Cº7 | Gm7 D7b9") == expected);
  CHECK(parse_chart("\ufeff|Bb7\r\n| F#m7\u00a0C∆7\r| Bm7b5\tCdim7 |\n Gm7\u3000D7b9 |\r\n\x1a") ==
        expected);
  CHECK(parse_chart(utf16("Bb7 | F#m7 Cmaj7 |\r\nBm7b5 Cdim7 | Gm7 D7b9")) == expected);
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 | B\xe9"); }),
                 "the chart, line 1: byte 7 of the line (0xe9) is not UTF-8"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 | C+"); }),
                 "'C+' is not a chord"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("F7 ‖ C7"); }),
                 "3 chords ('F7 ‖ C7')"));
  CHECK(contains(message_of<std::invalid_argument>([] { parse_chart("\ufeff \u00a0"); }),
                 "the chart is empty"));
}
