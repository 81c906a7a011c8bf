// SPDX-License-Identifier: MIT
// Command lines of the three programs: parses and completes them, as CommandLine::run() does before
// it opens anything.
#include <cmath>
#include <functional>

#include "examples/char_lm/arguments.h"
#include "examples/common/options.h"
#include "examples/jazz/arguments.h"
#include "examples/seq2seq/arguments.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

std::vector<std::string> split(std::string_view bytes) {
  std::vector<std::string> words;
  for (;;) {
    const std::size_t end = bytes.find('\0');
    words.emplace_back(bytes.substr(0, end));
    if (end == std::string_view::npos) return words;
    bytes.remove_prefix(end + 1);
  }
}

bool within(double value, double low, double high) { return value >= low && value <= high; }

void check_common(const common::CommonOptions& common) {
  expect(common.threads >= 1 && common.threads <= kMaxThreads, "--threads is in its range");
}

void check(const char_lm::Arguments& a) {
  check_common(a.common);
  const char_lm::Settings& s = a.settings;
  expect(within(static_cast<double>(s.model.hidden), 1, 65536) && s.model.layers >= 1 &&
             s.model.embedding >= 0,
         "sizes of the model are in their ranges");
  expect(within(s.model.dropout, 0, 0.99) && std::isfinite(s.learning_rate) && s.clip >= 0,
         "numbers of the training are in their ranges");
  expect(s.streams >= 1 && s.steps >= 1 && s.updates >= 1 && a.validate_every >= 1 &&
             a.gradient_steps >= 2,
         "counts of the training are in their ranges");
  expect(!(a.resume && a.generate_only), "--resume and --generate-only exclude each other");
}

void check(const jazz::Arguments& a) {
  check_common(a.common);
  expect(within(static_cast<double>(a.model.hidden), 1, 65536) && a.model.layers >= 1 &&
             a.model.embedding >= 1,
         "sizes of the model are in their ranges");
  expect(within(a.model.dropout, 0, 0.95) && within(a.model.forget, 0, 0.95) &&
             within(a.train.learning_rate, 0, 10) && (a.tempo == 0 || within(a.tempo, 20, 400)),
         "numbers are in their ranges");
  expect(a.train.updates >= 1 && a.train.streams >= 1 && a.train.steps >= 1 && a.takes >= 1 &&
             within(a.choruses, 1, 1000),
         "counts are in their ranges");
  expect(!(a.resume && a.generate_only), "--resume and --generate-only exclude each other");
}

void check(const seq2seq::Arguments& a) {
  check_common(a.common);
  const seq2seq::Settings& s = a.settings;
  expect(s.task == a.task && s.seed == a.common.seed, "settings are those that were asked for");
  expect(within(static_cast<double>(s.model.hidden), 1, 65536) && s.model.layers >= 1 &&
             s.batch >= 1 && s.updates >= 1 && s.most_symbols >= 1,
         "counts are in their ranges");
  expect(within(s.model.dropout, 0, 0.99) && within(s.decay, 0, 1) && s.learning_rate >= 0,
         "numbers are in their ranges");
  expect(a.from_checkpoint() || a.base == 2 || a.base == 10, "--base is 2 or 10");
  const seq2seq::SearchOptions search = a.search();
  expect(search.beams >= 1 && search.max_length >= 1, "a search has a width");
}

template <class Arguments>
void try_program(const char* name, std::vector<std::string> words) {
  Arguments arguments;
  common::CommandLine line(arguments.common, name, name);
  add_options(line, arguments);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  bool help = false;
  try {
    help = !line.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const common::UsageError& error) {
    expect(!std::string_view(error.what()).empty(), "a refused command line has a reason");
    return;
  }
  try {
    fill_in(line, arguments);
  } catch (const common::UsageError& error) {
    expect(!std::string_view(error.what()).empty(), "options that do not fit have a reason");
    return;
  }
  if (help) {
    expect(line.help().find("--out") != std::string::npos, "--help explains the options");
  } else {
    check(arguments);
  }
}

// Every option of a program, with a value that it accepts.
template <class Arguments>
void add_seeds(const std::string& name, std::vector<std::string>& seeds) {
  Arguments arguments;
  common::CommandLine line(arguments.common, name, name);
  add_options(line, arguments);
  const auto add = [&](std::initializer_list<std::string_view> words) {
    std::string seed = name;
    for (std::string_view word : words) seed.append(1, '\0').append(word);
    seeds.push_back(std::move(seed));
  };
  add({});
  add({"--help"});
  for (const common::Setting& row : line.rows()) {
    const std::string option = row.option.substr(0, row.option.find('{'));
    if (row.type.empty()) {
      add({option});
    } else {
      const std::string preset = row.text();
      add({option, preset.empty() ? "10" : preset});
    }
  }
}

}  // namespace

void try_arguments(std::string_view bytes) {
  std::vector<std::string> words = split(bytes);
  if (words[0] == "char_lm") {
    try_program<char_lm::Arguments>("char_lm", std::move(words));
  } else if (words[0] == "jazz") {
    try_program<jazz::Arguments>("jazz", std::move(words));
  } else {
    try_program<seq2seq::Arguments>("seq2seq", std::move(words));
  }
}

std::vector<std::string> arguments_seeds() {
  std::vector<std::string> seeds;
  add_seeds<char_lm::Arguments>("char_lm", seeds);
  add_seeds<jazz::Arguments>("jazz", seeds);
  add_seeds<seq2seq::Arguments>("seq2seq", seeds);
  for (const char* task : {"dates", "translate", "reverse", "copy", "add"}) {
    seeds.push_back(std::string("seq2seq").append(1, '\0').append(task));
  }
  return seeds;
}

}  // namespace tapeloop::fuzz
