// SPDX-License-Identifier: MIT
// Layout of the page: axes in decades, curves, a legend and a table of factors.
#include "tapeloop/nn/look/gradient_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

constexpr double kPanelWidth = 470, kPanelHeight = 300, kLeft = 64, kTop = 92, kGap = 26;
constexpr double kRow = 20;
constexpr std::size_t kMostPanels = 8;
// The palette of Okabe & Ito (2008): most colour-blind readers can distinguish its colours.
constexpr const char* kColours[] = {"#d55e00", "#0072b2", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000"};
constexpr const char* kPatterns[] = {"", "7 4", "2 3", "10 3 2 3"};

// The index of a text in a list; appends the text if it is not there.
std::size_t place_in(std::vector<std::string>& list, const std::string& text) {
  const auto found = std::find(list.begin(), list.end(), text);
  if (found != list.end()) return static_cast<std::size_t>(found - list.begin());
  list.push_back(text);
  return list.size() - 1;
}

// Three decimal places; three significant digits if the factor is too small for that.
std::string shown(double factor) {
  return factor < 0.0005 ? fmt::format("{:.3g}", factor) : fmt::format("{:.3f}", factor);
}

class Page {
 public:
  Page(const std::string& title, std::span<const GradientPanel> panels)
      : title_(title), panels_(panels) {
    for (const GradientPanel& panel : panels) {
      for (const GradientCurve& curve : panel.curves) {
        place_in(names_, curve.name);
        place_in(layers_, curve.layer);
        steps_ = std::max(steps_, curve.norms.size());
        for (const double ratio : ratios(curve)) {
          if (!std::isfinite(ratio) || ratio <= 0) continue;
          low_ = std::min(low_, std::floor(std::log10(ratio)));
          high_ = std::max(high_, std::ceil(std::log10(ratio)));
        }
      }
    }
    low_ = std::max(low_, -40.0);
    // Room for the texts above and below 1.
    high_ = std::clamp(high_, std::ceil(-low_ * 0.09), 40.0);
    low_ = std::min(low_, -std::ceil(high_ * 0.09));
  }

  std::string draw() {
    const auto columns = static_cast<double>(panels_.size());
    const double width = kLeft + columns * (kPanelWidth + kGap) + kGap;
    const double table = kTop + kPanelHeight + 62;
    std::size_t rows = 0;
    for (const GradientPanel& panel : panels_) rows = std::max(rows, panel.curves.size());
    const double height = table + kRow * (static_cast<double>(rows) + 1) + 12;
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" "
        "height=\"{:.0f}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1c1f24\" "
        "role=\"img\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        width, height, width, height, escape_markup(title_));
    text(kGap, 30, title_, "font-size=\"18\" font-weight=\"bold\"");
    text(kGap, 50, "|dL/dh_t| relative to the last step, where the loss is; logarithmic",
         "fill=\"#565b63\"");
    for (std::size_t i = 0; i < panels_.size(); ++i) {
      const double left = kLeft + static_cast<double>(i) * (kPanelWidth + kGap);
      draw_panel(panels_[i], left, i == 0);
      draw_table(panels_[i], left, table);
    }
    add("</svg>\n");
    return svg_;
  }

 private:
  static std::vector<double> ratios(const GradientCurve& curve) {
    std::vector<double> result;
    for (const double norm : curve.norms) result.push_back(norm / curve.norms.back());
    return result;
  }

  template <class... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    svg_ += fmt::format(format, std::forward<Arguments>(arguments)...);
  }
  void text(double x, double y, const std::string& what, const std::string& more) {
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, more, escape_markup(what));
  }
  void line(double x1, double y1, double x2, double y2, const char* colour, double width) {
    add("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
        "stroke-width=\"{}\"/>\n",
        x1, y1, x2, y2, colour, width);
  }

  double y(double exponent) const {
    return kTop + kPanelHeight * (high_ - std::clamp(exponent, low_, high_)) / (high_ - low_);
  }
  // Time runs to the right and ends at the loss. `back`: the number of steps before the loss.
  double x(double left, double back) const {
    return left + kPanelWidth * (1 - back / static_cast<double>(steps_ - 1));
  }

  void draw_panel(const GradientPanel& panel, double left, bool first) {
    text(left, kTop - 12, panel.title, "font-weight=\"bold\"");
    add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#fdf3ea\"/>\n",
        left, kTop, kPanelWidth, y(0) - kTop);
    add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"#eef4fa\"/>\n",
        left, y(0), kPanelWidth, kTop + kPanelHeight - y(0));
    const double stride = std::max(1.0, std::ceil((high_ - low_) / 10));
    for (double e = std::ceil(low_ / stride) * stride; e <= high_; e += stride) {
      line(left, y(e), left + kPanelWidth, y(e), "#d3d7de", 0.7);
      if (first) {
        add("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">10<tspan dy=\"-5\" "
            "font-size=\"10\">{:.0f}</tspan></text>\n",
            left - 6, y(e) + 5, e);
      }
    }
    line(left, y(0), left + kPanelWidth, y(0), "#565b63", 1.4);
    text(left + 6, kTop + 16, "grows on the way back: explodes", "fill=\"#9a4a00\"");
    text(left + kPanelWidth - 6, kTop + kPanelHeight - 7, "shrinks on the way back: vanishes",
         "fill=\"#2b5d8a\" text-anchor=\"end\"");
    const double spacing = tick_spacing();
    for (double back = 0; back <= static_cast<double>(steps_ - 1); back += spacing) {
      line(x(left, back), kTop + kPanelHeight, x(left, back), kTop + kPanelHeight + 5, "#565b63",
           1);
      text(x(left, back), kTop + kPanelHeight + 20, fmt::format("{:.0f}", back),
           "text-anchor=\"middle\"");
    }
    text(left + kPanelWidth / 2, kTop + kPanelHeight + 38, "steps before the loss",
         "text-anchor=\"middle\"");
    for (const GradientCurve& curve : panel.curves) draw_curve(curve, left);
    add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"none\" "
        "stroke=\"#565b63\"/>\n",
        left, kTop, kPanelWidth, kPanelHeight);
  }

  double tick_spacing() const {
    const double least = static_cast<double>(steps_ - 1) / 8;
    for (double unit = 1;; unit *= 10) {
      for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * unit >= least) return factor * unit;
      }
    }
  }

  std::string stroke(const GradientCurve& curve) {
    const std::size_t colour = place_in(names_, curve.name) % std::size(kColours);
    const std::size_t pattern = place_in(layers_, curve.layer) % std::size(kPatterns);
    return fmt::format(
        "fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\"{}",
        kColours[colour],
        pattern == 0 ? "" : fmt::format(" stroke-dasharray=\"{}\"", kPatterns[pattern]));
  }

  void draw_curve(const GradientCurve& curve, double left) {
    const std::vector<double> all = ratios(curve);
    add("<polyline {} points=\"", stroke(curve));
    for (std::size_t t = 0; t < all.size(); ++t) {
      double exponent = high_;  // values that are not finite are drawn at the upper edge
      if (all[t] == 0) {
        exponent = low_;
      } else if (std::isfinite(all[t])) {
        exponent = std::log10(all[t]);
      }
      add("{:.1f},{:.1f} ", x(left, static_cast<double>(all.size() - 1 - t)), y(exponent));
    }
    add("\"/>\n");
  }

  void draw_table(const GradientPanel& panel, double left, double top) {
    text(left + kPanelWidth, top, "factor per step", "text-anchor=\"end\" fill=\"#565b63\"");
    text(left + kPanelWidth - 130, top, "at the first step",
         "text-anchor=\"end\" fill=\"#565b63\"");
    double row = top;
    for (const GradientCurve& curve : panel.curves) {
      row += kRow;
      add("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", left, row - 4,
          left + 34, row - 4, stroke(curve));
      text(left + 42, row, layers_.size() > 1 ? curve.name + " " + curve.layer : curve.name, "");
      text(left + kPanelWidth - 130, row, fmt::format("{:.2g}", ratios(curve).front()),
           "text-anchor=\"end\"");
      text(left + kPanelWidth, row, shown(factor_per_step(curve.norms)), "text-anchor=\"end\"");
    }
  }

  std::string title_;
  std::span<const GradientPanel> panels_;
  std::vector<std::string> names_, layers_;
  std::size_t steps_ = 2;
  double low_ = -1, high_ = 1;  // decades
  std::string svg_;
};

}  // namespace

