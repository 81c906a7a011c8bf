// SPDX-License-Identifier: MIT
// Texts to values.
#include "tapeloop/nn/recurrent/option_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>

namespace tapeloop::nn {

namespace {

template <class T>
bool read_number(std::string_view text, T& value) {
  T found{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, found);
  if (error != std::errc() || stop != end) return false;
  if constexpr (std::floating_point<T>) {
    if (!std::isfinite(found)) return false;
  }
  value = found;
  return true;
}

template <class T>
auto into(T& field) {
  return [&field](std::string_view text) { return read_number(text, field); };
}

}  // namespace

void OptionTable::operator()(const char* name, bool& field) {
  add(name, "true|false", [&field](std::string_view text) {
    if (text != "true" && text != "false") return false;
    field = text == "true";
    return true;
  });
}

void OptionTable::operator()(const char* name, int& field) { add(name, "N", into(field)); }

void OptionTable::operator()(const char* name, std::int64_t& field) { add(name, "N", into(field)); }

void OptionTable::operator()(const char* name, double& field) { add(name, "X", into(field)); }

void OptionTable::operator()(const char* name, std::vector<std::int64_t>& field) {
  add(name, "N:N:...", [&field](std::string_view text) {
    std::vector<std::int64_t> found;
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t to = std::min(text.find(':', from), text.size());
      if (!read_number(text.substr(from, to - from), found.emplace_back())) return false;
      from = to + 1;
    }
    field = std::move(found);
    return true;
  });
}

void OptionTable::add_words(const char* name, std::initializer_list<const char*> words,
                            std::function<void(int)> set) {
  const std::vector<std::string> list(words.begin(), words.end());
  add(name, fmt::format("{}", fmt::join(list, "|")),
      [list, set = std::move(set)](std::string_view text) {
        const auto found = std::find(list.begin(), list.end(), text);
        if (found == list.end()) return false;
        set(static_cast<int>(found - list.begin()));
        return true;
      });
}

void OptionTable::add(const char* name, std::string values,
                      std::function<bool(std::string_view)> set) {
  rows_.push_back({prefix_ + name, std::move(values), std::move(set)});
}

const OptionTable::Row* OptionTable::find(std::string_view name) const {
  for (const Row& row : rows_) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string OptionTable::str() const {
  std::vector<std::string> all;
  for (const Row& row : rows_) all.push_back(row.name + "=" + row.values);
  return all.empty() ? "none" : fmt::format("{}", fmt::join(all, ", "));
}

}  // namespace tapeloop::nn
