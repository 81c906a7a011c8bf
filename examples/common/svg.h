// SPDX-License-Identifier: MIT
// A picture as SVG text: boxes, lines and labels at coordinates in pixels, from the top left.
// It lays nothing out and knows nothing of models; it writes no file.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace common {

class Svg {
 public:
  enum class Digits { six_significant, two_decimals };  // of coordinates
  explicit Svg(Digits digits = Digits::six_significant) : digits_(digits) {}

  enum class Anchor { start, middle, end };
  struct Label {
    double size = 12;
    std::string_view colour = "#1c1f24";
    Anchor anchor = Anchor::start;
    bool bold = false;
    double turned = 0;  // degrees, about its anchor
  };

  // `more`: further attributes, with a space in front.
  void rectangle(double left, double top, double width, double height, std::string_view colour,
                 std::string_view more = "");
  void rectangle(double left, double top, double width, double height, std::string_view colour,
                 double opacity);
  void frame(double left, double top, double width, double height, std::string_view colour);
  void line(double x1, double y1, double x2, double y2, std::string_view colour, double width = 1);
  void curve(const std::vector<std::pair<double, double>>& points, std::string_view colour,
             bool dashed = false);
  // `href`: such as data_uri_of() of image.h. Pixels stay squares.
  void image(double left, double top, double width, double height, std::string_view href);
  void text(double left, double top, std::string_view words, const Label& label);

  // Copies all elements of another picture.
  void add(const Svg& other) { body_ += other.body_; }
  std::size_t size() const { return body_.size(); }  // bytes

  // The whole document. Screen readers read `title` out, and browsers show it in their tabs.
  std::string document(double width, double height, std::string_view title) const;
  // The document of these elements alone, in these fonts.
  std::string document_in(std::string_view fonts, double width, double height) const;

 private:
  std::string text_of(double coordinate) const;
  Digits digits_;
  std::string body_;
};

}  // namespace common
