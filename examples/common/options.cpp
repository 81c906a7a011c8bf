// SPDX-License-Identifier: MIT
// Options by CLI11, the common ones, and the exit codes for errors.
#include "examples/common/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <utility>

#include "examples/common/console.h"
#include "examples/common/interrupt.h"
#include "examples/common/notes.h"
#include "examples/common/output.h"
#include "examples/common/run_lock.h"
#include "examples/common/saver.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace common {

namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kSignalled = 128;  // plus the number of the signal

int report(const std::string& name, const std::string& message, int code) {
  std::fflush(stdout);
  say("{}: {}\n", name, message);
  std::fflush(stderr);
  return code;
}

int run_body(const std::string& name, const std::function<void()>& body) {
  try {
    body();
    const bool printed = flush_output();
    const std::string lost = unsaved();
    if (!lost.empty()) report(name, lost, kFailed);
    if (!printed) report(name, "standard output cannot be written; results are missing", kFailed);
    return printed && lost.empty() ? 0 : kFailed;
  } catch (const UsageError& error) {
    return report(name, std::string(error.what()) + "; --help explains the options", kBadUsage);
  } catch (const Interrupted& stopped) {
    report(name, stopped.what(), kFailed);
    end_by(stopped.signal);
    return kSignalled + stopped.signal;
  } catch (const std::bad_alloc&) {
    return report(name, "memory ran out; choose a smaller model, batch or data", kFailed);
  } catch (const std::exception& error) {
    return report(name, error.what(), kFailed);
  }
}

// The rule that a text breaks, for a message; "" if none.
std::string problem_of(const Rules& rules, const std::string& given) {
  if (rules.not_empty && given.empty())
    return "the value is empty; give one, or leave the option out";
  const auto ends = [&](const std::string& ending) {
    return given.ends_with(ending) && given.size() > ending.size();
  };
  if (rules.endings.empty() || std::any_of(rules.endings.begin(), rules.endings.end(), ends)) {
    return "";
  }
  return fmt::format("\"{}\" does not end in {}", given, fmt::join(rules.endings, " or "));
}

}  // namespace

CommandLine::CommandLine(CommonOptions& options, const std::string& name,
                         const std::string& explanation)
    : common_(options), name_(name), app_(std::make_unique<CLI::App>(explanation)) {
  options.out = "out/" + name;
  Setting json = free_text("--json", options.json, "FILE",
                           "write the final results to this file, as JSON", {.not_empty = true});
  json.read = [read = json.read](const std::string& given) -> std::string {
    if (given == "-") return "'-' is not a file: standard output is for people; name a file";
    return read(given);
  };
  add({free_text("--out", options.out, "DIR", "folder for the files that the program writes",
                 {.not_empty = true}),
       json, count("--seed", options.seed, 0, kAnyCount, "seed of all random numbers"),
       count("--threads", options.threads, 1, tapeloop::kMaxThreads,
             "number of threads; it does not change the results"),
       choice("--device", device_, {"cpu", "cuda"},
              "device of the model; a run may continue on the other device from the same files"),
       flag("--quick", options.quick, "a run of a few seconds, to check that everything works")});
}

CommandLine::~CommandLine() = default;

void CommandLine::add(const SettingsTable& rows) {
  for (const Setting& row : rows) add(row);
}

void CommandLine::add(const Setting& row) {
  if (row.option.empty()) return;
  CLI::Option* option = nullptr;
  if (row.type.empty()) {
    option = app_->add_flag(row.option, row.help)->each([read = row.read](const std::string& on) {
      read(on == "true" ? "1" : "0");
    });
  } else {
    const auto read = [row](const std::string& given) {
      std::string problem = problem_of(row.rules, given);
      if (problem.empty()) problem = row.read(given);
      if (!problem.empty()) throw CLI::ValidationError(row.option, problem);
    };
    option =
        app_->add_option_function<std::string>(row.option, read, row.help)->type_name(row.type);
    if (row.rules.default_shown) option->default_str(row.text());
  }
  for (const std::string& other : row.rules.excludes) option->excludes(app_->get_option(other));
  for (const std::string& other : row.rules.needs) option->needs(app_->get_option(other));
  rows_.push_back(row);
}

