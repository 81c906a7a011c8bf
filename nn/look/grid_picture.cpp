// SPDX-License-Identifier: MIT
// Chooses the neurons, and draws their images side by side.
#include "tapeloop/nn/look/grid_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"
#include "tapeloop/nn/look/neurons.h"

namespace tapeloop::nn {

namespace {

constexpr double kTop = 66, kMargin = 16, kGap = 14, kName = 18, kImage = 112, kWidest = 760;

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
  const Tensor sample = states.select(2, options.sample).cpu().contiguous();
  const ShownNeurons neurons = most_varying(sample.reshape({rows * columns, units}), shown);
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
  svg += svg_legend(kMargin + 60, neurons.scale, "above each image the number of its neuron");
  for (std::size_t i = 0; i < neurons.list.size(); ++i) {
    const ShownNeurons::One& one = neurons.list[i];
    const std::int64_t line = static_cast<std::int64_t>(i) / per_line;
    const std::int64_t place = static_cast<std::int64_t>(i) % per_line;
    const double left = kMargin + static_cast<double>(place) * (width + kGap);
    const double top = kTop + static_cast<double>(line) * (height + kName + kGap);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#565b63\">{}</text>\n", left, top + 12,
                       one.neuron);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        svg += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
            left + cell * static_cast<double>(c), top + kName + cell * static_cast<double>(r), cell,
            cell,
            value_colour(one.values[static_cast<std::size_t>(r * columns + c)], neurons.scale));
      }
    }
    svg += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#d4d7dc\"/>\n",
        left, top + kName, width, height);
  }
  return svg + "</svg>\n";
}

}  // namespace tapeloop::nn
