// SPDX-License-Identifier: MIT
// Tables of settings: rows as options of a command line, and as notes of checkpoints.
#include "examples/common/settings.h"

#include <doctest/doctest.h>

#include "examples/common/options.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/messages.h"

using namespace common;
using tapeloop::test::message_of;

namespace {

struct Values {
  int layers = 2;
  double rate = 0.5;
  std::string cell = "gru";
  bool lines = false;
  std::uint64_t seed = 0;
};

SettingsTable table_of(Values& v) {
  return {
      count("--layers", v.layers, 1, 9, "layers").noted(),
      number("--rate", v.rate, 0, kAnyNumber, "the rate").noted("lr"),
      choice("--cell", v.cell, {"gru", "lstm"}, "the cell").noted(),
      flag("--lines", v.lines, "a list", {.needs = {"--cell"}}),
      count("", v.seed, 0, kAnyCount, "").noted("seed"),
  };
}

// A command line of these options and those that every program has.
struct Line {
  CommonOptions common;
  Values values;
  CommandLine line{common, "program", "explained"};
  Line() { line.add(table_of(values)); }
  bool parse(std::vector<std::string> words) {
    words.insert(words.begin(), "program");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return line.parse(static_cast<int>(argv.size()), argv.data());
  }
};

std::string refused(const std::vector<std::string>& words) {
  return message_of([&] { Line().parse(words); });
}

}  // namespace

TEST_CASE("a row is an option with a range, and its default is the variable's first value") {
  Line given;
  CHECK(given.parse({"--layers", "9", "--rate", "1e-3", "--cell", "lstm", "--lines"}));
  CHECK(given.values.layers == 9);
  CHECK(given.values.rate == 1e-3);
  CHECK(given.values.cell == "lstm");
  CHECK(given.values.lines);
  CHECK(given.line.given("--rate"));
  CHECK_FALSE(given.line.given("--out"));
  CHECK(given.common.out == "out/program");
  Line help;
  CHECK_FALSE(help.parse({"--help"}));
  for (const char* part : {"--layers N=2 ", "--rate X=0.5 ", "--cell gru|lstm=gru", "explained"}) {
    CHECK(help.line.help().find(part) != std::string::npos);
  }
}

TEST_CASE("values that are out of range, unknown or not wanted here are refused") {
  CHECK(refused({"--layers", "10"}) == "--layers: '10' is not a whole number from 1 to 9");
  CHECK(refused({"--layers", "1.5"}) == "--layers: '1.5' is not a whole number from 1 to 9");
  CHECK(refused({"--rate", "inf"}) == "--rate: 'inf' is not a number of 0 or more");
  CHECK(refused({"--seed", "-1"}) == "--seed: '-1' is not a whole number of 0 or more");
  CHECK(refused({"--seed", "9223372036854775808"}) ==
        "--seed: '9223372036854775808' is not a whole number from 0 to 9223372036854775807");
  CHECK(refused({"--rate", "1e400"}) ==
        "--rate: '1e400' is not a number from 0 to 1.7976931348623157e+308");
  CHECK(refused({"--cell", "tree"}) == "--cell: 'tree' is not one of gru, lstm");
  CHECK(refused({"--out", ""}) == "--out: the value is empty; give one, or leave the option out");
  CHECK(refused({"--lines"}).find("--cell") != std::string::npos);
  Line given;
  given.parse({"--layers", "3", "--rate", "1"});
  CHECK(message_of([&] { given.line.check_effect({"--rate"}, "--fast"); }) ==
        "--layers has no effect together with --fast; leave --layers out");
  CHECK(message_of([&] {
          given.line.check_effect({"--rate", "--layers"}, "--fast");
        }) == tapeloop::test::kNothingThrown);
}

TEST_CASE("a preset takes the place of a default, not of a given value") {
  Line given;
  given.parse({"--layers", "3"});
  given.line.preset("--layers", 7);
  given.line.preset("--rate", 0.25);
  given.line.preset("--cell", "lstm");
  CHECK(given.values.layers == 3);
  CHECK(given.values.rate == 0.25);
  CHECK(given.values.cell == "lstm");
  CHECK(given.line.help().find("--rate X=0.25 ") != std::string::npos);
}

TEST_CASE("checkpoints keep the noted rows, and give them back") {
  Values values{.layers = 4, .rate = 0.1 + 0.2, .cell = "lstm", .lines = true, .seed = 11};
  const auto notes = notes_of(table_of(values));
  CHECK(notes ==
        std::map<std::string, std::string>{
            {"layers", "4"}, {"lr", "0.30000000000000004"}, {"cell", "lstm"}, {"seed", "11"}});
  Values back;
  tapeloop::nn::Checkpoint saved{.notes = notes};
  read_notes(table_of(back), saved, "file");
  CHECK(notes_of(table_of(back)) == notes);
  CHECK_FALSE(back.lines);
  const auto read = [&] { return message_of([&] { read_notes(table_of(back), saved, "file"); }); };
  saved.notes["layers"] = "-1";
  CHECK(read() == "file: the setting 'layers': '-1' is not a whole number from 1 to 9");
  saved.notes.erase("layers");
  CHECK(read().starts_with("file: this checkpoint has no setting "));

  saved.notes = notes;
  Line same, other;
  same.parse({"--layers", "4", "--lines", "--cell", "lstm"});
  same.line.check_model(saved, "file");
  other.parse({"--layers", "5"});
  CHECK(message_of([&] { other.line.check_model(saved, "file"); }) ==
        "--layers is 5, but file holds a model with 4; leave the option out");
}
