// SPDX-License-Identifier: MIT
// The settings of a reference case, by their names in its config, a JSON text. Knows no kind of
// case.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"

namespace reference {

using namespace tapeloop;
using SettingTexts = std::map<std::string, std::string>;

// Flattens JSON objects and arrays: {"a": {"b": [1, true]}} becomes a.b.0 = 1, a.b.1 = true. Texts
// lose their quotes. Escapes are errors: settings do not need them.
class JsonSettings {
 public:
  static SettingTexts read(std::string_view text) {
    JsonSettings reader(text);
    reader.value("");
    reader.skip_space();
    if (reader.at_ < text.size()) reader.wrong("the end");
    return reader.settings_;
  }

 private:
  explicit JsonSettings(std::string_view text) : text_(text) {}
  [[noreturn]] void wrong(const char* expected) const {
    throw Error("config: expected " + std::string(expected) + " at character " +
                std::to_string(at_) + " of " + std::string(text_));
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t'))
      ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string quoted() {
    if (!take('"')) wrong("a quote");
    std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') wrong("a text without escapes");
      ++at_;
    }
    if (at_ == text_.size()) wrong("a closing quote");
    return std::string(text_.substr(start, at_++ - start));
  }
  void value(const std::string& name) {
    const std::string prefix = name.empty() ? "" : name + ".";
    if (take('{')) {
      if (take('}')) return;
      do {
        std::string key = quoted();
        if (!take(':')) wrong("a colon");
        value(prefix + key);
      } while (take(','));
      if (!take('}')) wrong("a closing brace");
    } else if (take('[')) {
      if (take(']')) return;
      int i = 0;
      do {
        value(prefix + std::to_string(i++));
      } while (take(','));
      if (!take(']')) wrong("a closing bracket");
    } else if (at_ < text_.size() && text_[at_] == '"') {
      settings_[name] = quoted();
    } else {
      std::size_t start = at_;
      while (at_ < text_.size() && text_.find_first_of(",}] \n\t", at_) != at_) ++at_;
      if (at_ == start) wrong("a value");
      settings_[name] = std::string(text_.substr(start, at_ - start));
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  SettingTexts settings_;
};

// Settings by name, each with a value for the case that the config has none. A name is searched at
// the top of the config, then among the "defaults".
class Settings {
 public:
  explicit Settings(std::string_view config) : texts_(JsonSettings::read(config)) {}

  bool set(const std::string& key) const { return find(key) != nullptr; }
  std::string text(const std::string& key, const std::string& otherwise) const {
    const std::string* found = find(key);
    return found == nullptr ? otherwise : *found;
  }
  double number(const std::string& key, double otherwise) const {
    const std::string given = text(key, "null");
    if (given == "null") return otherwise;
    if (given == "true" || given == "false") return given == "true" ? 1 : 0;
    char* end = nullptr;
    const double result = std::strtod(given.c_str(), &end);  // also "inf" and "Infinity"
    if (end == given.c_str() || *end != '\0')
      throw Error("config: " + key + " is no number: " + given);
    return result;
  }
  std::int64_t integer(const std::string& key, std::int64_t otherwise) const {
    return static_cast<std::int64_t>(number(key, static_cast<double>(otherwise)));
  }
  bool flag(const std::string& key, bool otherwise = false) const {
    return number(key, otherwise ? 1 : 0) != 0;
  }
  // The elements of an array; none if there is no such array.
  std::vector<std::int64_t> integers_of(const std::string& key) const {
    std::vector<std::int64_t> result;
    for (int i = 0; set(key + "." + std::to_string(i)); ++i)
      result.push_back(integer(key + "." + std::to_string(i), 0));
    return result;
  }
  std::vector<std::string> texts_of(const std::string& key) const {
    std::vector<std::string> result;
    for (int i = 0; set(key + "." + std::to_string(i)); ++i)
      result.push_back(text(key + "." + std::to_string(i), ""));
    return result;
  }

 private:
  const std::string* find(const std::string& key) const {
    auto found = texts_.find(key);
    if (found == texts_.end()) found = texts_.find("defaults." + key);
    return found == texts_.end() ? nullptr : &found->second;
  }
  SettingTexts texts_;
};

}  // namespace reference
