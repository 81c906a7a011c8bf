// SPDX-License-Identifier: MIT
// examples/seq2seq: text, files of pairs from editors and spreadsheet programs, the phrase book.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "examples/seq2seq/data/pairs.h"
#include "examples/seq2seq/data/text.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/messages.h"

using namespace seq2seq;
using tapeloop::Random;

using tapeloop::test::contains, tapeloop::test::message_of;

namespace {

using Units = std::vector<std::string>;

}  // namespace

TEST_CASE("UTF-8 is checked as RFC 3629 has it") {
  for (const char* good : {"", "plain", "é", "你好。", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    CAPTURE(good);
    CHECK_FALSE(first_invalid_utf8(good).has_value());
  }
  const std::pair<std::string, std::size_t> bad[] = {{"ab\xff", 2},  // never a byte of UTF-8
                                                     {"a\x80", 1},   // a continuation byte alone
                                                     {"ab\xe4\xbd", 2},        // cut off
                                                     {"\xc0\xaf", 0},          // overlong
                                                     {"\xe0\x80\xaf", 0},      // overlong
                                                     {"\xed\xa0\x80", 0},      // a surrogate
                                                     {"\xf4\x90\x80\x80", 0},  // past U+10FFFF
                                                     {"\xe4\x41\x41", 0}};
  for (const auto& [text, place] : bad) {
    const auto found = first_invalid_utf8(text);
    REQUIRE(found.has_value());
    CHECK(*found == place);
  }
}

TEST_CASE(
    "words: marks stand alone, numbers and apostrophes hold together, wide characters are units") {
  CHECK(words("It's 3.50, 你好!") == Units{"It's", "3.50", ",", "你", "好", "!"});
  CHECK(words("  Where's the dogs' house?  ") ==
        Units{"Where's", "the", "dogs", "'", "house", "?"});
  CHECK(words("At 10:30, 1,000 of 2.") == Units{"At", "10:30", ",", "1,000", "of", "2", "."});
  CHECK(words("Café à Łódź, naïve") == Units{"Café", "à", "Łódź", ",", "naïve"});
  CHECK(words("It\u2019s B2-ready…") == Units{"It\u2019s", "B2", "-", "ready", "…"});
  CHECK(words("你\u3000好a1。") == Units{"你", "好", "a1", "。"});
  CHECK(words("1.2.3 a.b .5 5.") == Units{"1.2.3", "a", ".", "b", ".", "5", "5", "."});
  CHECK(words("").empty());
  CHECK(words(" \t\u00a0").empty());
  CHECK(units_of("a b", Unit::character) == Units{"a", " ", "b"});
}

TEST_CASE("joined words read as text, and are cut into the same words again") {
  CHECK(join(words("It's 3.50, 你好! (Yes: $5.)"), Unit::word) == "It's 3.50,你好! (Yes: $5.)");
  CHECK(join(characters("a 你 b"), Unit::character) == "a 你 b");
  const std::string parts[] = {"a", "3", ".", ",", ":", "'",  "你",
                               "(", ")", "$", "-", "%", "b2", "，"};
  Random random(2);
  for (int round = 0; round < 2000; ++round) {
    Units units;
    for (int i = 0; i < 5; ++i) units.push_back(parts[random.below(std::size(parts))]);
    const std::string text = join(units, Unit::word);
    CAPTURE(text);
    CHECK(words(text) == units);
  }
}

TEST_CASE("wide characters take two columns, combining marks none") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("你好，a") == 7);
  CHECK(display_width("e\u0301") == 1);
  CHECK(display_width("é") == 1);
  CHECK(display_width("") == 0);
}

TEST_CASE(
    "pairs: a byte-order mark, CR LF, further columns and a missing last line end are accepted") {
  const PairFile file =
      parse_pairs("\xef\xbb\xbfHi.\t嗨。\tsomebody\r\n Run! \t跑！\r\nGo.\t走。", "test.tsv");
  CHECK(file.pairs == std::vector<Pair>{{"Hi.", "嗨。"}, {"Run!", "跑！"}, {"Go.", "走。"}});
  CHECK(file.report() == "3 pairs");
}

