// SPDX-License-Identifier: MIT
// Orders the labels by their counts, and draws a cell for each pair.
#include "tapeloop/nn/look/confusion_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

constexpr double kMargin = 16, kCell = 34, kLeft = 100, kTop = 124;

}  // namespace

std::string confusion_picture(const Tensor& counts, std::span<const std::string> names,
                              const ConfusionPictureOptions& options) {
  const std::size_t size = names.size();
  if (!counts.defined() || counts.rank() != 2 || counts.dim(0) != counts.dim(1) ||
      counts.dim(0) != static_cast<std::int64_t>(size) || options.most < 1) {
    fail("confusion_picture",
         fmt::format("counts are {}, names {}, most is {}; expected counts [K, K], K names, and at "
                     "least 1 label to show",
                     counts.describe(), size, options.most));
  }
  const std::vector<double> all = counts.to_vector<double>();
  std::vector<double> totals(size);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!(all[i] >= 0) || std::isinf(all[i])) {
      fail("confusion_picture", fmt::format("the count at [{}, {}] is {}, expected 0 or more",
                                            i / size, i % size, all[i]));
    }
    totals[i / size] += all[i];
  }
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return totals[a] > totals[b]; });
  order.resize(std::min(size, static_cast<std::size_t>(options.most)));
  const double side = kCell * static_cast<double>(order.size());
  std::string svg =
      svg_head(options.title, std::max(kLeft + side + 60, 480.0), kTop + side + kMargin);
  svg += fmt::format(
      "<text x=\"{}\" y=\"46\" fill=\"#565b63\">rows: the label; columns: the label given; percent "
      "of the row</text>\n<g font-size=\"11\">\n",
      kMargin);
  for (std::size_t r = 0; r < order.size(); ++r) {
    const std::string name = escape_markup(names[order[r]]);
    const double middle = kCell * (static_cast<double>(r) + 0.5);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 8,
                       kTop + middle + 4, name);
    svg += fmt::format("<text x=\"{0}\" y=\"{1}\" transform=\"rotate(-60 {0} {1})\">{2}</text>\n",
                       kLeft + middle + 4, kTop - 8, name);
    for (std::size_t c = 0; c < order.size(); ++c) {
      const double total = std::max(totals[order[r]], 1e-300);
      const double share = all[order[r] * size + order[c]] / total;
      const double x = kLeft + kCell * static_cast<double>(c), y = kTop + middle - kCell / 2;
      svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n", x, y,
                         kCell - 1, kCell - 1,
                         value_colour((r == c ? -1 : 1) * std::sqrt(share), 1.2));
      if (share < 5e-4) continue;
      svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{:.{}f}</text>\n",
                         x + kCell / 2, y + kCell / 2 + 4, 100 * share, share < 0.0995 ? 1 : 0);
    }
  }
  return svg + "</g>\n</svg>\n";
}

}  // namespace tapeloop::nn
