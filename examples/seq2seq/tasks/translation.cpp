// SPDX-License-Identifier: MIT
// --translate and --interactive: translates texts by a checkpoint, and says which texts it refuses
// and why. Trains nothing.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/saver.h"
#include "examples/common/text.h"
#include "examples/seq2seq/settings.h"
#include "examples/seq2seq/tasks/adder.h"
#include "examples/seq2seq/tasks/tasks.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

namespace nn = tapeloop::nn;

namespace {

struct Answer {
  std::string text;
  std::string remark;  // for the user; may be empty
};
using Translate = std::function<Answer(const std::string&)>;  // throws Error to refuse a text

// Returns the text to translate without white space at its ends. Throws if it is not a text.
std::string checked(const std::string& given) {
  std::string text(common::trimmed(given));
  if (const auto bad = first_invalid_utf8(text)) {
    tapeloop::fail("translate", fmt::format("byte {} of the text is not UTF-8; give it in that "
                                            "encoding",
                                            *bad + 1));
  }
  if (const auto zero = text.find('\0'); zero != std::string::npos) {
    tapeloop::fail("translate", fmt::format("byte {} of the text is NUL; if the text is UTF-16, "
                                            "convert it by `iconv -f utf-16le -t utf-8`",
                                            zero + 1));
  }
  return text;
}

Answer translate_text(const Loaded& loaded, const SearchOptions& search, std::string text) {
  const bool sum = loaded.settings.task == "add";
  if (sum) std::erase(text, ' ');
  text = composed(text);
  const Unit unit = loaded.translator.languages().source_unit;
  const auto count = static_cast<std::int64_t>(units_of(text, unit).size());
  const std::int64_t most = loaded.settings.most_symbols;
  if (count == 0) tapeloop::fail("translate", "the text is empty; give at least one character");
  if (count > most) {
    tapeloop::fail("translate",
                   fmt::format("the text has {} {}, this model takes {} at most; shorten it, or "
                               "train with --max-length {}",
                               count, unit == Unit::word ? "words" : "characters", most, count));
  }
  const std::vector<std::string> texts = {text};
  const Translation translation = loaded.translator.translate(texts, search)[0];
  Answer answer{translation.text, {}};
  // The model writes sums from the lowest digit; people read them from the highest.
  if (sum) std::reverse(answer.text.begin(), answer.text.end());
  if (!translation.unknown.empty()) {
    answer.remark =
        fmt::format("never seen in training: '{}'", fmt::join(translation.unknown, "' '"));
  }
  if (!translation.ended) {
    answer.remark += fmt::format("{}cut off after {} symbols", answer.remark.empty() ? "" : "; ",
                                 translation.target.size());
  }
  return answer;
}

Answer add_text(const Adder& adder, const std::string& text) {
  constexpr int kMost = kMostBits;
  const auto sum = parse_sum(text, 2, kMost);
  if (!sum) {
    tapeloop::fail("translate", fmt::format("'{}' is not a sum of two binary numbers of 1 to {} "
                                            "bits; give one like 1011+110",
                                            common::printable(text), kMost));
  }
  int bits = 1;
  while ((sum->a | sum->b) >> bits != 0) ++bits;
  const std::uint64_t found = adder.add(*sum, bits);
  Answer answer{to_text(found, 2), {}};
  if (found != sum->a + sum->b) {
    answer.remark = fmt::format("wrong: the sum is {}", to_text(sum->a + sum->b, 2));
  }
  return answer;
}

Translate translator_of(const Arguments& a, const std::string& path) {
  const nn::Checkpoint saved =
      a.model.empty() ? common::read_best(path, "--translate") : nn::read_checkpoint(path);
  const std::string& task = check_task(saved, a.task_given ? a.task : "", path);
  if (task == "add" && saved.notes.contains("base")) {
    const AdderSettings settings = adder_settings_of(saved, path);
    tapeloop::Random random(settings.seed);
    const auto adder = std::make_shared<Adder>(settings.model.hidden, random, a.common.device);
    nn::load_state_dict(*adder, saved.section("model"), path);
    return [adder](const std::string& text) { return add_text(*adder, checked(text)); };
  }
  const auto loaded = std::make_shared<Loaded>(load_translator(saved, task, path, a.common.device));
  Arguments own = a;
  own.task = task;
  SearchOptions search = own.search();
  search.max_length = 2 * loaded->settings.most_symbols + 1;
  return [loaded, search](const std::string& text) {
    return translate_text(*loaded, search, checked(text));
  };
}

// Reads a line that ends in LF, CR or CR LF (after CR LF it returns an extra empty line). After a
// CR it does not wait for more input.
bool read_line(std::istream& in, std::string& line) {
  line.clear();
  for (char c; in.get(c);) {
    if (c == '\n' || c == '\r') return true;
    line += c;
  }
  return !line.empty();
}

void prompt(const Translate& translate) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  std::string line;
  while (std::ferror(stdout) == 0) {  // CommandLine::run() reports a failure of stdout
    if (terminal) common::say("> ");
    if (!read_line(std::cin, line)) break;
    if (common::trimmed(line).empty()) continue;
    try {
      const Answer answer = translate(line);
      common::print("{}\n", answer.text);
      std::fflush(stdout);
      if (!answer.remark.empty()) common::say("({})\n", answer.remark);
    } catch (const tapeloop::Error& error) {
      common::print("\n");  // one line of output for each line of input
      std::fflush(stdout);
      common::say("({})\n", error.what());
    }
  }
  if (terminal) common::say("\n");
}

}  // namespace

nlohmann::json run_translation(const Arguments& a) {
  const std::string path = a.best();
  const Translate translate = translator_of(a, path);
  nlohmann::json figures = {{"model", path}};
  if (a.translate_given) {
    const Answer answer = translate(a.translate);
    common::print("{}\n", answer.text);
    if (!answer.remark.empty()) common::say("seq2seq: {}\n", answer.remark);
    figures["source"] = a.translate;
    figures["translation"] = answer.text;
    figures["remark"] = answer.remark;
  }
  if (a.interactive) prompt(translate);
  return figures;
}

}  // namespace seq2seq
