// SPDX-License-Identifier: MIT
// Colours of values in SVG.
#include "tapeloop/nn/look/colours.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

constexpr double kMargin = 16, kLegend = 38, kSwatch = 16;

}  // namespace

std::string svg_head(const std::string& title, double width, double height) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1c1f24\" "
      "role=\"img\">\n<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"{3}\" y=\"26\" font-size=\"15\" font-weight=\"bold\">{2}</text>\n",
      width, height, escape_markup(title), kMargin);
}

std::string value_colour(double value, double scale) {
  const double strength =
      std::isfinite(value) && scale > 0 ? std::min(1.0, std::abs(value) / scale) : 0;
  const int full[2][3] = {{0xd5, 0x5e, 0x00}, {0x00, 0x72, 0xb2}};
  std::string result = "#";
  for (const int part : full[value < 0 ? 1 : 0]) {
    result += fmt::format("{:02x}", std::lround(255 + (part - 255) * strength));
  }
  return result;
}

std::string svg_legend(double left, double scale, const std::string& text) {
  std::string result = fmt::format(
      "<g font-size=\"12\" fill=\"#565b63\">\n<text x=\"{}\" y=\"{}\" "
      "text-anchor=\"end\">{:+.3g}</text>\n",
      left - 8, kLegend + 11, -scale);
  double x = left;
  for (const double part : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
    result += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"13\" fill=\"{}\" stroke=\"#d4d7dc\"/>\n", x,
        kLegend, kSwatch, value_colour(part, 1));
    x += kSwatch;
  }
  return result + fmt::format(
                      "<text x=\"{0}\" y=\"{1}\">{2:+.3g}</text>\n<text x=\"{3}\" y=\"{1}\">{4}"
                      "</text>\n</g>\n",
                      x + 8, kLegend + 11, scale, x + 64, text);
}

}  // namespace tapeloop::nn