bool CommandLine::parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  common_.device = device_ == "cuda" ? tapeloop::Device::cuda : tapeloop::Device::cpu;
  return true;
}

bool CommandLine::given(const std::string& option) const { return app_->count(option) > 0; }

void CommandLine::preset(const std::string& option, const std::string& value) {
  if (given(option)) return;
  for (const Setting& row : rows_) {
    if (row.option == option) row.read(value);
  }
  app_->get_option(option)->default_str(value);
}

void CommandLine::preset(const std::string& option, double value) {
  preset(option, fmt::format("{}", value));
}

void CommandLine::check_effect(std::initializer_list<std::string_view> options,
                               const std::string& mode) const {
  for (const CLI::Option* option : app_->get_options()) {
    // get_name() is empty if --help does not show the option.
    const auto& names = option->get_lnames();
    const std::string name = names.empty() ? option->get_name(true) : "--" + names.front();
    if (option->count() == 0 || std::find(options.begin(), options.end(), name) != options.end()) {
      continue;
    }
    throw UsageError(fmt::format("{0} has no effect together with {1}; leave {0} out", name, mode));
  }
}

void CommandLine::check_model(const tapeloop::nn::Checkpoint& saved,
                              const std::string& path) const {
  for (const Setting& row : rows_) {
    if (row.note.empty() || !given(row.option)) continue;
    const std::string& there = note(saved, row.note, path);
    if (row.text() == there) continue;
    throw UsageError(fmt::format("{} is {}, but {} holds a model with {}; leave the option out",
                                 row.option, row.text(), path, there));
  }
}

void CommandLine::hide(const std::string& option) { app_->get_option(option)->group(""); }

void CommandLine::footer(const std::string& sentence) { app_->footer(sentence); }

std::string CommandLine::help() const { return app_->help(); }

void need(tapeloop::Device device) {
  try {
    tapeloop::Tensor::empty({1}, tapeloop::DType::float32, device);
  } catch (const tapeloop::Error& error) {
    throw tapeloop::Error(fmt::format("--device {}: {}; to run on the CPU, leave --device out",
                                      tapeloop::name(device), error.what()));
  }
}

namespace {

// Runs before any work: if two options name one file, the run would lose one of the two.
void check_files(const CommonOptions& options) {
  std::vector<NamedFile> written = options.writes;
  written.push_back({"--json", options.json});
  if (options.folder != OutFolder::read) {
    written.push_back({"the lock of --out", RunLock::path_in(options.out)});
  }
  check_files_differ(options.reads, written);
}

// An input file that is absent is an error before any folder is made.
void check_inputs(const CommonOptions& options) {
  for (const NamedFile& input : options.reads) {
    std::error_code ignored;
    const bool given = input.option.starts_with("--") && !input.path.empty();
    if (given && !std::filesystem::exists(input.path, ignored)) tapeloop::read_file(input.path, 0);
  }
}

// Locks the folder of --out if the run writes there.
void take(const CommonOptions& options, std::optional<RunLock>& lock) {
  std::error_code ignored;
  if (options.folder == OutFolder::written) make_folder(options.out);
  const bool there = std::filesystem::is_directory(options.out, ignored);
  if (options.folder != OutFolder::read && there) {
    lock.emplace(options.out, options.other_folder);
  }
}

}  // namespace

int CommandLine::run(int argc, char** argv, const std::function<void()>& body,
                     const std::function<void()>& fill_in) {
  keep_standard_streams();
  bool help = false;
  const int parsed = run_body(name_, [&] { help = !parse(argc, argv); });
  if (parsed != 0) return parsed;
  if (help) {
    try {
      if (fill_in) fill_in();
    } catch (const UsageError&) {  // --help works beside a mistake
    }
    print("{}", app_->help());
    return flush_output() ? 0 : kFailed;
  }
  return run_body(name_, [&] {
    if (fill_in) fill_in();
    check_files(common_);
    check_inputs(common_);
    tapeloop::set_num_threads(common_.threads);
    std::optional<RunLock> lock;
    take(common_, lock);
    if (!common_.json.empty()) check_writable(common_.json);
    need(common_.device);
    body();
  });
}

}  // namespace common
