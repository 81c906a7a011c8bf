// SPDX-License-Identifier: MIT
// Attention as grids of boxes, side by side where there is room.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/error.h"
#include "examples/seq2seq/picture.h"
#include "examples/seq2seq/svg.h"
#include "examples/seq2seq/text.h"

namespace seq2seq {
namespace {

constexpr double kCell = 18;
constexpr double kLabel = 13;  // font size
constexpr double kGap = 36;    // between grids
constexpr double kMargin = 24;
constexpr double kHeader = 60;       // title and legend
constexpr double kPage = 1180;       // grids beyond this go on below
constexpr double kSmallest = 0.004;  // fainter boxes cannot be seen

std::string visible(const std::string& unit) { return unit == " " ? "␣" : unit; }

double text_width(const std::string& unit) {
  return kLabel * 0.56 * static_cast<double>(display_width(visible(unit)));
}

double widest(const std::vector<std::string>& units) {
  double width = 0;
  for (const std::string& unit : units) width = std::max(width, text_width(unit));
  return width;
}

void check(const Looked& looked) {
  const auto rows = static_cast<std::int64_t>(looked.target.size());
  const auto columns = static_cast<std::int64_t>(looked.source.size());
  const tapeloop::Tensor& w = looked.weights;
  if (!w.defined() || w.rank() != 2 || w.dim(0) != rows || w.dim(1) < columns) {
    tapeloop::fail("attention picture",
                   fmt::format("weights are {}, expected [T = {}, S = {} or more], a row for each "
                               "unit of the target",
                               w.describe(), rows, columns));
  }
  for (std::int64_t t = 0; t < rows; ++t) {
    double sum = 0, padding = 0;
    for (std::int64_t s = 0; s < w.dim(1); ++s) {
      (s < columns ? sum : padding) += std::abs(w.at({t, s}));
    }
    if (!(std::abs(sum - 1) < 1e-4) || padding != 0) {
      tapeloop::fail("attention picture",
                     fmt::format("row {} sums to {:.6f} over the source and {:.6f} over padding, "
                                 "expected 1 and 0; pass the decoder's weights as they are",
                                 t, sum, padding));
    }
  }
}

// Where a grid goes and how much room it takes.
struct Place {
  double left = 0, top = 0;
  double rows_width = 0;      // of the labels at the left
  double columns_height = 0;  // of the labels above
  double width = 0, height = 0;
  bool turned = false;  // words above a column stand upright
};

Place measured(const Looked& looked) {
  Place place;
  const double words = widest(looked.source);
  place.turned = words > kCell;
  place.rows_width = widest(looked.target) + 8;
  place.columns_height = 26 + (place.turned ? words * 0.87 + 12 : kLabel + 6);
  const double caption = kLabel * 0.56 * static_cast<double>(display_width(looked.caption));
  place.width =
      std::max(caption, place.rows_width + kCell * static_cast<double>(looked.source.size()) +
                            (place.turned ? words * 0.5 : 0));
  place.height = place.columns_height + kCell * static_cast<double>(looked.target.size());
  return place;
}

void draw(Svg& svg, const Looked& looked, const Place& place) {
  const double left = place.left + place.rows_width, top = place.top + place.columns_height;
  const auto columns = static_cast<double>(looked.source.size());
  const auto rows = static_cast<double>(looked.target.size());
  svg.text(place.left, place.top + 13, looked.caption, {.size = 13, .bold = true});
  for (std::size_t s = 0; s < looked.source.size(); ++s) {
    const double x = left + kCell * (static_cast<double>(s) + 0.5);
    if (place.turned) {
      svg.text(x + 4, top - 6, visible(looked.source[s]), {.size = kLabel, .turned = -60});
    } else {
      svg.text(x, top - 6, visible(looked.source[s]),
               {.size = kLabel, .anchor = Svg::Anchor::middle});
    }
  }
  for (std::size_t t = 0; t < looked.target.size(); ++t) {
    const double y = top + kCell * static_cast<double>(t);
    svg.text(left - 6, y + 13.5, visible(looked.target[t]),
             {.size = kLabel, .anchor = Svg::Anchor::end});
    for (std::size_t s = 0; s < looked.source.size(); ++s) {
      const double weight =
          looked.weights.at({static_cast<std::int64_t>(t), static_cast<std::int64_t>(s)});
      if (weight < kSmallest) continue;
      svg.rectangle(left + kCell * static_cast<double>(s), y, kCell, kCell, "#12467e", weight);
    }
  }
  for (double s = 1; s < columns; ++s) {
    svg.line(left + kCell * s, top, left + kCell * s, top + kCell * rows, "#eceef1", 0.6);
  }
  for (double t = 1; t < rows; ++t) {
    svg.line(left, top + kCell * t, left + kCell * columns, top + kCell * t, "#eceef1", 0.6);
  }
  svg.frame(left, top, kCell * columns, kCell * rows, "#9aa1ab");
}

}  // namespace

std::string attention_picture(const std::string& title, const std::vector<Looked>& translations) {
  Svg svg;
  svg.text(kMargin, 30, title, {.size = 20, .bold = true});
  svg.text(kMargin, 50,
           "each row is a symbol that was written, its shades the symbols that were looked at; a "
           "row sums to 1",
           {.size = 12, .colour = "#565b63"});
  double x = kMargin, y = kHeader + 16, line_height = 0, width = 640;
  for (const Looked& looked : translations) {
    check(looked);
    Place place = measured(looked);
    if (x > kMargin && x + place.width + kMargin > kPage) {
      x = kMargin;
      y += line_height + kGap;
      line_height = 0;
    }
    place.left = x;
    place.top = y;
    draw(svg, looked, place);
    x += place.width + kGap;
    width = std::max(width, x - kGap + kMargin);
    line_height = std::max(line_height, place.height);
  }
  return svg.document(width, y + line_height + kMargin, title);
}

}  // namespace seq2seq
