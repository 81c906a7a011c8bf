// SPDX-License-Identifier: MIT
// Words on colours, and the matrix of confusions.
#include "examples/label/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/common/svg.h"
#include "examples/seq2seq/data/text.h"
#include "tapeloop/nn/look/colours.h"

namespace label {

using common::Svg;
using tapeloop::nn::value_colour;

std::string words_picture(const Labeller& model, const std::vector<Sample>& samples,
                          const Report& report) {
  constexpr double kWidth = 980, kLetter = 7.8, kRow = 22;
  const std::string title = "Which words moved the decision";
  Svg svg(Svg::Digits::two_decimals);
  double y = 62;
  const Names& labels = model.vocabulary->labels;
  int longest = 5;
  for (std::int64_t k = 0; k < labels.size(); ++k)
    longest = std::max(longest, seq2seq::display_width(labels[k]));
  const double second = std::min(30 + kLetter * longest, 200.0);
  const double left = std::min(2 * second + 4 * kLetter, 400.0);
  for (std::size_t i = 0; i < std::min<std::size_t>(16, samples.size()); ++i) {
    const std::int64_t found = report.found[i][0], wanted = report.wanted[i][0];
    svg.text(14, y, labels[found], {.bold = true});
    if (found != wanted) svg.text(second, y, "not " + samples[i].labels[0], {.colour = "#cf222e"});
    const std::vector<double> moved = influence(model, samples[i], found);
    double most = 0;
    for (const double m : moved) most = std::max(most, std::abs(m));
    double x = left;
    for (std::size_t t = 0; t < moved.size(); ++t) {
      const std::string& word = samples[i].words[t];
      const double width = kLetter * seq2seq::display_width(word) + 6;
      if (x + width > kWidth - 10 && x > left) x = left, y += kRow;
      svg.rectangle(x, y - 14, width, 19, value_colour(moved[t], 1.5 * most), " rx=\"3\"");
      svg.text(x + 3, y, word, {.size = 13});
      x += width + 2;
    }
    y += kRow + 8;
  }
  Svg page(Svg::Digits::two_decimals);
  page.rectangle(0, 0, kWidth, y, "#ffffff");
  page.text(14, 22, title, {.size = 14, .bold = true});
  page.text(14, 40, "gradient times input: orange speaks for the label in front, blue against it",
            {.size = 11, .colour = "#57606a"});
  page.add(svg);
  return page.document_in("'DejaVu Sans Mono', Menlo, Consolas, monospace", kWidth, y);
}

std::string confusion_picture(const Report& report, const Vocabulary& vocabulary) {
  const auto count = static_cast<std::size_t>(vocabulary.labels.size());
  std::vector<std::vector<double>> cells(count, std::vector<double>(count));
  std::vector<double> totals(count);
  for (std::size_t i = 0; i < report.found.size(); ++i) {
    for (std::size_t t = 0; t < report.found[i].size(); ++t) {
      if (report.wanted[i][t] == kNoLabel) continue;
      const auto row = static_cast<std::size_t>(report.wanted[i][t]);
      cells[row][static_cast<std::size_t>(report.found[i][t])] += 1;
      totals[row] += 1;
    }
  }
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return totals[a] > totals[b]; });
  order.resize(std::min<std::size_t>(30, count));
  constexpr double kCell = 34, kLeft = 90, kTop = 110;
  const double size = kCell * static_cast<double>(order.size());
  Svg svg(Svg::Digits::two_decimals);
  svg.text(14, 22, "Which tags are confused", {.size = 14, .bold = true});
  svg.text(14, 40, "rows: the tag; columns: what the model says, in percent of the row",
           {.size = 11, .colour = "#57606a"});
  for (std::size_t r = 0; r < order.size(); ++r) {
    const std::string& name = vocabulary.labels[static_cast<std::int64_t>(order[r])];
    const double at = kCell * (static_cast<double>(r) + 0.5);
    svg.text(kLeft - 8, kTop + at + 4, name, {.size = 11, .anchor = Svg::Anchor::end});
    svg.text(kLeft + at + 4, kTop - 8, name, {.size = 11, .turned = -60});
    for (std::size_t c = 0; c < order.size(); ++c) {
      const double percent = 100 * cells[order[r]][order[c]] / std::max(1.0, totals[order[r]]);
      const double x = kLeft + kCell * static_cast<double>(c), y = kTop + at - kCell / 2;
      // The root shows small shares too.
      svg.rectangle(x, y, kCell - 1, kCell - 1,
                    value_colour((r == c ? -1 : 1) * std::sqrt(percent / 100), 1.2));
      if (percent < 0.05) continue;
      svg.text(x + kCell / 2, y + kCell / 2 + 4,
               fmt::format("{:.{}f}", percent, percent < 9.95 ? 1 : 0),
               {.size = 10, .anchor = Svg::Anchor::middle});
    }
  }
  return svg.document(std::max(kLeft + size + 50, 420.0), kTop + size + 14,
                      "Which tags are confused");
}

}  // namespace label