TEST_CASE("pairs: empty lines and repeated pairs are left out, and counted") {
  const PairFile file = parse_pairs("a\tb\n\n  \r\na\tb\na\tc\nd\tb\n", "test.tsv");
  CHECK(file.pairs == std::vector<Pair>{{"a", "b"}, {"a", "c"}, {"d", "b"}});
  CHECK(file.empty_lines == 2);
  CHECK(file.repeated == 1);
  CHECK(file.report() == "3 pairs; skipped: 2 empty lines, 1 repeated pair");
}

TEST_CASE("letters and their marks are one character, however they were typed") {
  CHECK(composed("fe\u0301vrier") == "février");
  CHECK(composed("février") == "février");
  CHECK(composed("\u1112\u1161\u11ab") == "한");
  // Nothing to compose.
  CHECK(composed("q\u0301, 你好! \U0001f600") == "q\u0301, 你好! \U0001f600");
  CHECK(composed("plain") == "plain");
  CHECK(composed("").empty());
  CHECK(composed("e\u0301 \xff") == "e\u0301 \xff");  // not UTF-8
  const PairFile file = parse_pairs("caf\u0065\u0301\tn\u0303o\ncafé\tño\n", "t");
  CHECK(file.pairs == std::vector<Pair>{{"café", "ño"}});
  CHECK(file.repeated == 1);
}

TEST_CASE("pairs: a line that is no pair ends the reading with its number") {
  CHECK(
      contains(message_of<tapeloop::Error>([] { parse_pairs("a\tb\n\nonly one\r\n", "test.tsv"); }),
               "test.tsv, line 3: there is one column, \"only one\"; expected source TAB target"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("\xef\xbb\xbf\ta\n", "test.tsv"); }),
                 "test.tsv, line 1: the source is empty"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("a\t \tx\n", "test.tsv"); }),
                 "test.tsv, line 1: the target is empty"));
  for (const char* blank : {"\u3000\tx\n", "\u00a0 \u200b\tx\n"}) {  // spaces of other kinds
    CHECK(contains(message_of<tapeloop::Error>([&] { parse_pairs(blank, "test.tsv"); }),
                   "test.tsv, line 1: the source is empty"));
  }
  CHECK(contains(message_of<tapeloop::Error>([] {
                   parse_pairs(
                       "\xff\xfe"
                       "a",
                       "test.tsv");
                 }),
                 "test.tsv: this is UTF-16 and damaged"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("a\tb\nc\t\xff\n", "test.tsv"); }),
                 "test.tsv, line 2: byte 3 of the line (0xff) is not UTF-8; convert the file"));
  CHECK(contains(message_of<tapeloop::Error>([] {
                   parse_pairs({"a\0\tb\n", 5}, "test.tsv");
                 }),
                 "test.tsv, line 1: the line has a NUL byte; if the file is UTF-16"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("\n\n", "test.tsv"); }),
                 "test.tsv: there is no pair in it"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("", "test.tsv"); }),
                 "there is no pair in it"));
  // The message shows only the beginning of a long line, cut between characters.
  std::string chinese;
  for (int i = 0; i < 100; ++i) chinese += "你";
  const std::string message = message_of<tapeloop::Error>([&] { parse_pairs(chinese, "t"); });
  CHECK(contains(message, "你...\""));
  CHECK_FALSE(first_invalid_utf8(message).has_value());
}

TEST_CASE("pairs are read from a file, and a missing file is named") {
  const auto path = std::filesystem::temp_directory_path() /
                    ("seq2seq_data_test_" + std::to_string(::getpid()) + ".tsv");
  std::ofstream(path) << "Hi.\t嗨。\n";
  CHECK(read_pairs(path.string()).pairs == std::vector<Pair>{{"Hi.", "嗨。"}});
  std::ofstream(path) << "Hi.\n";
  CHECK(contains(message_of<tapeloop::Error>([&] { read_pairs(path.string()); }),
                 path.string() + ", line 1: there is one column"));
  std::filesystem::remove(path);
  CHECK(contains(message_of<tapeloop::Error>([&] { read_pairs(path.string()); }), path.string()));
}

