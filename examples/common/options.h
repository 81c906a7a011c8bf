// SPDX-License-Identifier: MIT
// The options that every example takes, strict parsing of numbers, and the frame around a main().
// It knows no option of a single example. Files that declare options include <CLI/CLI.hpp>
// themselves, because that header takes long to compile.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "examples/common/paths.h"
#include "tapeloop/autograd/tensor/shape.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace common {

// How a run uses the folder of --out.
enum class OutFolder {
  written,    // makes the folder if it is missing, and keeps other runs out
  continued,  // needs an existing folder, and keeps other runs out: --resume
  read,       // writes nothing there
};

struct CommonOptions {
  std::string out;         // folder for what the program writes
  std::string json;        // file for the final figures; empty: none
  std::uint64_t seed = 0;  // seeds everything random
  int threads = 1;
  tapeloop::Device device = tapeloop::Device::cpu;  // where the models are
  bool quick = false;                               // a run of a few seconds, for tests
  OutFolder folder = OutFolder::written;
  // What the user can do if another run is in that folder, besides waiting.
  std::string other_folder = "name another folder by --out";
  // Files other than --json that the program or its options name. fill_in() adds them.
  std::vector<NamedFile> reads, writes;
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

// For bad values that only the program itself can find, such as options that exclude each other.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws tapeloop::Error, with advice, if this program cannot use the device on this machine.
void need(tapeloop::Device device);

// Reads the command line and calls fill_in(), which completes values that depend on other options
// and refuses options that exclude each other. Checks that no output file is another file of the
// run too, and that the input files which options name exist. Sets the threads, makes the folder of
// --out and locks it (run_lock.h), checks that --json can be written and that --device exists, and
// calls body().
// Returns the program's exit code. 0: success. 1, after "NAME: message" on stderr: body threw,
// standard output lost something, or a checkpoint could not be saved. 2: the command line is wrong.
// After Interrupted the process ends by that signal. --help prints the explanation with the values
// of fill_in() and returns 0.
int run_main(CLI::App& app, const CommonOptions& options, const char* name, int argc, char** argv,
             const std::function<void()>& body, const std::function<void()>& fill_in = {});

// If the user did not give the option, sets its value to `preset`, and --help shows that value.
template <class T, class P>
void preset(CLI::App& app, const char* option, T& value, const P& wanted);

// Throws UsageError if the user gave an option that is not in `options`: it would have no effect
// with `mode`, for example "--translate, which trains nothing".
void check_effect(const CLI::App& app, std::initializer_list<std::string_view> options,
                  const std::string& mode);

// -------------------------------------------------------------------------------------------------

namespace detail {
CLI::Option* add_count(CLI::App& app, const std::string& name, std::int64_t low, std::int64_t high,
                       const std::string& help, const std::string& preset,
                       std::function<void(std::int64_t)> set);
bool given(const CLI::App& app, const char* option);
void show_default(CLI::App& app, const char* option, const std::string& text);
std::string text_of(double value);
}  // namespace detail

template <std::integral T>
CLI::Option* add_count(CLI::App& app, const std::string& name, T& value, std::int64_t low,
                       std::int64_t high, const std::string& help) {
  return detail::add_count(app, name, low, high, help, std::to_string(value),
                           [&value](std::int64_t count) { value = static_cast<T>(count); });
}

template <class T, class P>
void preset(CLI::App& app, const char* option, T& value, const P& wanted) {
  if (detail::given(app, option)) return;
  value = static_cast<T>(wanted);
  if constexpr (std::is_arithmetic_v<T>) {
    detail::show_default(app, option, detail::text_of(static_cast<double>(value)));
  } else {
    detail::show_default(app, option, value);
  }
}

// Checks of a text option. not_empty() refuses "", the value of an unset shell variable; the others
// refuse "-" and other file endings.
CLI::Validator not_empty();
CLI::Validator not_standard_output();                          // "-"
CLI::Validator file_ending(std::vector<std::string> endings);  // ".svg"

inline constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();

}  // namespace common