double factor_per_step(std::span<const double> norms) {
  if (norms.size() < 2) return 1;
  return std::pow(norms.front() / norms.back(), 1.0 / static_cast<double>(norms.size() - 1));
}

std::string gradient_picture(const std::string& title, std::span<const GradientPanel> panels) {
  if (panels.empty() || panels.size() > kMostPanels) {
    fail("gradient_picture",
         fmt::format("{} panels were given, expected 1 to {}", panels.size(), kMostPanels));
  }
  for (const GradientPanel& panel : panels) {
    if (panel.curves.empty()) {
      fail("gradient_picture",
           fmt::format("panel \"{}\" has no curve; give it the rows of Tape::state_gradients()",
                       panel.title));
    }
    for (const GradientCurve& curve : panel.curves) {
      if (curve.norms.size() >= 2 && curve.norms.back() != 0) continue;
      fail("gradient_picture",
           fmt::format(
               "curve \"{}\" of panel \"{}\" has {} steps, the last of which is {}; expected "
               "2 or more, with a gradient at the last one: is that where the loss is?",
               curve.name, panel.title, curve.norms.size(),
               curve.norms.empty() ? 0.0 : curve.norms.back()));
    }
  }
  return Page(title, panels).draw();
}

}  // namespace tapeloop::nn