TEST_CASE("pairs: every line end and encoding of an editor gives the same pairs") {
  const std::vector<Pair> expected = {{"Hi.", "嗨。"}, {"Run!", "跑！"}};
  for (const char* end : {"\n", "\r\n", "\r", "\u0085", "\u2028", "\u2029"}) {
    CAPTURE(end);
    const std::string text = std::string("Hi.\t嗨。") + end + "Run!\t跑！";
    CHECK(parse_pairs(text, "t").pairs == expected);
    CHECK(parse_pairs(text + end, "t").pairs == expected);
    CHECK(parse_pairs("\ufeff" + text + end + "\x1a", "t").pairs == expected);
  }
  // UTF-16, the "Unicode text" of spreadsheet programs.
  const std::u16string wide = u"\ufeffHi.\t嗨。\r\nRun!\t跑！\r\n";
  for (const bool big : {false, true}) {
    std::string bytes;
    for (char16_t c : wide) {
      const char high = static_cast<char>(c >> 8), low = static_cast<char>(c & 0xff);
      bytes += {big ? high : low, big ? low : high};
    }
    CHECK(parse_pairs(bytes, "t").pairs == expected);
  }
  // Two files joined into one, each with its byte-order mark.
  CHECK(parse_pairs("\ufeffHi.\t嗨。\n\ufeffRun!\t跑！\n", "t").pairs == expected);
}

TEST_CASE("pairs: white space of any kind around a sentence is dropped, rows without text count") {
  const PairFile file = parse_pairs("\u00a0Hi.\u3000\t \u2003嗨。\u00a0\r\n\t\t\r\n \u00a0\n", "t");
  CHECK(file.pairs == std::vector<Pair>{{"Hi.", "嗨。"}});
  CHECK(file.empty_lines == 2);
}

TEST_CASE(
    "pairs: quotation marks of a spreadsheet program are dropped, others belong to the text") {
  // Doubled marks show that a spreadsheet program wrote the file.
  PairFile file = parse_pairs("\"He said \"\"hi\"\".\"\tEr sagte hi.\n\"A, b\"\tc\nd\te\n", "t");
  CHECK(file.pairs ==
        std::vector<Pair>{{"He said \"hi\".", "Er sagte hi."}, {"A, b", "c"}, {"d", "e"}});
  CHECK(file.unquoted == 2);
  CHECK(file.report() == "3 pairs; a spreadsheet's quotation marks are dropped around 2 sentences");
  // Marks around every sentence.
  file = parse_pairs("\"a\"\t\"b\"\n\"c\"\t\"d\"\n", "t");
  CHECK(file.pairs == std::vector<Pair>{{"a", "b"}, {"c", "d"}});
  // Marks around the sentences with a comma, and no others.
  file = parse_pairs("\"Yes, it is.\"\tJa.\nNo.\t\"Nein, nein.\"\n", "t");
  CHECK(file.pairs == std::vector<Pair>{{"Yes, it is.", "Ja."}, {"No.", "Nein, nein."}});
  // Speech in a text: a sentence has marks that a spreadsheet program does not write, or a sentence
  // with a comma has none.
  for (const char* text :
       {"\"Who is it?\" \"Tom is.\"\tx\n\"Yes, sir.\"\ty\n",
        "\"Come here,\" he said.\tx\n\"A, b\"\ty\n", "\"Yes.\"\tJa.\nNo.\tNein.\n",
        "\"Yes, sir.\"\tJa.\nNo, sir.\tNein.\n"}) {
    CAPTURE(text);
    const PairFile speech = parse_pairs(text, "t");
    CHECK(speech.unquoted == 0);
    CHECK(speech.pairs[0].source.starts_with("\""));
  }
}

