// SPDX-License-Identifier: MIT
// The elements of SVG, written one per line.
#include "examples/common/svg.h"

#include <fmt/format.h>

#include <iterator>

#include "tapeloop/nn/look/markup.h"

namespace common {

using tapeloop::nn::escape_markup;

std::string Svg::text_of(double coordinate) const {
  return digits_ == Digits::two_decimals ? fmt::format("{:.2f}", coordinate)
                                         : fmt::format("{:.6g}", coordinate);
}

void Svg::rectangle(double left, double top, double width, double height, std::string_view colour,
                    std::string_view more) {
  fmt::format_to(std::back_inserter(body_),
                 "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"{}/>\n",
                 text_of(left), text_of(top), text_of(width), text_of(height), colour, more);
}

void Svg::rectangle(double left, double top, double width, double height, std::string_view colour,
                    double opacity) {
  rectangle(left, top, width, height, colour,
            opacity < 1 ? fmt::format(" fill-opacity=\"{:.3f}\"", opacity) : std::string());
}

void Svg::frame(double left, double top, double width, double height, std::string_view colour) {
  rectangle(left, top, width, height, "none", fmt::format(" stroke=\"{}\"", colour));
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view colour, double width) {
  fmt::format_to(std::back_inserter(body_),
                 "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"{}\" "
                 "stroke-width=\"{:.6g}\"/>\n",
                 text_of(x1), text_of(y1), text_of(x2), text_of(y2), colour, width);
}

void Svg::curve(const std::vector<std::pair<double, double>>& points, std::string_view colour,
                bool dashed) {
  body_ += "<polyline points=\"";
  for (const auto& [x, y] : points) {
    fmt::format_to(std::back_inserter(body_), "{},{} ", text_of(x), text_of(y));
  }
  fmt::format_to(std::back_inserter(body_),
                 "\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.5\"{}/>\n", colour,
                 dashed ? " stroke-dasharray=\"6 4\"" : "");
}

void Svg::image(double left, double top, double width, double height, std::string_view href) {
  fmt::format_to(std::back_inserter(body_),
                 "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
                 "preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" "
                 "href=\"{}\"/>\n",
                 text_of(left), text_of(top), text_of(width), text_of(height), href);
}

void Svg::text(double left, double top, std::string_view words, const Label& label) {
  fmt::format_to(std::back_inserter(body_), "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"",
                 text_of(left), text_of(top), label.size, label.colour);
  if (label.anchor == Anchor::middle) body_ += " text-anchor=\"middle\"";
  if (label.anchor == Anchor::end) body_ += " text-anchor=\"end\"";
  if (label.bold) body_ += " font-weight=\"bold\"";
  if (label.turned != 0) {
    fmt::format_to(std::back_inserter(body_), " transform=\"rotate({:.6g} {} {})\"", label.turned,
                   text_of(left), text_of(top));
  }
  fmt::format_to(std::back_inserter(body_), ">{}</text>\n", escape_markup(words));
}

std::string Svg::document(double width, double height, std::string_view title) const {
  Svg page;
  page.body_ = fmt::format(
      "<title>{}</title>\n<rect width=\"{:.0f}\" height=\"{:.0f}\" fill=\"#ffffff\"/>\n{}",
      escape_markup(title), width, height, body_);
  return page.document_in(
      "Helvetica, Arial, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif", width,
      height);
}

std::string Svg::document_in(std::string_view fonts, double width, double height) const {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"{2}\">\n{3}</svg>\n",
      width, height, fonts, body_);
}

}  // namespace common
