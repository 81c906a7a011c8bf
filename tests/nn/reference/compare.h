// SPDX-License-Identifier: MIT
// Runs the cases of a folder in both element types, and collects the differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>

#include "tests/nn/reference/kinds.h"

namespace reference {

inline double largest_of(const Tensor& x) {
  double largest = 0;
  for (const double value : x.to_vector<double>()) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  return largest;
}

// Empty if `ours` differs from `expected` by at most `tolerance` times the largest magnitude in
// `expected`; else names the worst element. NaN and infinities must be at the same places. `scale`:
// the largest magnitude of what both were added up from. If `expected` is 0 but for the rounding of
// float64, as the gradient of a bias before a batch norm is, it takes the place of that magnitude.
inline std::string difference(const std::string& name, const Tensor& ours, const Tensor& expected,
                              double tolerance, double scale = 0) {
  std::ostringstream out;
  out.precision(17);
  if (ours.shape() != expected.shape()) {
    out << name << " is " << ours.shape().str() << ", the reference " << expected.shape().str();
    return out.str();
  }
  std::vector<double> a = ours.to_vector<double>();
  std::vector<double> b = expected.to_vector<double>();
  double largest = largest_of(expected);
  if (largest < 1e-13 * scale) largest = scale;
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

// An optimizer amplifies rounding errors from step to step: RMSprop divides by roots that are
// almost 0.
inline double tolerance(const Case& c) {
  if (c.dtype() == DType::float64) return 1e-10;
  return c.set("optimizer") ? 5e-4 : 2e-5;
}

// Every difference between this case and the library's results. Throws Unknown if no function knows
// the case.
inline std::vector<std::string> compare(Case& c) {
  Tape tape;
  Outputs outputs = outputs_of(c);
  match_names(c, outputs);
  add_loss(c, tape, outputs);
  for (const std::string& name : c.names("output.")) {
    if (!outputs.contains(name)) throw Unknown("output." + name);
  }
  for (const std::string& name : c.unused()) throw Unknown(name);

  std::vector<std::string> found;
  const auto check = [&](const std::string& name, const Tensor& ours, double scale = 0) {
    const std::string text = difference(name, ours, c.stored(name), tolerance(c), scale);
    if (!text.empty()) found.push_back(text);
  };
  for (const std::string& name : c.names("output.")) check("output." + name, outputs[name].value());
  const std::vector<std::string> gradients = c.names("grad.");
  if (gradients.empty()) return found;
  std::vector<Var> wanted;
  for (const std::string& name : gradients) wanted.push_back(c.var(name));
  const std::vector<Var> computed = tape.gradient(outputs.at("loss"), wanted);
  double scale = 0;
  for (const std::string& name : gradients) {
    scale = std::max(scale, largest_of(c.stored("grad." + name)));
  }
  for (std::size_t i = 0; i < gradients.size(); ++i)
    check("grad." + gradients[i], computed[i].value(), scale);
  return found;
}

// A case that was not run.
struct Skipped {
  std::string name;    // of the file
  std::string kind;    // "" if its metadata could not be read
  std::string reason;  // what nothing knows; "" if it is the kind
  std::string str() const {
    std::string text = name;
    if (kind != name || !reason.empty()) text += " (" + (reason.empty() ? kind : reason) + ")";
    return text;
  }
};

struct Summary {
  int passed = 0;
  std::vector<std::string> failures;  // one text for each failed case
  std::vector<Skipped> skipped;
};

// Runs all cases of a folder in both element types. Empty if there is no case.
inline std::optional<Summary> run_folder(const std::filesystem::path& folder,
                                         Device device = Device::cpu) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  if (files.empty()) return std::nullopt;
  std::sort(files.begin(), files.end());
  Summary summary;
  for (const auto& path : files) {
    std::string failure;
    Skipped skipped{path.stem().string(), "", ""};
    try {
      const TensorFile file = read_safetensors(path.string());
      for (const DType dtype : {DType::float64, DType::float32}) {
        Case c(file, dtype, device);
        skipped.kind = c.kind();
        for (const std::string& text : compare(c))
          failure += std::string("\n  ") + name(dtype) + ": " + text;
      }
    } catch (const Unknown& unknown) {
      skipped.reason = unknown.what();
      summary.skipped.push_back(skipped);
      continue;
    } catch (const std::exception& error) {
      failure += std::string("\n  ") + error.what();
    }
    if (failure.empty()) {
      ++summary.passed;
    } else {
      summary.failures.push_back(path.string() + failure);
    }
  }
  return summary;
}

}  // namespace reference
