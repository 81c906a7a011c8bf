// SPDX-License-Identifier: MIT
// One case of tests/reference: its tensors, its settings, and the comparison of results with it.
// Knows no kind of case: reference_kinds.h does.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/autograd.h"
#include "tapeloop/autograd/files/safetensors.h"

namespace reference {

using namespace tapeloop;
using Settings = std::map<std::string, std::string>;

// Flattens JSON objects and arrays: {"a": {"b": [1, true]}} becomes a.b.0 = 1, a.b.1 = true. Texts lose their quotes;
// escapes, which settings do not need, are errors.
class JsonSettings {
 public:
  static Settings read(std::string_view text) {
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
  Settings settings_;
};

// This case, or a tensor in it, has a meaning that no function here knows.
struct Unknown : Error {
  using Error::Error;
};

// A case read in one element type, on one device: float tensors are converted to it, and those with a gradient are
// parameters. Integers stay on the CPU, as a program's own data would.
class Case {
 public:
  Case(const TensorFile& file, DType dtype, Device device) : dtype_(dtype), device_(device) {
    auto entry = [&](const char* key) {
      auto found = file.metadata.find(key);
      if (found == file.metadata.end())
        throw Error(std::string("the file's metadata have no \"") + key + "\"");
      return found->second;
    };
    name_ = entry("case");
    settings_ = JsonSettings::read(entry("config"));
    for (const NamedTensor& item : file.tensors) tensors_[item.name] = item.tensor;
  }

  const std::string& name() const { return name_; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }
  bool named(std::string_view part) const { return name_.find(part) != std::string::npos; }
  bool begins(std::string_view start) const { return name_.rfind(start, 0) == 0; }

  // --- settings, looked for at the top, then among the "defaults" ---
  bool set(const std::string& key) const {
    return settings_.contains(key) || settings_.contains("defaults." + key);
  }
  std::string text(const std::string& key, const std::string& otherwise) const {
    auto found = settings_.find(key);
    if (found == settings_.end()) found = settings_.find("defaults." + key);
    return found == settings_.end() ? otherwise : found->second;
  }
  double number(const std::string& key, double otherwise) const {
    std::string given = text(key, "null");
    if (given == "null") return otherwise;
    if (given == "true" || given == "false") return given == "true";
    char* end = nullptr;
    double result = std::strtod(given.c_str(), &end);  // also "inf" and "Infinity"
    if (end == given.c_str() || *end != '\0')
      throw Error("config: " + key + " is no number: " + given);
    return result;
  }
  std::int64_t integer(const std::string& key, std::int64_t otherwise) const {
    return static_cast<std::int64_t>(number(key, static_cast<double>(otherwise)));
  }
  bool flag(const std::string& key) const { return number(key, 0) != 0; }

  // --- tensors ---
  bool has(const std::string& tensor) const { return tensors_.contains(tensor); }
  // Names after a prefix: names("output.") -> "y", "hn", ...
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      if (name.rfind(prefix, 0) == 0) result.push_back(name.substr(prefix.size()));
    }
    return result;
  }
  // As it is in the file.
  const Tensor& stored(const std::string& tensor) const {
    auto found = tensors_.find(tensor);
    if (found == tensors_.end()) throw Unknown(tensor + " is missing");
    return found->second;
  }
  // In the case's element type and on its device; integers stay. Marks it as used.
  Tensor tensor(const std::string& name) {
    used_.insert(name);
    const Tensor& found = stored(name);
    return found.dtype() == DType::int64 ? found : found.to(dtype_).clone().to(device_);
  }
  Tensor full(const Shape& shape, double value) const {
    return Tensor::full(shape, value, dtype_, device_);
  }
  // The same Var each time.
  Var var(const std::string& name) {
    auto found = vars_.find(name);
    if (found != vars_.end()) return found->second;
    Tensor value = tensor(name);
    return vars_[name] = has("grad." + name) ? parameter(value) : Var(value);
  }
  // For parameters that live in a module.
  void put(const std::string& name, const Var& var) {
    used_.insert(name);
    vars_[name] = var;
  }
  std::vector<std::int64_t> integers(const std::string& name) {
    return tensor(name).to_vector<std::int64_t>();
  }
  // Inputs and parameters that nobody asked for: a sign that the case means something else.
  std::vector<std::string> unused() const {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) {
      bool given = name.rfind("input.", 0) == 0 || name.rfind("param.", 0) == 0;
      if (given && !used_.contains(name)) result.push_back(name);
    }
    return result;
  }

 private:
  std::string name_;
  DType dtype_;
  Device device_;
  Settings settings_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, Var> vars_;
  std::set<std::string> used_;
};

// Empty where `ours` equals `expected` but for `tolerance` times the largest magnitude in `expected`; else the worst
// element. NaN and infinities must be the same.
inline std::string difference(const std::string& name, const Tensor& ours, const Tensor& expected,
                              double tolerance) {
  std::ostringstream out;
  out.precision(17);
  if (ours.shape() != expected.shape()) {
    out << name << " is " << ours.shape().str() << ", the reference " << expected.shape().str();
    return out.str();
  }
  std::vector<double> a = ours.to_vector<double>();
  std::vector<double> b = expected.to_vector<double>();
  double largest = 0;
  for (double x : b) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  double worst = 0;
  std::size_t place = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    double error = std::abs(a[i] - b[i]) / largest;
    if (!std::isfinite(error)) error = std::numeric_limits<double>::infinity();
    if (error > worst) {
      worst = error;
      place = i;
    }
  }
  if (worst <= tolerance) return "";
  out << name << " " << expected.shape().str() << ": element " << place << " is " << a[place]
      << ", the reference " << b[place] << "; relative to the largest magnitude " << worst << " > "
      << tolerance;
  return out.str();
}

}  // namespace reference
