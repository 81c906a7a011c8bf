// SPDX-License-Identifier: MIT
// Parsing of numbers, the common options, and the exit codes for errors.
#include "examples/common/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <utility>

#include "examples/common/console.h"
#include "examples/common/interrupt.h"
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

int report(const char* name, const std::string& message, int code) {
  std::fflush(stdout);
  say("{}: {}\n", name, message);
  std::fflush(stderr);
  return code;
}

int run_body(const char* name, const std::function<void()>& body) {
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

std::int64_t parse_count(const std::string& name, const std::string& text, std::int64_t low,
                         std::int64_t high) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    const std::string range = high == kAnyCount ? fmt::format("of {} or more", low)
                                                : fmt::format("from {} to {}", low, high);
    throw CLI::ValidationError(name, fmt::format("'{}' is not a whole number {}", text, range));
  }
  return value;
}

}  // namespace

CLI::Option* detail::add_count(CLI::App& app, const std::string& name, std::int64_t low,
                               std::int64_t high, const std::string& help,
                               const std::string& preset, std::function<void(std::int64_t)> set) {
  const auto read = [set = std::move(set), name, low, high](const std::string& text) {
    set(parse_count(name, text, low, high));
  };
  return app.add_option_function<std::string>(name, read, help)
      ->type_name("N")
      ->default_str(preset);
}

CLI::Option* add_number(CLI::App& app, const std::string& name, double& value, double low,
                        double high, const std::string& help) {
  const auto read = [&value, name, low, high](const std::string& text) {
    double number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stop != end || !std::isfinite(number) || number < low ||
        number > high) {
      const std::string range = std::isfinite(high) ? fmt::format("from {} to {}", low, high)
                                                    : fmt::format("of {} or more", low);
      throw CLI::ValidationError(name, fmt::format("'{}' is not a number {}", text, range));
    }
    value = number;
  };
  return app.add_option_function<std::string>(name, read, help)
      ->type_name("X")
      ->default_str(fmt::format("{}", value));
}

CLI::Validator not_empty() {
  return CLI::Validator(
      [](std::string& text) {
        return text.empty() ? "it is empty; name something, or leave it out" : "";
      },
      "");
}

CLI::Validator not_standard_output() {
  return CLI::Validator(
      [](std::string& text) {
        return text == "-" ? "'-' is no file: standard output is for people; name a file" : "";
      },
      "");
}

CLI::Validator file_ending(std::vector<std::string> endings) {
  return CLI::Validator(
      [endings](std::string& text) -> std::string {
        std::string expected;
        for (const std::string& ending : endings) {
          if (text.ends_with(ending) && text.size() > ending.size()) return "";
          expected += (expected.empty() ? "" : " or ") + ending;
        }
        return "\"" + text + "\" does not end in " + expected;
      },
      "");
}

void add_common(CLI::App& app, CommonOptions& options, const char* name) {
  options.out = std::string("out/") + name;
  app.add_option("--out", options.out, "folder for what is written")
      ->type_name("DIR")
      ->check(not_empty())
      ->default_str(options.out);
  app.add_option("--json", options.json, "write the final figures to this file")
      ->type_name("FILE")
      ->check(not_empty())
      ->check(not_standard_output());
  add_count(app, "--seed", options.seed, 0, kAnyCount, "of everything random");
  add_count(app, "--threads", options.threads, 1, tapeloop::kMaxThreads,
            "threads; the results are the same with any number");
  const auto read_device = [&options](const std::string& text) {
    options.device = text == "cuda" ? tapeloop::Device::cuda : tapeloop::Device::cpu;
  };
  app.add_option_function<std::string>(
         "--device", read_device,
         "where the model is; files are the same, so a run may go on on the other")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->type_name("cpu|cuda")
      ->default_str("cpu");
  app.add_flag("--quick", options.quick, "a run of a few seconds, to see that everything works");
}

void need(tapeloop::Device device) {
  try {
    tapeloop::Tensor::empty({1}, tapeloop::DType::float32, device);
  } catch (const tapeloop::Error& error) {
    throw tapeloop::Error(fmt::format("--device {}: {}; to run on the CPU, leave --device out",
                                      tapeloop::name(device), error.what()));
  }
}

bool detail::given(const CLI::App& app, const char* option) { return app.count(option) > 0; }

void detail::show_default(CLI::App& app, const char* option, const std::string& text) {
  app.get_option(option)->default_str(text);
}

std::string detail::text_of(double value) { return fmt::format("{}", value); }

void check_effect(const CLI::App& app, std::initializer_list<std::string_view> options,
                  const std::string& mode) {
  for (const CLI::Option* option : app.get_options()) {
    // get_name() is empty if --help does not show the option.
    const auto& names = option->get_lnames();
    const std::string name = names.empty() ? option->get_name(true) : "--" + names.front();
    if (option->count() == 0 || std::find(options.begin(), options.end(), name) != options.end()) {
      continue;
    }
    throw UsageError(fmt::format("{} has no effect together with {}; leave it out", name, mode));
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

int run_main(CLI::App& app, const CommonOptions& options, const char* name, int argc, char** argv,
             const std::function<void()>& body, const std::function<void()>& fill_in) {
  keep_standard_streams();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    try {
      if (fill_in) fill_in();
    } catch (const UsageError&) {  // --help works beside a mistake
    }
    print("{}", app.help());
    return flush_output() ? 0 : kFailed;
  } catch (const CLI::ParseError& error) {
    return report(name, std::string(error.what()) + "; --help explains the options", kBadUsage);
  }
  return run_body(name, [&] {
    if (fill_in) fill_in();
    check_files(options);
    check_inputs(options);
    tapeloop::set_num_threads(options.threads);
    std::optional<RunLock> lock;
    take(options, lock);
    if (!options.json.empty()) check_writable(options.json);
    need(options.device);
    body();
  });
}

}  // namespace common
