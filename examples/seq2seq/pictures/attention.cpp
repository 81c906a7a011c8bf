// SPDX-License-Identifier: MIT
// Attention as grids of boxes, side by side if there is room.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "examples/common/pictures/svg.h"
#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/pictures/picture.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

using common::Svg;

namespace {

constexpr double kCell = 18;         // used if there is room
constexpr double kSmallestCell = 4;  // sentences that are longer than a page of these are cut
constexpr double kLabel = 13;        // font size
constexpr double kLabelRoom = 14;    // narrower cells share a label
constexpr double kRuledCell = 8;     // narrower cells have no lines between them
constexpr double kGap = 36;          // between grids
constexpr double kMargin = 24;
constexpr double kHeader = 60;            // title and legend
constexpr double kPage = 1180;            // grids beyond this width start a new row
constexpr double kTallest = 4000;         // grids beyond this height are left out
constexpr double kSmallest = 0.004;       // fainter boxes cannot be seen
constexpr int kWidestLabel = 24;          // columns of text
constexpr std::size_t kMostBoxes = 3500;  // in all grids; the darkest stay
constexpr std::size_t kMostBytes = 380'000;

double text_width(std::string_view text) {
  return kLabel * 0.56 * static_cast<double>(display_width(text));
}

// The beginning of a text, of this many columns at most.
std::string shortened(std::string_view text, int columns) {
  if (display_width(text) <= columns) return std::string(text);
  std::string beginning;
  int width = 1;  // width of the dots
  for (const std::string& character : characters(text)) {
    width += display_width(character);
    if (width > columns) break;
    beginning += character;
  }
  return beginning + "…";
}

std::string visible(const std::string& unit) {
  return unit == " " ? "␣" : shortened(unit, kWidestLabel);
}

double widest(const std::vector<std::string>& units) {
  double width = 0;
  for (const std::string& unit : units) width = std::max(width, text_width(visible(unit)));
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
                                 "expected 1 and 0; pass the decoder's weights unchanged",
                                 t, sum, padding));
    }
  }
}

double weight_at(const Looked& looked, std::size_t row, std::size_t column) {
  return looked.weights.at({static_cast<std::int64_t>(row), static_cast<std::int64_t>(column)});
}

// Cuts sentences that are too long for a page; the caption says so.
Looked cut(Looked looked) {
  const auto most = static_cast<std::size_t>((kPage - 2 * kMargin - 200) / kSmallestCell);
  std::string note;
  const auto cut_side = [&](std::vector<std::string>& units, const char* side) {
    if (units.size() <= most) return;
    note += fmt::format("{}the first {} of {} symbols {}", note.empty() ? "" : ", ", most,
                        units.size(), side);
    units.resize(most);
  };
  cut_side(looked.source, "read");
  cut_side(looked.target, "written");
  const int room = static_cast<int>((kPage - 2 * kMargin) / text_width("x"));
  if (!note.empty()) note = " (" + note + ")";
  looked.caption = shortened(looked.caption, room - display_width(note)) + note;
  return looked;
}

// The least weight that gets a box, so that at most kMostBoxes boxes are drawn.
double least_weight(const std::vector<Looked>& all) {
  std::vector<double> weights;
  for (const Looked& looked : all) {
    for (std::size_t t = 0; t < looked.target.size(); ++t) {
      for (std::size_t s = 0; s < looked.source.size(); ++s) {
        const double weight = weight_at(looked, t, s);
        if (weight >= kSmallest) weights.push_back(weight);
      }
    }
  }
  if (weights.size() <= kMostBoxes) return kSmallest;
  const auto last = weights.begin() + static_cast<std::ptrdiff_t>(kMostBoxes);
  std::nth_element(weights.begin(), last, weights.end(), std::greater<>());
  return std::nextafter(*last, 2.0);
}

// The position and size of a grid.
struct Place {
  double left = 0, top = 0;
  double cell = kCell;
  std::size_t step = 1;       // distance of labels, in cells
  double rows_width = 0;      // of the labels at the left
  double columns_height = 0;  // of the labels above
  double width = 0, height = 0;
  bool turned = false;  // words above columns are vertical
};

