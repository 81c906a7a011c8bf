// SPDX-License-Identifier: MIT
// Texts of settings, to values and back.
#include "examples/common/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

namespace {

// Reads a number, and nothing else, from low to high. Returns what is wrong with the text; "" if
// nothing is. A message leaves out a limit that only the type has, unless the number is beyond it.
template <class T>
std::string problem_of_number(const char* kind, const std::string& text, T low, T high, T& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool beyond = error == std::errc::result_out_of_range;
  if (error == std::errc() && stop == end && value >= low && value <= high) return "";
  const bool open = high == std::numeric_limits<T>::max() && !beyond;
  return fmt::format(
      "'{}' is not a {} {}", text, kind,
      open ? fmt::format("of {} or more", low) : fmt::format("from {} to {}", low, high));
}

}  // namespace

Setting Setting::noted(const std::string& name) const {
  Setting row = *this;
  row.note = name;
  return row;
}

Setting detail::count(const std::string& option, std::int64_t low, std::int64_t high,
                      const std::string& help, const Rules& rules,
                      std::function<std::string()> text, std::function<void(std::int64_t)> set) {
  const auto read = [set = std::move(set), low, high](const std::string& given) -> std::string {
    std::int64_t value = 0;
    std::string problem = problem_of_number("whole number", given, low, high, value);
    if (problem.empty()) set(value);
    return problem;
  };
  return {option, help, "N", rules, std::move(text), read};
}

Setting number(const std::string& option, double& value, double low, double high,
               const std::string& help, const Rules& rules) {
  const auto read = [&value, low, high](const std::string& given) -> std::string {
    double found = 0;
    std::string problem = problem_of_number("number", given, low, high, found);
    if (problem.empty()) value = found;
    return problem;
  };
  return {option, help, "X", rules, [&value] { return fmt::format("{}", value); }, read};
}

Setting choice(const std::string& option, std::string& value,
               const std::vector<std::string>& choices, const std::string& help,
               const Rules& rules) {
  const auto read = [&value, choices](const std::string& given) -> std::string {
    if (std::find(choices.begin(), choices.end(), given) == choices.end()) {
      return fmt::format("'{}' is not one of {}", given, fmt::join(choices, ", "));
    }
    value = given;
    return "";
  };
  return {
      option, help, fmt::format("{}", fmt::join(choices, "|")), rules, [&value] { return value; },
      read};
}

Setting free_text(const std::string& option, std::string& value, const std::string& type,
                  const std::string& help, const Rules& rules) {
  const auto read = [&value](const std::string& given) {
    value = given;
    return "";
  };
  return {option, help, type, rules, [&value] { return value; }, read};
}

Setting flag(const std::string& option, bool& value, const std::string& help, const Rules& rules) {
  const auto read = [&value](const std::string& given) -> std::string {
    if (given != "1" && given != "0") return fmt::format("'{}' is not 0 or 1", given);
    value = given == "1";
    return "";
  };
  return {option, help, "", rules, [&value] { return value ? "1" : "0"; }, read};
}

std::map<std::string, std::string> notes_of(const SettingsTable& table) {
  std::map<std::string, std::string> notes;
  for (const Setting& row : table) {
    if (!row.note.empty()) notes[row.note] = row.text();
  }
  return notes;
}

void read_notes(const SettingsTable& table, const tapeloop::nn::Checkpoint& saved,
                const std::string& path) {
  for (const Setting& row : table) {
    if (row.note.empty()) continue;
    const std::string problem = row.read(note(saved, row.note, path));
    if (!problem.empty()) {
      throw tapeloop::FileError(fmt::format("{}: the setting '{}': {}", path, row.note, problem));
    }
  }
}

}  // namespace common
