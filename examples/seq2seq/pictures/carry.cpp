// SPDX-License-Identifier: MIT
// Hidden units over the digits of a sum, and the units that follow the carry.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/common/pictures/svg.h"
#include "examples/seq2seq/pictures/picture.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

using common::Svg;

namespace {

constexpr double kCell = 20;
constexpr double kMargin = 24;
constexpr double kNames = 130;  // room for labels at the left
constexpr double kGap = 30;     // between sums side by side
constexpr double kPage = 1180;  // sums beyond this width start a new row
constexpr std::string_view kPositive = "#b5461f", kNegative = "#12467e";

void check(const CarryTrace& trace, std::int64_t units) {
  const std::size_t steps = trace.digits.size();
  const tapeloop::Tensor& h = trace.hidden;
  if (trace.sums.size() != steps || trace.carries.size() != steps || !h.defined() ||
      h.rank() != 2 || h.dim(0) != static_cast<std::int64_t>(steps) || h.dim(1) != units) {
    tapeloop::fail(
        "carry picture",
        fmt::format("{} digits, {} sums, {} carries and hidden units {}; expected as many "
                    "of each, and [T, H] with the same H in all",
                    steps, trace.sums.size(), trace.carries.size(), h.describe()));
  }
}

void draw(Svg& svg, const CarryTrace& trace, double from, double top,
          const std::vector<std::size_t>& order, const std::vector<double>& follows) {
  const double left = from + kNames;
  const auto row = [&](double y, std::string_view name, auto label) {
    svg.text(left - 8, y + 14, name, {.anchor = Svg::Anchor::end});
    for (std::size_t t = 0; t < trace.digits.size(); ++t) {
      svg.text(left + kCell * (static_cast<double>(t) + 0.5), y + 14, label(t),
               {.anchor = Svg::Anchor::middle});
    }
  };
  svg.text(from, top + 14, trace.caption, {.size = 14, .bold = true});
  double y = top + 24;
  row(y, "added, lowest first", [&](std::size_t t) { return trace.digits[t]; });
  y += kCell + 4;
  const double grid = y;
  for (std::size_t unit : order) {
    svg.text(left - 8, y + 14, fmt::format("unit {:2}  ({:+.2f})", unit, follows[unit]),
             {.size = 11, .colour = "#565b63", .anchor = Svg::Anchor::end});
    for (std::size_t t = 0; t < trace.digits.size(); ++t) {
      const double value =
          trace.hidden.at({static_cast<std::int64_t>(t), static_cast<std::int64_t>(unit)});
      svg.rectangle(left + kCell * static_cast<double>(t), y, kCell, kCell,
                    value > 0 ? kPositive : kNegative, std::min(0.999, std::abs(value)));
    }
    y += kCell;
  }
  const double width = kCell * static_cast<double>(trace.digits.size());
  svg.frame(left, grid, width, y - grid, "#9aa1ab");
  y += 6;
  for (std::size_t t = 0; t < trace.carries.size(); ++t) {
    if (trace.carries[t] == 0) continue;
    svg.rectangle(left + kCell * static_cast<double>(t), y, kCell, kCell, "#f2c14e");
  }
  svg.frame(left, y, width, kCell, "#9aa1ab");
  row(y, "carry after it", [&](std::size_t t) { return fmt::format("{}", trace.carries[t]); });
  row(y + kCell + 2, "digit of the sum", [&](std::size_t t) { return trace.sums[t]; });
}

}  // namespace

std::vector<double> carry_correlations(const std::vector<CarryTrace>& traces) {
  if (traces.empty()) return {};
  const std::int64_t units = traces[0].hidden.dim(1);
  std::vector<double> result;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    double n = 0, h = 0, c = 0, hh = 0, cc = 0, hc = 0;
    for (const CarryTrace& trace : traces) {
      check(trace, units);
      for (std::size_t t = 0; t < trace.carries.size(); ++t) {
        const double x = trace.hidden.at({static_cast<std::int64_t>(t), unit});
        const double carry = trace.carries[t];
        n += 1, h += x, c += carry, hh += x * x, cc += carry * carry, hc += x * carry;
      }
    }
    const double spread = (n * hh - h * h) * (n * cc - c * c);
    result.push_back(spread > 0 ? (n * hc - h * c) / std::sqrt(spread) : 0);
  }
  return result;
}

std::string carry_picture(const std::string& title, const std::vector<CarryTrace>& traces) {
  if (traces.empty()) tapeloop::fail("carry picture", "no sums were given, expected some");
  const std::vector<double> follows = carry_correlations(traces);
  std::vector<std::size_t> order(follows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::abs(follows[a]) > std::abs(follows[b]);
  });
  constexpr std::size_t kMostUnits = 16;
  if (order.size() > kMostUnits) order.resize(kMostUnits);

  Svg svg;
  svg.text(kMargin, 32, title, {.size = 20, .bold = true});
  svg.text(kMargin, 52,
           "hidden units after each digit, the lowest first, red positive, blue negative; in "
           "brackets: correlation "
           "with the carry",
           {.colour = "#565b63"});
  const double height = 24 + kCell * (static_cast<double>(order.size()) + 3) + 42;
  double left = kMargin, top = 68, width = 620;
  for (const CarryTrace& trace : traces) {
    const double own = kNames + kCell * static_cast<double>(trace.digits.size());
    if (left > kMargin && left + own + kMargin > kPage) {
      left = kMargin;
      top += height;
    }
    draw(svg, trace, left, top, order, follows);
    left += own + kGap;
    width = std::max(width, left - kGap + kMargin);
  }
  top += height;
  return svg.document(width, top, title);
}

}  // namespace seq2seq
