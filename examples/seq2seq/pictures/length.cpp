// SPDX-License-Identifier: MIT
// Accuracy over length as curves.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "examples/common/pictures/svg.h"
#include "examples/seq2seq/pictures/picture.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

using common::Svg;

namespace {

constexpr double kLeft = 70, kTop = 70, kWidth = 640, kHeight = 300;
constexpr double kLegend = kLeft + kWidth - 170;
constexpr std::array<std::string_view, 4> kColours = {"#2563a8", "#e07b25", "#2f8f5b", "#8a4fa3"};

}  // namespace

std::string length_picture(const std::string& title, const std::vector<double>& lengths,
                           const std::vector<Curve>& curves, double trained_to) {
  if (lengths.empty()) tapeloop::fail("length picture", "no lengths were given, expected some");
  for (const Curve& curve : curves) {
    if (curve.values.size() != lengths.size()) {
      tapeloop::fail("length picture",
                     fmt::format("'{}' has {} values for {} lengths; give one for each", curve.name,
                                 curve.values.size(), lengths.size()));
    }
  }
  const double low = lengths.front(), span = std::max(1.0, lengths.back() - low);
  const auto x = [&](double length) { return kLeft + kWidth * (length - low) / span; };
  const auto y = [&](double value) { return kTop + kHeight * (1 - std::clamp(value, 0.0, 1.0)); };
  Svg svg;
  svg.text(kLeft, 30, title, {.size = 20, .bold = true});
  for (int fifth = 0; fifth <= 5; ++fifth) {
    const double value = 0.2 * fifth;
    svg.line(kLeft, y(value), kLeft + kWidth, y(value), "#e3e6ea");
    svg.text(kLeft - 8, y(value) + 4, fmt::format("{:.0f} %", 100 * value),
             {.colour = "#565b63", .anchor = Svg::Anchor::end});
  }
  double last_label = -1e9;
  for (double length : lengths) {
    if (x(length) - last_label < 34) continue;
    last_label = x(length);
    svg.text(x(length), kTop + kHeight + 18, fmt::format("{:.0f}", length),
             {.colour = "#565b63", .anchor = Svg::Anchor::middle});
  }
  svg.text(kLeft + kWidth / 2, kTop + kHeight + 38, "length",
           {.colour = "#565b63", .anchor = Svg::Anchor::middle});
  if (trained_to >= low && trained_to < lengths.back()) {
    svg.line(x(trained_to), kTop, x(trained_to), kTop + kHeight, "#9aa1ab", 1.5);
    svg.text(x(trained_to) + 6, kTop - 6, "longer than any in training", {.colour = "#565b63"});
  }
  for (std::size_t i = 0; i < curves.size(); ++i) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t k = 0; k < lengths.size(); ++k) {
      points.emplace_back(x(lengths[k]), y(curves[i].values[k]));
    }
    const std::string_view colour = kColours[i % kColours.size()];
    svg.curve(points, colour, curves[i].dashed);
    const double row = kTop + 46 + 20 * static_cast<double>(i);
    svg.curve({{kLegend, row - 4}, {kLegend + 30, row - 4}}, colour, curves[i].dashed);
    svg.text(kLegend + 38, row, curves[i].name, {.size = 13});
  }
  svg.frame(kLeft, kTop, kWidth, kHeight, "#9aa1ab");
  return svg.document(kLeft + kWidth + 40, kTop + kHeight + 56, title);
}

}  // namespace seq2seq
