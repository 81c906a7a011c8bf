// SPDX-License-Identifier: MIT
// The file of results, the table and the picture.
#include "examples/cells/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "examples/common/pictures/svg.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"

namespace cells {

using common::Svg;
using nlohmann::json;

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 28;

json to_json(const std::string& run, const Outcome& o) {
  return {{"run", run},
          {"hidden", o.hidden},
          {"loss", o.loss},  // a NaN is null
          {"parameters", o.parameters},
          {"milliseconds", o.milliseconds},
          {"mib", o.mib}};
}

Outcome from_json(const json& line) {
  const json& loss = line.at("loss");
  return {.hidden = line.at("hidden"),
          .parameters = line.at("parameters"),
          .loss = loss.is_null() ? std::numeric_limits<double>::quiet_NaN() : loss.get<double>(),
          .milliseconds = line.at("milliseconds"),
          .mib = line.at("mib")};
}

double mean_of(const std::vector<Outcome>& outcomes, double Outcome::*field) {
  double sum = 0;
  for (const Outcome& o : outcomes) sum += o.*field;
  return sum / static_cast<double>(outcomes.size());
}

}  // namespace

ResultsFile::ResultsFile(std::string path) : path_(std::move(path)) {
  if (!std::filesystem::exists(path_)) return;
  const std::string text = tapeloop::read_file(path_, kMostBytes);
  std::size_t from = 0;
  for (int number = 1; from < text.size(); ++number) {
    const std::size_t end = text.find('\n', from);
    if (end == std::string::npos) break;
    try {
      const json line = json::parse(text.substr(from, end - from));
      outcomes_[line.at("run")] = from_json(line);
    } catch (const json::exception&) {
      throw tapeloop::FileError(fmt::format(
          "{}: line {} is no result of a run; remove the line, or name another folder by --out",
          path_, number));
    }
    from = end + 1;
  }
  if (from < text.size()) tapeloop::write_file(path_, text.substr(0, from));
}

const Outcome* ResultsFile::find(const std::string& run) const {
  const auto found = outcomes_.find(run);
  return found == outcomes_.end() ? nullptr : &found->second;
}

void ResultsFile::add(const std::string& run, const Outcome& outcome) {
  std::ofstream file(path_, std::ios::app | std::ios::binary);
  file << to_json(run, outcome).dump() << '\n' << std::flush;
  if (!file) {
    throw tapeloop::FileError(fmt::format(
        "{} cannot be written; free some space, or name another folder by --out", path_));
  }
  outcomes_[run] = outcome;
}

Entry entry_of(const std::string& cell, const std::vector<Outcome>& outcomes) {
  Entry entry{.cell = cell, .outcomes = outcomes};
  double sum = 0, squares = 0;
  for (const Outcome& o : outcomes) {
    if (std::isnan(o.loss)) {
      ++entry.diverged;
      continue;
    }
    sum += o.loss;
  }
  const double count = static_cast<double>(outcomes.size()) - entry.diverged;
  entry.mean = count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
  for (const Outcome& o : outcomes) {
    if (!std::isnan(o.loss)) squares += (o.loss - entry.mean) * (o.loss - entry.mean);
  }
  entry.deviation = count > 1 ? std::sqrt(squares / (count - 1)) : 0;
  return entry;
}

void sort(Ranking& ranking) {
  const auto key = [](const Entry& e) {
    return std::isnan(e.mean) ? std::numeric_limits<double>::infinity() : e.mean;
  };
  std::stable_sort(ranking.entries.begin(), ranking.entries.end(),
                   [&](const Entry& a, const Entry& b) { return key(a) < key(b); });
}

std::string table_of(const std::vector<Ranking>& rankings) {
  std::string result;
  for (const Ranking& ranking : rankings) {
    result += fmt::format("{}{}\n", result.empty() ? "" : "\n", ranking.task.title);
    if (ranking.task.guess > 0) {
      result +=
          fmt::format("a constant answer has {:.4f} {}\n", ranking.task.guess, ranking.task.unit);
    }
    result += fmt::format("  {:<46}{:>7}{:>12}{:>11}{:>9}{:>10}{:>7}\n", "", "hidden", "parameters",
                          "loss", "+-", "ms/update", "MiB");
    for (const Entry& e : ranking.entries) {
      const Outcome& first = e.outcomes.front();
      const std::string loss = std::isnan(e.mean) ? "diverged" : fmt::format("{:.4f}", e.mean);
      result += fmt::format(
          "  {:<46}{:>7}{:>12}{:>11}{:>9.4f}{:>10.2f}{:>7.1f}{}\n", e.cell, first.hidden,
          first.parameters, loss, e.deviation, mean_of(e.outcomes, &Outcome::milliseconds),
          mean_of(e.outcomes, &Outcome::mib),
          e.diverged > 0 && !std::isnan(e.mean) ? fmt::format("  {} diverged", e.diverged) : "");
    }
  }
  return result;
}

