// SPDX-License-Identifier: MIT
// Places words by an estimate of their width in a font of fixed width.
#include "tapeloop/nn/look/word_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

constexpr double kWidth = 980, kMargin = 16, kTop = 76, kLetter = 7.8, kLine = 22, kGap = 8;

// Characters of three bytes or more are mostly those of Chinese, Japanese and Korean: two columns.
double width_of(std::string_view text) {
  double columns = 0;
  while (!text.empty()) {
    const std::size_t bytes = std::max<std::size_t>(1, utf8_length(text));
    columns += bytes > 2 ? 2 : 1;
    text.remove_prefix(bytes);
  }
  return kLetter * columns;
}

std::string label_at(double x, double y, const std::string& text, const char* more) {
  return text.empty() ? ""
                      : fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", x, y, more,
                                    escape_markup(text));
}

}  // namespace

std::string word_picture(std::span<const WordRow> rows, const WordPictureOptions& options) {
  double labels = 0, remarks = 0;
  for (const WordRow& row : rows) {
    if (row.words.size() != row.values.size()) {
      fail("word_picture", fmt::format("a text has {} words and {} values; give one for each word",
                                       row.words.size(), row.values.size()));
    }
    labels = std::max(labels, width_of(row.label));
    remarks = std::max(remarks, width_of(row.remark));
  }
  // Labels that are too long reach into the words.
  const double second = kMargin + std::min(labels, 200.0) + 2 * kGap;
  const double left = second + (remarks > 0 ? std::min(remarks, 200.0) + 2 * kGap : 0.0);
  std::string body;
  double y = kTop;
  for (const WordRow& row : rows) {
    body += label_at(kMargin, y, row.label, " font-weight=\"bold\"");
    body += label_at(second, y, row.remark, " fill=\"#cf222e\"");
    double most = 0;
    for (const double value : row.values) {
      if (std::isfinite(value)) most = std::max(most, std::abs(value));
    }
    double x = left;
    for (std::size_t t = 0; t < row.words.size(); ++t) {
      const double width = width_of(row.words[t]) + 6;
      if (x + width > kWidth - kMargin && x > left) x = left, y += kLine;
      body += fmt::format(
          "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"19\" rx=\"3\" fill=\"{}\" "
          "fill-opacity=\"0.7\"/>\n",
          x, y - 14, width, value_colour(row.values[t], most));
      body += label_at(x + 3, y, row.words[t], "");
      x += width + 2;
    }
    y += kLine + kGap;
  }
  return svg_head(options.title, kWidth, y) +
         label_at(kMargin, 46, options.legend, " fill=\"#565b63\"") +
         "<g font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n" + body +
         "</g>\n</svg>\n";
}

}  // namespace tapeloop::nn
