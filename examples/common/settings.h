// SPDX-License-Identifier: MIT
// The settings of a program as a table. A row is an option of the command line, with its meaning,
// default and range, and a note of the checkpoints. options.h reads command lines by such rows;
// notes_of() and read_notes() write and read checkpoints by the same rows.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tapeloop/nn/save/checkpoint.h"

namespace common {

// Rules of an option for the command line, besides its range.
struct Rules {
  std::vector<std::string> needs = {};     // it has no meaning without these options
  std::vector<std::string> excludes = {};  // nor beside these
  std::vector<std::string> endings = {};   // of a file's name: {".html", ".svg"}
  bool not_empty = false;     // refuses an empty text, as the value of an unset shell variable is
  bool default_shown = true;  // in --help
};

// One row. Its functions use a variable of the program, which must live as long as the row. The
// value of that variable when the row is declared is the default.
struct Setting {
  std::string option;     // "--hidden"; empty: no option, only a note
  std::string help = {};  // what it means
  std::string type = {};  // the kind of value in --help, "N"; empty: a flag
  Rules rules = {};
  std::function<std::string()> text = {};
  // Sets the value. Returns what is wrong with the given text; "" if nothing is.
  std::function<std::string(const std::string&)> read = {};
  std::string note = {};  // its name in checkpoints; empty: they do not keep it

  // The same row, which checkpoints keep under the option's name, or under `name`.
  Setting noted() const { return noted(option.substr(2)); }
  Setting noted(const std::string& name) const;
};
using SettingsTable = std::vector<Setting>;

inline constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();
inline constexpr double kAnyNumber = std::numeric_limits<double>::max();

// A whole number in decimal digits, low <= value <= high.
template <std::integral T>
Setting count(const std::string& option, T& value, std::int64_t low, std::int64_t high,
              const std::string& help, const Rules& rules = {});
// A finite number, low <= value <= high.
Setting number(const std::string& option, double& value, double low, double high,
               const std::string& help, const Rules& rules = {});
// One of the words in `choices`.
Setting choice(const std::string& option, std::string& value,
               const std::vector<std::string>& choices, const std::string& help,
               const Rules& rules = {});
Setting free_text(const std::string& option, std::string& value, const std::string& type,
                  const std::string& help, const Rules& rules = {});
// Set by the option alone; "1" or "0" in checkpoints.
Setting flag(const std::string& option, bool& value, const std::string& help,
             const Rules& rules = {});

// The notes of a checkpoint by these rows.
std::map<std::string, std::string> notes_of(const SettingsTable& table);
// Sets the rows' variables to the notes of a checkpoint. Throws FileError if a note is absent or is
// no value of its row.
void read_notes(const SettingsTable& table, const tapeloop::nn::Checkpoint& saved,
                const std::string& path);

// -------------------------------------------------------------------------------------------------

namespace detail {
Setting count(const std::string& option, std::int64_t low, std::int64_t high,
              const std::string& help, const Rules& rules, std::function<std::string()> text,
              std::function<void(std::int64_t)> set);
}

template <std::integral T>
Setting count(const std::string& option, T& value, std::int64_t low, std::int64_t high,
              const std::string& help, const Rules& rules) {
  return detail::count(
      option, low, high, help, rules, [&value] { return std::to_string(value); },
      [&value](std::int64_t count) { value = static_cast<T>(count); });
}

}  // namespace common
