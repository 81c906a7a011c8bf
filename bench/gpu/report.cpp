// SPDX-License-Identifier: MIT
// Tables and targets.
#include "bench/gpu/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>

namespace gpu_check {
namespace {

constexpr const char* kTimes = R"(
## Times

The medians of a step over the rounds, in which we and PyTorch took turns. `forward` records nothing, on either side;
`step` is forward and backward from a dense gradient of every hidden state to those of weights, biases and xs; no
optimizer. `user_cell` is an LSTM written by a user as a functor, `op_by_op` one of single operations; PyTorch's is the
same in both. "peer / ours" above 1: we are faster, the best form of each. The first rows are what the GPU can do.

| row | ours | PyTorch | peer / ours | our rate |
|---|---|---|---:|---:|
)";

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3f} ms", seconds * 1e3);
  return fmt::format("{:.2f} s", seconds);
}

// "op by op 7.100 ms, op by op, CUDA graph 1.200 ms", the fastest first.
std::string variants_text(const Json& medians) {
  std::vector<std::pair<double, std::string>> sorted;
  for (const auto& [variant, seconds] : medians.items()) {
    sorted.emplace_back(seconds.get<double>(), variant);
  }
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  for (const auto& [seconds, variant] : sorted) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : "; ", time_text(seconds), variant);
  }
  return text.empty() ? "-" : text;
}

std::string rate_text(const Json& row) {
  if (row.contains("TFLOP/s")) return fmt::format("{:.2f} TFLOP/s", row["TFLOP/s"].get<double>());
  if (row.contains("GB/s")) return fmt::format("{:.0f} GB/s", row["GB/s"].get<double>());
  return "";
}

void add_checks(std::string& text, const char* title, const Json& checks) {
  text += fmt::format("\n## {}\n\n", title);
  if (checks.empty()) {
    text += "None was run; see below.\n";
    return;
  }
  text +=
      "| what | outcome | passed | failed | skipped | s | |\n|---|---|---:|---:|---:|---:|---|\n";
  for (const Json& check : checks) {
    std::string notes;
    for (const Json& note : check["notes"]) {
      notes += (notes.empty() ? "" : "; ") + note.get<std::string>();
    }
    std::replace(notes.begin(), notes.end(), '|', '/');
    text += fmt::format("| {} | {} | {} | {} | {} | {:.0f} | {} |\n",
                        check["name"].get<std::string>(), check["outcome"].get<std::string>(),
                        check["passed"].get<int>(), check["failed"].get<int>(),
                        check["skipped"].get<int>(), check["seconds"].get<double>(), notes);
  }
}

bool begins(const Json& row, const char* part) {
  return row["row"].get<std::string>().starts_with(part);
}

// The least figure over the rows of a target; empty if no row has one.
struct Least {
  std::optional<double> value;
  std::string row;
  int rows = 0, without = 0;

  void add(const Json& found_row, std::optional<double> found) {
    ++rows;
    if (!found) {
      ++without;
    } else if (!value || *found < *value) {
      value = found;
      row = found_row["row"].get<std::string>();
    }
  }
  Json judged(const std::string& target, double wanted) const {
    std::string reached = "no figures to compare";
    if (value) reached = fmt::format("{:.2f} at the least, at {}", *value, row);
    if (value && without > 0) reached += fmt::format("; {} of {} rows have none", without, rows);
    return {{"target", target},
            {"reached", reached},
            {"met", value && without == 0 && *value >= wanted}};
  }
};

}  // namespace

double least(const Json& medians) {
  double result = 0;
  for (const auto& [variant, seconds] : medians.items()) {
    const double found = seconds.get<double>();
    if (result == 0 || found < result) result = found;
  }
  return result;
}

Json targets_of(const Json& rows) {
  Least user, built_in, persistent;
  for (const Json& row : rows) {
    const double ours = least(row["ours"]);
    const bool float32 = row["row"].get<std::string>().find("/float32/") != std::string::npos;
    if (begins(row, "gpu/user_cell/")) {
      std::optional<double> ratio;
      if (ours > 0 && row["peers"].contains("op by op")) {
        ratio = row["peers"]["op by op"].get<double>() / ours;
      }
      user.add(row, ratio);
    } else if (begins(row, "gpu/lstm/") || begins(row, "gpu/gru/")) {
      std::optional<double> ratio;
      if (row.contains("ratio")) ratio = row["ratio"].get<double>();
      (float32 ? built_in : persistent).add(row, ratio);
    }
  }
  return Json::array(
      {user.judged("a user's cell at least 10 x PyTorch's, op by op", 10),
       built_in.judged("LSTM and GRU, float32, at least 1 x cuDNN", 1),
       persistent.judged("LSTM and GRU, TF32, within 1.5 x of cuDNN (0.67)", 1 / 1.5)});
}

std::string markdown(const Json& report) {
  const Json& about = report["about"];
  std::string text = "# Tapeloop on a GPU\n\n";
  if (about["emulated"].get<bool>()) {
    text =
        "# Tapeloop on the emulated GPU\n\nNothing of this ran on a GPU: an imitation of one, to "
        "test the report. "
        "Times mean nothing.\n\n";
  }
  for (const auto& [key, value] : about.items()) {
    text +=
        fmt::format("- {}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  add_checks(text, "Tests", report["tests"]);
  add_checks(text, "compute-sanitizer", report["sanitizers"]);
  text += kTimes;
  for (const Json& row : report["rows"]) {
    const std::string ratio =
        row.contains("ratio") ? fmt::format("{:.2f}", row["ratio"].get<double>()) : "-";
    text +=
        fmt::format("| {} | {} | {} | {} | {} |\n", row["row"].get<std::string>(),
                    variants_text(row["ours"]), variants_text(row["peers"]), ratio, rate_text(row));
  }
  text += "\n## Targets\n\n| target | reached | |\n|---|---|---|\n";
  for (const Json& target : report["targets"]) {
    text += fmt::format("| {} | {} | {} |\n", target["target"].get<std::string>(),
                        target["reached"].get<std::string>(),
                        target["met"].get<bool>() ? "met" : "not met");
  }
  text += "\n## What is missing\n\n";
  for (const auto& [what, why] : report["missing"].items()) {
    text += fmt::format("- {}: {}\n", what, why.get<std::string>());
  }
  if (report["missing"].empty()) text += "Nothing.\n";
  return text;
}

std::string file_name(const std::string& date, const std::string& gpu) {
  std::string name = date;
  for (const char letter : gpu) {
    const auto c = static_cast<unsigned char>(letter);
    if (std::isalnum(c)) {
      name += (name.size() == date.size() ? "-" : "") +
              std::string(1, static_cast<char>(std::tolower(c)));
    } else if (name.back() != '-') {
      name += '-';
    }
  }
  return name;
}

void write_file(const std::string& path, const std::string& text) {
  const std::string draft = path + ".part";
  {
    std::ofstream file(draft, std::ios::binary);
    file << text << std::flush;
    if (!file)
      throw std::runtime_error(draft + ": cannot be written; name another folder by --out");
  }
  std::filesystem::rename(draft, path);
}

}  // namespace gpu_check
