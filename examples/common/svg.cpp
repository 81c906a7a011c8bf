// SPDX-License-Identifier: MIT
// The elements of SVG, written one per line.
#include "examples/common/svg.h"

#include <fmt/format.h>

#include <iterator>

#include "tapeloop/nn/look/markup.h"

namespace common {

using tapeloop::nn::escape_markup;

void Svg::rectangle(double left, double top, double width, double height, std::string_view colour,
                    double opacity) {
  fmt::format_to(std::back_inserter(body_),
                 "<rect x=\"{:.6g}\" y=\"{:.6g}\" width=\"{:.6g}\" height=\"{:.6g}\" fill=\"{}\"",
                 left, top, width, height, colour);
  if (opacity < 1) fmt::format_to(std::back_inserter(body_), " fill-opacity=\"{:.3f}\"", opacity);
  body_ += "/>\n";
}

void Svg::frame(double left, double top, double width, double height, std::string_view colour) {
  fmt::format_to(std::back_inserter(body_),
                 "<rect x=\"{:.6g}\" y=\"{:.6g}\" width=\"{:.6g}\" height=\"{:.6g}\" fill=\"none\" "
                 "stroke=\"{}\"/>\n",
                 left, top, width, height, colour);
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view colour, double width) {
  fmt::format_to(std::back_inserter(body_),
                 "<line x1=\"{:.6g}\" y1=\"{:.6g}\" x2=\"{:.6g}\" y2=\"{:.6g}\" stroke=\"{}\" "
                 "stroke-width=\"{:.6g}\"/>\n",
                 x1, y1, x2, y2, colour, width);
}

void Svg::curve(const std::vector<std::pair<double, double>>& points, std::string_view colour,
                bool dashed) {
  body_ += "<polyline points=\"";
  for (const auto& [x, y] : points) {
    fmt::format_to(std::back_inserter(body_), "{:.6g},{:.6g} ", x, y);
  }
  fmt::format_to(std::back_inserter(body_),
                 "\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\"{}/>\n", colour,
                 dashed ? " stroke-dasharray=\"6 4\"" : "");
}

void Svg::text(double left, double top, std::string_view words, const Label& label) {
  fmt::format_to(std::back_inserter(body_),
                 "<text x=\"{:.6g}\" y=\"{:.6g}\" font-size=\"{:.6g}\" fill=\"{}\"", left, top,
                 label.size, label.colour);
  if (label.anchor == Anchor::middle) body_ += " text-anchor=\"middle\"";
  if (label.anchor == Anchor::end) body_ += " text-anchor=\"end\"";
  if (label.bold) body_ += " font-weight=\"bold\"";
  if (label.turned != 0) {
    fmt::format_to(std::back_inserter(body_), " transform=\"rotate({:.6g} {:.6g} {:.6g})\"",
                   label.turned, left, top);
  }
  fmt::format_to(std::back_inserter(body_), ">{}</text>\n", escape_markup(words));
}

std::string Svg::document(double width, double height, std::string_view title) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica, Arial, 'Noto Sans CJK SC', "
      "'PingFang SC', 'Microsoft YaHei', sans-serif\">\n<title>{2}</title>\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"#ffffff\"/>\n{3}</svg>\n",
      width, height, escape_markup(title), body_);
}

}  // namespace common
