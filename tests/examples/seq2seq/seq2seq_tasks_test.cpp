// SPDX-License-Identifier: MIT
// The tasks of examples/seq2seq without a model: letters and sums; and the command line.
#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>

#include "examples/seq2seq/arguments.h"
#include "examples/seq2seq/material.h"
#include "examples/seq2seq/tasks/addition.h"
#include "examples/seq2seq/tasks/dates.h"
#include "examples/seq2seq/tasks/lengths.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/support.h"

using namespace seq2seq;
using tapeloop::Random;
using tapeloop::test::message_of;

namespace {

// Reads a command line as main() does. Throws UsageError.
void parse(common::CommandLine& line, Arguments& a, const std::string& text) {
  std::istringstream in("seq2seq " + text);
  std::vector<std::string> all{std::istream_iterator<std::string>(in), {}};
  std::vector<char*> argv;
  for (std::string& one : all) argv.push_back(one.data());
  add_options(line, a);
  line.parse(static_cast<int>(argv.size()), argv.data());
  fill_in(line, a);
}

Arguments parsed(const std::string& text) {
  Arguments a;
  common::CommandLine line(a.common, "seq2seq", "");
  parse(line, a, text);
  return a;
}

}  // namespace

TEST_CASE("letters are copied or reversed") {
  Random random(1);
  for (int length : {1, 2, 9, 40}) {
    const Pair copy = letters_pair(Order::copy, length, random);
    CHECK(copy.source.size() == static_cast<std::size_t>(length));
    CHECK(copy.target == copy.source);
    const Pair reverse = letters_pair(Order::reverse, length, random);
    CHECK(reverse.target == std::string(reverse.source.rbegin(), reverse.source.rend()));
  }
  CHECK(message_of([&] { letters_pair(Order::copy, 0, random); }) ==
        "letters: the length is 0, expected 1 or more");
}

TEST_CASE("lengths are measured from short to twice the longest, that one among them") {
  for (int longest : {1, 2, 5, 6, 7, 12, 20, 40, 101}) {
    CAPTURE(longest);
    const std::vector<int> lengths = measured_lengths(longest);
    CHECK(std::is_sorted(lengths.begin(), lengths.end()));
    CHECK(std::set<int>(lengths.begin(), lengths.end()).size() == lengths.size());
    CHECK(lengths.front() >= 1);
    CHECK(lengths.back() <= 2 * longest);
    CHECK(std::count(lengths.begin(), lengths.end(), longest) == 1);
  }
}

TEST_CASE("a carry arises where two digits and the carry before reach the base") {
  CHECK(carries_of({.a = 0b0111, .b = 0b0001}, 2, 5) == std::vector<int>{1, 1, 1, 0, 0});
  CHECK(carries_of({.a = 57, .b = 168}, 10, 4) == std::vector<int>{1, 1, 0, 0});
  CHECK(carries_of({.a = 999, .b = 1}, 10, 4) == std::vector<int>{1, 1, 1, 0});
  CHECK(carries_of({.a = 5, .b = 4}, 10, 1) == std::vector<int>{0});
  CHECK(digits_of(4096, 10, 5) == std::vector<int>{6, 9, 0, 4, 0});
}

TEST_CASE("bits of a sum agree with its digits and carries, for all sums of four bits") {
  std::vector<Sum> sums;
  for (std::uint64_t a = 0; a < 16; ++a) {
    for (std::uint64_t b = 0; b < 16; ++b) sums.push_back({a, b});
  }
  const auto x = addend_bits(sums, 4), y = sum_bits(sums, 4);
  for (std::size_t n = 0; n < sums.size(); ++n) {
    const auto row = static_cast<std::int64_t>(n);
    const std::vector<int> carries = carries_of(sums[n], 2, 5);
    std::uint64_t total = 0;
    for (std::int64_t t = 0; t < 5; ++t) {
      const double before = t == 0 ? 0 : carries[static_cast<std::size_t>(t - 1)];
      const double ones = x.at({t, row, 0}) + x.at({t, row, 1}) + before;
      CHECK(y.at({t, row, 0}) == (ones == 1 || ones == 3 ? 1 : 0));
      total |= static_cast<std::uint64_t>(y.at({t, row, 0})) << t;
    }
    CHECK(total == sums[n].a + sums[n].b);
  }
}

