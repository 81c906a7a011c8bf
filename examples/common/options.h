// SPDX-License-Identifier: MIT
// The options that every example takes, strict numbers on the command line, and the frame around a
// main(). What an example does with its own options is its own affair.
#pragma once

#include <CLI/CLI.hpp>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/shape.h"

namespace common {

struct CommonOptions {
  std::string out;         // folder for what the program writes
  std::string json;        // file for the final figures; empty: none
  std::uint64_t seed = 0;  // of everything random
  int threads = 1;
  tapeloop::Device device = tapeloop::Device::cpu;  // where the models are
  bool quick = false;                               // a run of a few seconds, for tests
};

// Adds --out (default out/NAME), --json, --seed, --threads, --device and --quick.
void add_common(CLI::App& app, CommonOptions& options, const char* name);

// A whole number in decimal digits, low <= value <= high; anything else is a usage error.
template <std::integral T>
CLI::Option* add_count(CLI::App& app, const std::string& name, T& value, std::int64_t low,
                       std::int64_t high, const std::string& help);
// A finite number, low <= value <= high.
CLI::Option* add_number(CLI::App& app, const std::string& name, double& value, double low,
                        double high, const std::string& help);

// Bad values that only the program itself can find: options that do not go together.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws tapeloop::Error, saying what to do, where this program cannot use the device on this machine.
void need(tapeloop::Device device);

// Reads the command line, sets the threads, makes the folders of --out and --json, sees that --device is there and calls
// body().
// The result is the program's exit code: 0; 1 after "NAME: message" on stderr where body throws; 2
// for a command line that is wrong. --help prints the explanation and is 0.
int run_main(CLI::App& app, const CommonOptions& options, const char* name, int argc, char** argv,
             const std::function<void()>& body);

// -------------------------------------------------------------------------------------------------

namespace detail {
std::int64_t parse_count(const std::string& name, const std::string& text, std::int64_t low,
                         std::int64_t high);
}

template <std::integral T>
CLI::Option* add_count(CLI::App& app, const std::string& name, T& value, std::int64_t low,
                       std::int64_t high, const std::string& help) {
  const auto read = [&value, name, low, high](const std::string& text) {
    value = static_cast<T>(detail::parse_count(name, text, low, high));
  };
  return app.add_option_function<std::string>(name, read, help)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

// Checks of a text option: it is not empty, as an unset variable of a shell would make it; it names a file of this kind.
CLI::Validator not_empty();
CLI::Validator file_ending(std::vector<std::string> endings);  // ".svg"

inline constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();

}  // namespace common
