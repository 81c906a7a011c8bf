// SPDX-License-Identifier: MIT
// Places the nodes, and draws the trees once for each neuron.
#include "tapeloop/nn/look/tree_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/colours.h"
#include "tapeloop/nn/look/grid_picture.h"
#include "tapeloop/nn/look/markup.h"
#include "tapeloop/nn/look/neurons.h"

namespace tapeloop::nn {

namespace {

constexpr double kTop = 92, kMargin = 24, kColumn = 44, kRow = 52, kName = 22;
constexpr double kHalfWidth = 18, kHalfHeight = 12, kNarrowest = 460;

// Where the nodes stand: leaves side by side, a parent above the middle of its children.
struct Places {
  std::vector<double> column, row;
  double columns = 0, rows = 0;
};

Places places_of(std::span<const std::int64_t> parents) {
  const std::size_t count = parents.size();
  std::vector<std::vector<std::size_t>> children(count);
  std::vector<std::size_t> open;  // nodes whose place is not known yet, the next one last
  for (std::size_t node = 0; node < count; ++node) {
    if (parents[node] >= 0) children[static_cast<std::size_t>(parents[node])].push_back(node);
  }
  for (std::size_t node = count; node-- > 0;) {
    if (parents[node] < 0) open.push_back(node);
  }
  Places places{std::vector<double>(count), std::vector<double>(count)};
  std::vector<std::size_t> order;  // parents before their children
  while (!open.empty()) {
    const std::size_t node = open.back();
    open.pop_back();
    order.push_back(node);
    if (parents[node] >= 0) {
      places.row[node] = places.row[static_cast<std::size_t>(parents[node])] + 1;
    }
    places.rows = std::max(places.rows, places.row[node] + 1);
    if (children[node].empty()) places.column[node] = places.columns++;
    open.insert(open.end(), children[node].rbegin(), children[node].rend());
  }
  for (std::size_t i = order.size(); i-- > 0;) {
    const std::vector<std::size_t>& below = children[order[i]];
    if (below.empty()) continue;
    places.column[order[i]] = (places.column[below.front()] + places.column[below.back()]) / 2;
  }
  return places;
}

void check(std::span<const std::int64_t> parents, const Tensor& states,
           const TreePictureOptions& options) {
  const std::size_t count = parents.size();
  if (!states.defined() || states.rank() != 2 || states.shape().numel() == 0 ||
      static_cast<std::size_t>(states.dim(0)) != count) {
    fail("tree_picture", fmt::format("the states are {}, expected [{}, units], a row for each node",
                                     states.defined() ? states.shape().str() : "undefined", count));
  }
  if (options.neurons < 1 || (!options.labels.empty() && options.labels.size() != count) ||
      (!options.marked.empty() && options.marked.size() != count)) {
    fail("tree_picture",
         fmt::format("{} neurons, {} labels and {} marks for {} nodes; at least 1 neuron is shown, "
                     "and labels and marks are one for each node or none",
                     options.neurons, options.labels.size(), options.marked.size(), count));
  }
  const std::int64_t shown = std::min(options.neurons, states.dim(1));
  if (states.dim(0) > kMostPictureCells / shown) {
    fail("tree_picture", fmt::format("{} neurons of {} nodes are more than {} nodes; show fewer "
                                     "neurons or trees",
                                     shown, count, kMostPictureCells));
  }
  (void)Schedule::trees_by_parent(parents);  // throws if they are no trees
}

}  // namespace

std::string tree_picture(std::span<const std::int64_t> parents, const Tensor& states,
                         const TreePictureOptions& options) {
  check(parents, states, options);
  const ShownNeurons neurons = most_varying(states, options.neurons);
  const Places places = places_of(parents);
  const double height = kName + places.rows * kRow;
  const double width = std::max(kNarrowest, 2 * kMargin + places.columns * kColumn);
  std::string svg =
      svg_head(options.title, width, kTop + static_cast<double>(neurons.list.size()) * height);
  svg += svg_legend(kMargin + 60, neurons.scale, "");
  svg += fmt::format("<text x=\"{}\" y=\"76\" fill=\"#565b63\">{}</text>\n", kMargin,
                     options.note.empty() ? "above each drawing the number of its neuron"
                                          : escape_markup(options.note));
  double top = kTop;
  const auto x = [&](std::size_t node) { return kMargin + kColumn * (places.column[node] + 0.5); };
  const auto y = [&](std::size_t node) { return top + kName + kRow * places.row[node] + 16; };
  for (const ShownNeurons::One& one : neurons.list) {
    if (states.dim(1) > 1) {
      svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"#565b63\">{}</text>\n", kMargin, top + 12,
                         one.neuron);
    }
    for (std::size_t node = 0; node < parents.size(); ++node) {
      if (parents[node] < 0) continue;
      const auto parent = static_cast<std::size_t>(parents[node]);
      svg += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#8c959f\"/>\n",
                         x(node), y(node), x(parent), y(parent));
    }
    for (std::size_t node = 0; node < parents.size(); ++node) {
      const bool marked = !options.marked.empty() && options.marked[node];
      svg += fmt::format(
          "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" {}/>\n",
          x(node) - kHalfWidth, y(node) - kHalfHeight, 2 * kHalfWidth, 2 * kHalfHeight,
          value_colour(one.values[node], neurons.scale),
          marked ? "stroke=\"#cf222e\" stroke-width=\"3\"" : "stroke=\"#57606a\"");
      const bool dark = std::abs(one.values[node]) > 0.6 * neurons.scale;
      svg += fmt::format(
          "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\"{}>{}</text>\n", x(node), y(node) + 4,
          dark ? " fill=\"#ffffff\"" : "",
          options.labels.empty() ? std::to_string(node) : escape_markup(options.labels[node]));
    }
    top += height;
  }
  return svg + "</svg>\n";
}

}  // namespace tapeloop::nn