TEST_CASE("pairs: a quoted sentence that a TAB or a line end cuts is refused, never half") {
  CHECK(contains(message_of<tapeloop::Error>(
                     [] { parse_pairs("x\t\"y \"\"z\"\"\"\na\t\"one\ntwo\"\tb\n", "t"); }),
                 "t, line 2: the quoted text \"one goes on in line 3; join the lines"));
  CHECK(contains(message_of<tapeloop::Error>(
                     [] { parse_pairs("\"x\"\t\"y\"\n\"a\"\t\"one\ntwo\"\t\"b\"\n", "t"); }),
                 "t, line 2: the quoted text \"one goes on in line 3; join the lines"));
  // Speech that ends in the next line of a text.
  for (const char* text : {"He said\t\"Come in.\nIt is late.\"\tEs ist spaet.\n",
                           "He said\t\"Come in.\nIt is late.\"\tx\n\"Yes.\"\tJa.\nNo.\tNein.\n"}) {
    const PairFile speech = parse_pairs(text, "t");
    CHECK(speech.unquoted == 0);
    CHECK(speech.pairs[0].target == "\"Come in.");
  }
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("a\t\"one\ttwo\"\tb\n", "t"); }),
                 "t, line 1: the quoted text \"one goes on after a TAB; write a space instead"));
  CHECK(contains(message_of<tapeloop::Error>([] { parse_pairs("a\x1b[2J\xc2\x9b", "t"); }),
                 "there is one column, \"a\\x1b[2J\\xc2\\x9b\"; expected"));
  CHECK(contains(message_of<tapeloop::Error>(
                     [] { parse_pairs("\"\"\tb\n\"a\"\t\"c\"\n\"d \"\"e\"\"\"\tf\n", "t"); }),
                 "t, line 1: there is nothing between the quotation marks"));
  // A mark without a closing one is text.
  CHECK(parse_pairs("\"I see.\t\"Ich sehe.\nb\tc\n", "t").pairs.size() == 2);
}

TEST_CASE("pairs: a very long line is refused by its length") {
  const std::string line(std::size_t{1} << 20, 'x');
  CHECK(contains(message_of<tapeloop::Error>([&] { parse_pairs("a\tb\n" + line + "\ty\n", "t"); }),
                 "t, line 2: the line has 1048578 bytes, expected at most 1048576"));
  CHECK(contains(message_of<tapeloop::Error>([&] { parse_pairs(line, "t"); }),
                 "there is one column, \"xxx"));
}

TEST_CASE("the phrase book: hundreds of sentences with their marks, no source twice") {
  const std::vector<Pair>& pairs = phrase_book();
  CHECK(pairs.size() >= 600);
  std::set<std::string> sources;
  const Units latin_ends = {".", "?", "!"}, chinese_ends = {"。", "？", "！"};
  for (const Pair& pair : pairs) {
    CAPTURE(pair.source);
    CAPTURE(pair.target);
    CHECK(sources.insert(pair.source).second);
    const std::string source_end = characters(pair.source).back();
    const std::string target_end = characters(pair.target).back();
    const auto mark = std::find(latin_ends.begin(), latin_ends.end(), source_end);
    const auto chinese_mark = std::find(chinese_ends.begin(), chinese_ends.end(), target_end);
    REQUIRE(mark != latin_ends.end());
    REQUIRE(chinese_mark != chinese_ends.end());
    const bool asks = source_end == "?", answers = target_end == "？";
    CHECK(asks == answers);
    for (const std::string& character : characters(pair.source)) {
      CHECK(character.size() == 1);  // ASCII
    }
    for (const std::string& character : characters(pair.target)) {
      const bool wide_or_digit =
          display_width(character) == 2 || (character >= "0" && character <= "9");
      CAPTURE(character);
      CHECK(wide_or_digit);
    }
  }
}
