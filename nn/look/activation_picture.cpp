// SPDX-License-Identifier: MIT
// Chooses the neurons, and draws their lines.
#include "tapeloop/nn/look/activation_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

constexpr double kLine = 24, kLabel = 60, kTop = 66, kMargin = 16;
constexpr double kNarrowest = 640;

// How much a neuron varies over time: its variance.
double spread(const Activation& a, std::int64_t n, std::int64_t unit) {
  double sum = 0, squares = 0;
  for (std::int64_t t = 0; t < a.steps; ++t) {
    const double x = static_cast<double>(a.at(t, n, unit));
    if (!std::isfinite(x)) continue;
    sum += x;
    squares += x * x;
  }
  const auto count = static_cast<double>(a.steps);
  return squares / count - sum / count * (sum / count);
}

// A visible sign for a line end; a no-break space for a space or a tab.
std::string visible(const std::string& text) {
  if (text == "\n") return "\xE2\x86\xB5";
  return text == " " || text == "\t" ? "\xC2\xA0" : text;
}

}  // namespace

std::string activation_picture(const Activation& a, std::span<const std::string> symbols,
                               const ActivationPictureOptions& options) {
  if (symbols.empty() || a.steps != static_cast<std::int64_t>(symbols.size()) ||
      a.steps > kMostPictureSteps) {
    fail("activation_picture",
         fmt::format("\"{}\" has {} steps, {} symbols were given; expected as many of both, 1 to "
                     "{}: a longer text is for activation_page()",
                     a.name, a.steps, symbols.size(), kMostPictureSteps));
  }
  if (options.sequence < 0 || options.sequence >= a.batch || options.neurons < 1) {
    fail("activation_picture",
         fmt::format("sequence is {}, neurons {}; the batch has {}, and at least 1 neuron is shown",
                     options.sequence, options.neurons, a.batch));
  }
  std::vector<double> spreads;
  for (std::int64_t unit = 0; unit < a.units; ++unit) {
    spreads.push_back(spread(a, options.sequence, unit));
  }
  std::vector<std::int64_t> units(static_cast<std::size_t>(a.units));
  std::iota(units.begin(), units.end(), 0);
  std::stable_sort(units.begin(), units.end(), [&](std::int64_t x, std::int64_t y) {
    return spreads[static_cast<std::size_t>(x)] > spreads[static_cast<std::size_t>(y)];
  });
  units.resize(static_cast<std::size_t>(std::min(options.neurons, a.units)));

  const std::vector<TextCell> cells = text_cells(symbols);
  // Characters of the longest cell. Those of three bytes or more, e.g. Chinese, count as wide.
  double longest = 1;
  double scale = 0;
  for (const TextCell& cell : cells) {
    const bool single = utf8_length(cell.text) == cell.text.size();
    const double wide = cell.text.size() > 2 ? 2.0 : 1.0;
    longest = std::max(longest, single ? wide : static_cast<double>(cell.text.size()));
  }
  for (const std::int64_t unit : units) {
    for (std::int64_t t = 0; t < a.steps; ++t) {
      const double x = std::abs(static_cast<double>(a.at(t, options.sequence, unit)));
      if (std::isfinite(x)) scale = std::max(scale, x);
    }
  }
  const double width = 9 * longest;
  std::string svg =
      svg_head(options.title,
               std::max(kNarrowest, kLabel + width * static_cast<double>(cells.size()) + kMargin),
               kTop + kLine * static_cast<double>(units.size()) + kMargin);
  svg += svg_legend(kLabel, scale,
                    "at the left the number of each neuron, the one that changes most first");
  double y = kTop;
  for (const std::int64_t unit : units) {
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#565b63\" text-anchor=\"end\">{}</text>\n",
                       kLabel - 8, y + 15, unit);
    double x = kLabel;
    std::string text;
    for (const TextCell& cell : cells) {
      const auto t = static_cast<std::int64_t>(cell.first + cell.steps - 1);
      svg += fmt::format(
          "<rect x=\"{:.0f}\" y=\"{}\" width=\"{:.0f}\" height=\"20\" fill=\"{}\"/>\n", x, y, width,
          value_colour(static_cast<double>(a.at(t, options.sequence, unit)), scale));
      std::string_view rest = cell.text;
      for (double at = x; !rest.empty(); at += 9) {  // a long cell has several characters
        const std::size_t length = std::max<std::size_t>(1, utf8_length(rest));
        // Each character has its own position: fonts have other widths, and some programs do not
        // support lists of positions.
        text += fmt::format("<tspan x=\"{:.0f}\">{}</tspan>", at + 1,
                            escape_markup(visible(std::string(rest.substr(0, length)))));
        rest.remove_prefix(length);
      }
      x += width;
    }
    svg += fmt::format("<text y=\"{}\" font-family=\"monospace\" font-size=\"15\">{}</text>\n",
                       y + 15, text);
    y += kLine;
  }
  return svg + "</svg>\n";
}

}  // namespace tapeloop::nn