TEST_CASE(
    "random sums fill their bits and digits, and the held-out ones do not depend on the order") {
  Random random(2);
  constexpr std::uint64_t kMostOf62Bits = (std::uint64_t{1} << 62) - 1;
  std::uint64_t seen = 0, held = 0;
  for (int i = 0; i < 2000; ++i) {
    const Sum wide = random_binary_sum(62, random);
    CHECK(std::max(wide.a, wide.b) <= kMostOf62Bits);
    seen |= wide.a & ~wide.b;
    const Sum sum = random_decimal_sum(4, random);
    CHECK(std::max(sum.a, sum.b) <= 9999);
    CHECK(held_out(sum) == held_out({sum.b, sum.a}));
    held += held_out(sum) ? 1 : 0;
    const Pair pair = decimal_pair(sum);
    CHECK(parse_sum(pair.source, 10, 4) == sum);
    CHECK(std::string(pair.target.rbegin(), pair.target.rend()) == std::to_string(sum.a + sum.b));
  }
  CHECK(seen == kMostOf62Bits);
  CHECK(held > 120);
  CHECK(held < 300);
  CHECK(message_of([&] { random_binary_sum(63, random); }) ==
        "addition: bits is 63, expected 1 to 62");
}

TEST_CASE("sums to measure with are different ones, and no more than there are") {
  Random random(3);
  for (int bits : {1, 2, 4, 5, 8, 31, 40, 62}) {
    CAPTURE(bits);
    const std::vector<Sum> sums = different_binary_sums(1000, bits, random);
    const std::size_t all = bits < 5 ? std::size_t{1} << (2 * bits) : 1000;
    CHECK(sums.size() == all);
    CHECK(std::set<Sum>(sums.begin(), sums.end()).size() == all);
    for (const Sum& sum : sums) CHECK((std::max(sum.a, sum.b) >> bits) == 0);
  }
  for (const char* line : {"add --base 10 --digits 1", "add --base 10 --digits 2"}) {
    const Material material = material_of(parsed(line));
    std::set<std::string> different;
    for (const Pair& pair : material.test) different.insert(pair.source);
    CHECK(different.size() == material.test.size());
    std::size_t all = 0;
    const std::uint64_t end = parsed(line).digits == 1 ? 10 : 100;
    for (std::uint64_t a = 0; a < end; ++a) {
      for (std::uint64_t b = 0; b < end; ++b) all += held_out({a, b}) ? 1 : 0;
    }
    // Random draws may miss the last sums of two digits.
    CHECK(material.test.size() <= all);
    if (end == 10) CHECK(material.test.size() == all);
    if (end == 100) CHECK(material.test.size() > 950);
  }
}

TEST_CASE("a sum is read from text, and what is none is not") {
  CHECK(parse_sum("1011 + 110", 2, 62) == Sum{11, 6});
  CHECK(parse_sum("57+168", 10, 4) == Sum{57, 168});
  for (const char* text : {"", "12", "+1", "1+", "1+2+3", "1-2", "12+1", "1 1+"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_sum(text, 2, 62));
  }
  CHECK_FALSE(parse_sum("11111+1", 2, 4));
  CHECK(to_text(0, 2) == "0");
  CHECK(to_text(6, 2) == "110");
  CHECK(to_text(405, 10) == "405");
}

TEST_CASE("made material keeps its parts apart") {
  for (const char* line : {"dates --pairs 3000", "add --base 10 --digits 3 --pairs 3000"}) {
    CAPTURE(line);
    const Arguments a = parsed(line);
    const Material material = material_of(a);
    CHECK(material.train.size() == 3000);
    CHECK(material.test.size() == 1000);
    const bool dates = a.task == "dates";
    std::set<std::string> learned;
    for (const Pair& pair : material.train) learned.insert(dates ? pair.target : pair.source);
    for (const auto* part : {&material.validation, &material.test}) {
      for (const Pair& pair : *part) {
        CHECK_FALSE(learned.contains(dates ? pair.target : pair.source));
      }
    }
  }
}

TEST_CASE("sentences that are too long are left out and counted") {
  const Arguments a = parsed("dates --pairs 500 --max-length 10");
  const Material material = material_of(a);
  CHECK(material.train.size() < 500);
  CHECK(material.remarks.size() == 3);
  CHECK(material.remarks[0] ==
        std::to_string(500 - material.train.size()) +
            " pairs for training are longer than 10 characters (--max-length): left out");
  const std::string message =
      message_of([] { material_of(parsed("dates --pairs 500 --max-length 3")); });
  CHECK(
      message.starts_with("data: dates made by rule has no pairs left for training; 500 pairs "
                          "for training are longer than 3 characters (--max-length): left out;"));
  CHECK(message.ends_with("; give a greater --max-length"));
}