Place measured(const Looked& looked) {
  Place place;
  place.rows_width = widest(looked.target) + 8;
  const auto longest = static_cast<double>(std::max(looked.source.size(), looked.target.size()));
  const double fitting = (kPage - 2 * kMargin - place.rows_width) / longest;
  place.cell = std::clamp(std::floor(2 * fitting) / 2, kSmallestCell, kCell);
  place.step = static_cast<std::size_t>(std::ceil(kLabelRoom / place.cell));
  const double words = widest(looked.source);
  place.turned = words > place.cell * static_cast<double>(place.step);
  place.columns_height = 26 + (place.turned ? words * 0.87 + 12 : kLabel + 6);
  place.width = std::max(text_width(looked.caption),
                         place.rows_width + place.cell * static_cast<double>(looked.source.size()) +
                             (place.turned ? words * 0.5 : 0));
  place.height = place.columns_height + place.cell * static_cast<double>(looked.target.size());
  return place;
}

void draw_labels(Svg& svg, const Looked& looked, const Place& place) {
  const double left = place.left + place.rows_width, top = place.top + place.columns_height;
  for (std::size_t s = 0; s < looked.source.size(); s += place.step) {
    const double x = left + place.cell * (static_cast<double>(s) + 0.5);
    if (place.turned) {
      svg.text(x + 4, top - 6, visible(looked.source[s]), {.size = kLabel, .turned = -60});
    } else {
      svg.text(x, top - 6, visible(looked.source[s]),
               {.size = kLabel, .anchor = Svg::Anchor::middle});
    }
  }
  for (std::size_t t = 0; t < looked.target.size(); t += place.step) {
    const double middle = top + place.cell * (static_cast<double>(t) + 0.5);
    svg.text(left - 6, middle + 4.5, visible(looked.target[t]),
             {.size = kLabel, .anchor = Svg::Anchor::end});
  }
}

void draw(Svg& svg, const Looked& looked, const Place& place, double least) {
  const double left = place.left + place.rows_width, top = place.top + place.columns_height;
  const double cell = place.cell;
  const auto columns = static_cast<double>(looked.source.size());
  const auto rows = static_cast<double>(looked.target.size());
  svg.text(place.left, place.top + 13, looked.caption, {.size = kLabel, .bold = true});
  draw_labels(svg, looked, place);
  for (std::size_t t = 0; t < looked.target.size(); ++t) {
    for (std::size_t s = 0; s < looked.source.size(); ++s) {
      const double weight = weight_at(looked, t, s);
      if (weight < least) continue;
      svg.rectangle(left + cell * static_cast<double>(s), top + cell * static_cast<double>(t), cell,
                    cell, "#12467e", weight);
    }
  }
  if (cell >= kRuledCell) {
    for (double s = 1; s < columns; ++s) {
      svg.line(left + cell * s, top, left + cell * s, top + cell * rows, "#eceef1", 0.6);
    }
    for (double t = 1; t < rows; ++t) {
      svg.line(left, top + cell * t, left + cell * columns, top + cell * t, "#eceef1", 0.6);
    }
  }
  svg.frame(left, top, cell * columns, cell * rows, "#9aa1ab");
}

}  // namespace

std::string attention_picture(const std::string& title, const std::vector<Looked>& translations) {
  std::vector<Looked> all;
  for (const Looked& looked : translations) {
    check(looked);
    all.push_back(cut(looked));
  }
  const double least = least_weight(all);
  const Svg::Label small{.size = 12, .colour = "#565b63"};
  Svg svg;
  svg.text(kMargin, 30, title, {.size = 20, .bold = true});
  svg.text(kMargin, 50,
           "each row is a written symbol; its shades show the attention to the source symbols, "
           "and sum to 1" +
               (least > kSmallest ? fmt::format("; weights below {:.2g} are not shown", least)
                                  : std::string()),
           small);
  double x = kMargin, y = kHeader + 16, line_height = 0, width = 640;
  if (all.empty()) {
    svg.text(kMargin, y + kLabel, "the model wrote nothing, so there is no attention to show",
             {.size = kLabel, .bold = true});
    line_height = kLabel;
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    Place place = measured(all[i]);
    if (x > kMargin && x + place.width + kMargin > kPage) {
      x = kMargin;
      y += line_height + kGap;
      line_height = 0;
    }
    place.left = x;
    place.top = y;
    Svg grid;
    draw(grid, all[i], place, least);
    const bool tall = y + place.height + kMargin > kTallest;
    if (i > 0 && (tall || svg.size() + grid.size() > kMostBytes)) {
      y += line_height + kGap;
      line_height = 0;
      svg.text(kMargin, y,
               fmt::format("and {} more, for which this picture has no room", all.size() - i),
               small);
      break;
    }
    svg.add(grid);
    x += place.width + kGap;
    width = std::max(width, x - kGap + kMargin);
    line_height = std::max(line_height, place.height);
  }
  return svg.document(width, y + line_height + kMargin, title);
}

}  // namespace seq2seq