namespace {

constexpr double kRow = 17, kNames = 290, kPlot = 300, kPanel = kNames + kPlot + 40, kHead = 44;

double height_of(const Ranking& r) {
  return kHead + kRow * static_cast<double>(r.entries.size()) + 44;
}

// One task: cells below each other, their losses along x.
void draw_panel(Svg& svg, const Ranking& ranking, double left, double top) {
  double low = std::numeric_limits<double>::infinity(), high = ranking.task.guess;
  for (const Entry& e : ranking.entries) {
    if (std::isnan(e.mean)) continue;
    low = std::min(low, e.mean);
    high = std::max(high, std::min(e.mean + e.deviation, 4 * std::max(e.mean, 1e-6)));
  }
  if (!std::isfinite(low)) low = high = 1;
  // Losses that differ by factors stand along their logarithms.
  const bool factors = low > 0 && high > 20 * low;
  const auto scaled = [&](double loss) { return factors ? std::log10(std::max(loss, low)) : loss; };
  const double span = std::max(scaled(high) - scaled(low), 1e-9);
  const double begin = scaled(low) - 0.06 * span, width = 1.12 * span;
  const double plot = left + kNames, first = top + kHead;
  const double bottom = first + kRow * static_cast<double>(ranking.entries.size());
  const auto x = [&](double loss) {
    return plot + kPlot * std::clamp((scaled(loss) - begin) / width, 0.0, 1.0);
  };
  svg.text(left, top + 18, ranking.task.title, {.size = 15, .bold = true});
  svg.text(left, top + 34, ranking.task.unit + (factors ? ", logarithmic" : ""),
           {.size = 11, .colour = "#57606a"});
  svg.frame(plot, first, kPlot, bottom - first, "#9aa1ab");
  for (int i = 0; i <= 4; ++i) {
    const double at = begin + width * i / 4, value = factors ? std::pow(10, at) : at;
    const double place = plot + kPlot * i / 4;
    svg.line(place, first, place, bottom, "#e3e6ea");
    svg.text(place, bottom + 15, fmt::format("{:.2g}", value),
             {.size = 11, .colour = "#57606a", .anchor = Svg::Anchor::middle});
  }
  if (ranking.task.guess > 0) {
    svg.line(x(ranking.task.guess), first, x(ranking.task.guess), bottom, "#cf222e", 1);
    svg.text(x(ranking.task.guess), bottom + 29, "a constant answer",
             {.size = 11, .colour = "#cf222e", .anchor = Svg::Anchor::middle});
  }
  double y = first + kRow / 2;
  for (const Entry& e : ranking.entries) {
    svg.text(plot - 8, y + 4, e.cell, {.size = 11, .anchor = Svg::Anchor::end});
    if (std::isnan(e.mean)) {
      svg.text(plot + 8, y + 4, "diverged", {.size = 11, .colour = "#cf222e"});
    } else {
      svg.line(x(e.mean - e.deviation), y, x(e.mean + e.deviation), y, "#2563a8", 2);
      svg.rectangle(x(e.mean) - 4, y - 4, 8, 8, "#2563a8", " rx=\"4\"");
    }
    y += kRow;
  }
}

}  // namespace

std::string picture_of(const std::vector<Ranking>& rankings) {
  constexpr std::size_t kColumns = 2;
  constexpr double kMargin = 16, kTitle = 40;
  Svg svg(Svg::Digits::two_decimals);
  double top = kTitle;
  Svg panels(Svg::Digits::two_decimals);
  for (std::size_t i = 0; i < rankings.size(); i += kColumns) {
    double tallest = 0;
    for (std::size_t k = i; k < std::min(i + kColumns, rankings.size()); ++k) {
      draw_panel(panels, rankings[k], kMargin + kPanel * static_cast<double>(k - i), top);
      tallest = std::max(tallest, height_of(rankings[k]));
    }
    top += tallest + 12;
  }
  const double columns = static_cast<double>(std::min(rankings.size(), kColumns));
  const double width = 2 * kMargin + kPanel * columns;
  const std::string title = "Recurrent cells with about equal numbers of parameters";
  svg.text(kMargin, 26, title, {.size = 18, .bold = true});
  svg.add(panels);
  return svg.document(width, top, title);
}

}  // namespace cells