TEST_CASE("options that do not belong to a task, or to each other, are refused") {
  const auto refused = [](const std::string& line) -> std::string {
    try {
      parsed(line);
    } catch (const common::UsageError& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(refused("reverse --data x.tsv") ==
        "--data is an option of dates, translate, not of reverse");
  CHECK(refused("dates --base 10") == "--base is an option of add, not of dates");
  CHECK(refused("add --base 3") == "--base is 3, expected 2 or 10");
  CHECK(refused("add --base 10 --digits 40") == "--digits is 40, expected 1 to 18 decimal digits");
  CHECK(refused("add --cell lstm") ==
        "--cell has no effect on --base 2, where a plain RNN adds bits; give --base 10 too, or "
        "leave --cell out");
  CHECK(refused("--resume --interactive") ==
        "--resume trains, --translate and --interactive do not; choose one");
  CHECK(refused("--model x.safetensors").starts_with("--model names a checkpoint"));
  CHECK(refused("add --base 10 --cell lstm --quick") == "accepted");
  CHECK(refused("reverse --samples 3") ==
        "--samples is an option of dates, translate, add, not of reverse");
  for (const char* option : {"--updates 3", "--hidden 8", "--data x.tsv", "--quick", "--seed 1",
                             "--two-directions", "--max-length 9"}) {
    const std::string name(option, std::string_view(option).find(' ') == std::string_view::npos
                                       ? std::string_view(option).size()
                                       : std::string_view(option).find(' '));
    const std::string shown = name == "--two-directions" ? "--one-direction" : name;
    CHECK(refused(std::string("--translate x ") + option) ==
          shown + " has no effect together with --translate, which trains nothing; leave " + shown +
              " out");
  }
  CHECK(refused("--interactive --lr 1") ==
        "--lr has no effect together with --interactive, which trains nothing; leave --lr out");
  CHECK(refused("reverse --translate abc --beam 3 --model m --out o --json j --threads 2") ==
        "accepted");
  CHECK_THROWS_AS(parsed("cook"), common::UsageError);
  CHECK_THROWS_AS(parsed("--hidden 0"), common::UsageError);
  CHECK_THROWS_AS(parsed("--lr fast"), common::UsageError);
  CHECK_THROWS_AS(parsed("--attention sideways"), common::UsageError);
}

TEST_CASE("tasks have presets that options overrule") {
  CHECK(parsed("").task == "dates");
  CHECK_FALSE(parsed("").task_given);
  CHECK(parsed("dates").task_given);
  CHECK(parsed("translate").source_unit == "word");
  CHECK(parsed("translate --source-unit character").source_unit == "character");
  CHECK(parsed("translate").settings.model.hidden == 128);
  CHECK(parsed("translate --hidden 32").settings.model.hidden == 32);
  CHECK(parsed("add").settings.model.hidden == 16);
  CHECK_FALSE(parsed("--one-direction").settings.model.bidirectional);
}

TEST_CASE("each task has a folder of its own") {
  std::set<std::string> folders;
  for (const char* line : {"dates", "translate", "reverse", "copy", "add", "add --base 10"}) {
    folders.insert(parsed(line).common.out);
  }
  CHECK(folders.size() == 6);
  CHECK(parsed("").common.out == "out/seq2seq/dates");
  CHECK(parsed("translate --translate x").common.out == "out/seq2seq/translate");
  CHECK(parsed("add --out here").common.out == "here");
}

TEST_CASE("the explanation of a task shows its own values and options") {
  // Finds an option's line in --help, up to its value.
  const auto shown = [](const std::string& line, const std::string& option) -> std::string {
    Arguments a;
    common::CommandLine command(a.common, "seq2seq", "");
    parse(command, a, line);
    const std::string text = command.help();
    const std::size_t place = text.find("  " + option + " ");
    if (place == std::string::npos) return "hidden";
    const std::size_t value = text.find('=', place);
    return text.substr(value + 1, text.find_first_of(" \n", value) - value - 1);
  };
  CHECK(shown("", "--updates") == "3000");
  CHECK(shown("", "--digits") == "8");
  CHECK(shown("translate", "--updates") == "1200");
  CHECK(shown("translate --data x.tsv", "--updates") == "4000");
  CHECK(shown("translate", "--source-unit") == "word");
  CHECK(shown("translate", "--beam") == "4");
  CHECK(shown("translate", "--length-penalty") == "0.6");
  CHECK(shown("translate", "--digits") == "hidden");
  CHECK(shown("add", "--hidden") == "16");
  CHECK(shown("add", "--cell") == "hidden");
  CHECK(shown("add --base 10", "--digits") == "4");
  CHECK(shown("add --base 10", "--cell") == "gru");
  CHECK(shown("reverse", "--out") == "out/seq2seq/reverse");
  CHECK(shown("reverse", "--lr") == "0.003");
  CHECK(shown("dates --lr 0.5", "--lr") == "0.003");  // the default
}

TEST_CASE("the search is that of the task unless another is asked for") {
  Arguments a = parsed("--translate x");
  CHECK(a.search().beams == 1);
  a.task = "translate";  // from a checkpoint
  CHECK(a.search().beams == 4);
  CHECK(a.search().length_penalty == 0.6);
  a = parsed("--translate x --beam 2 --length-penalty 0.1");
  a.task = "translate";
  CHECK(a.search().beams == 2);
  CHECK(a.search().length_penalty == 0.1);
}
