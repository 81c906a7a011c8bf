// SPDX-License-Identifier: MIT
// Chooses the neurons, and draws their images side by side.
#include "tapeloop/nn/look/grid_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"

namespace tapeloop::nn {

namespace {

constexpr double kTop = 66, kMargin = 16, kGap = 14, kName = 18, kImage = 112, kWidest = 760;

// The standard deviation of the finite values; 0 if there are none. Divided by the largest one, no
// value is too large to be squared.
double spread(std::span<const double> values) {
  double largest = 0, sum = 0, squares = 0, count = 0;
  for (const double x : values) {
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  }
  if (largest == 0) return 0;
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    sum += x / largest;
    ++count;
  }
  for (const double x : values) {
    if (!std::isfinite(x)) continue;
    const double difference = x / largest - sum / count;
    squares += difference * difference;
  }
  return largest * std::sqrt(squares / count);
}

}  // namespace

std::string grid_picture(const Tensor& states, const GridPictureOptions& options) {
  if (!states.defined() || states.rank() != 4 || states.shape().numel() == 0) {
    fail("grid_picture", fmt::format("the states are {}, expected [rows, columns, N, units]",
                                     states.defined() ? states.shape().str() : "undefined"));
  }
  const std::int64_t rows = states.dim(0), columns = states.dim(1), units = states.dim(3);
  if (options.sample < 0 || options.sample >= states.dim(2) || options.neurons < 1) {
    fail("grid_picture", fmt::format("sample is {}, neurons {}; the batch has {}, and at least 1 "
                                     "neuron is shown",
                                     options.sample, options.neurons, states.dim(2)));
  }
  const std::int64_t shown = std::min(options.neurons, units);
  if (rows * columns > kMostPictureCells / shown) {
    fail("grid_picture", fmt::format("{} neurons of {} x {} cells are more than {} cells; show "
                                     "fewer neurons or a part of the grid",
                                     shown, rows, columns, kMostPictureCells));
  }
  const std::vector<double> all =
      states.select(2, options.sample).to(Device::cpu).to(DType::float64).to_vector<double>();
  std::vector<std::vector<double>> images(static_cast<std::size_t>(units));
  for (std::size_t i = 0; i < all.size(); ++i)
    images[i % static_cast<std::size_t>(units)].push_back(all[i]);
  std::vector<std::size_t> order(images.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<double> spreads;
  for (const std::vector<double>& image : images) spreads.push_back(spread(image));
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return spreads[a] > spreads[b]; });
  order.resize(static_cast<std::size_t>(shown));
  double scale = 0;
  for (const std::size_t unit : order) {
    for (const double x : images[unit]) {
      if (std::isfinite(x)) scale = std::max(scale, std::abs(x));
    }
  }
  const double cell =
      std::max(1.0, std::floor(kImage / static_cast<double>(std::max(rows, columns))));
  const double width = cell * static_cast<double>(columns),
               height = cell * static_cast<double>(rows);
  const auto per_line =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(kWidest / (width + kGap)), 1, shown);
  const std::int64_t lines = (shown + per_line - 1) / per_line;
  std::string svg = svg_head(
      options.title, 2 * kMargin + std::max(400.0, static_cast<double>(per_line) * (width + kGap)),
      kTop + static_cast<double>(lines) * (height + kName + kGap));
  svg += svg_legend(kMargin + 60, scale, "above each image the number of its neuron");
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t line = static_cast<std::int64_t>(i) / per_line;
    const std::int64_t place = static_cast<std::int64_t>(i) % per_line;
    const double left = kMargin + static_cast<double>(place) * (width + kGap);
    const double top = kTop + static_cast<double>(line) * (height + kName + kGap);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#565b63\">{}</text>\n", left, top + 12,
                       order[i]);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        svg += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
            left + cell * static_cast<double>(c), top + kName + cell * static_cast<double>(r), cell,
            cell, value_colour(images[order[i]][static_cast<std::size_t>(r * columns + c)], scale));
      }
    }
    svg += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#d4d7dc\"/>\n",
        left, top + kName, width, height);
  }
  return svg + "</svg>\n";
}

}  // namespace tapeloop::nn
