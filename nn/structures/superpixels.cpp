// SPDX-License-Identifier: MIT
#include "tapeloop/nn/structures/superpixels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

Superpixels::Superpixels(std::span<const std::int64_t> segments, std::int64_t images,
                         std::int64_t height, std::int64_t width)
    : images_(images), height_(height), width_(width) {
  if (images < 1 || height < 1 || width < 1 ||
      static_cast<std::int64_t>(segments.size()) != images * height * width) {
    fail("superpixels", fmt::format("{} numbers of regions for {} images of {} x {} pixels; give "
                                    "one for each pixel of at least one image",
                                    segments.size(), images, height, width));
  }
  const std::int64_t pixels = height * width;
  std::vector<std::int64_t> region(segments.size());
  for (std::int64_t image = 0; image < images; ++image) {
    const auto own = segments.subspan(static_cast<std::size_t>(image * pixels),
                                      static_cast<std::size_t>(pixels));
    const auto [least, most] = std::minmax_element(own.begin(), own.end());
    if (*least < 0 || *most >= pixels) {
      fail("superpixels", fmt::format("image {} has a region {}, expected 0 to {}, without gaps",
                                      image, *least < 0 ? *least : *most, pixels - 1));
    }
    const std::int64_t first = nodes();
    first_nodes_.push_back(first);
    sizes_.resize(static_cast<std::size_t>(first + *most + 1));
    centres_.resize(sizes_.size());
    for (std::int64_t p = 0; p < pixels; ++p) {
      const auto node = static_cast<std::size_t>(first + own[static_cast<std::size_t>(p)]);
      region[static_cast<std::size_t>(image * pixels + p)] = static_cast<std::int64_t>(node);
      ++sizes_[node];
      centres_[node] += static_cast<double>(p % width);
    }
    for (auto node = static_cast<std::size_t>(first); node < sizes_.size(); ++node) {
      if (sizes_[node] == 0) {
        fail("superpixels", fmt::format("region {} of image {} has no pixel; number the regions "
                                        "of an image from 0 without gaps",
                                        static_cast<std::int64_t>(node) - first, image));
      }
    }
  }
  first_nodes_.push_back(nodes());
  std::vector<double> shares;
  for (std::size_t node = 0; node < sizes_.size(); ++node) {
    shares.push_back(1 / static_cast<double>(sizes_[node]));
    centres_[node] *= shares.back();
  }
  shares_ = Tensor::from({nodes(), 1}, shares);
  region_ = Tensor::from({images * pixels}, region);
  find_neighbours();
}

void Superpixels::find_neighbours() {
  const std::vector<std::int64_t> region = region_.to_vector<std::int64_t>();
  std::vector<std::array<std::int64_t, 2>> pairs;
  const auto touch = [&](std::int64_t a, std::int64_t b) {
    const std::int64_t one = region[static_cast<std::size_t>(a)];
    const std::int64_t other = region[static_cast<std::size_t>(b)];
    if (one == other) return;
    pairs.push_back({one, other});
    pairs.push_back({other, one});
  };
  for (std::int64_t row = 0; row < images_ * height_; ++row) {
    for (std::int64_t column = 0; column < width_; ++column) {
      const std::int64_t pixel = row * width_ + column;
      if (column + 1 < width_) touch(pixel, pixel + 1);
      if ((row + 1) % height_ != 0) touch(pixel, pixel + width_);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  begins_.assign(static_cast<std::size_t>(nodes()) + 1, 0);
  for (const auto& [node, neighbour] : pairs) {
    ++begins_[static_cast<std::size_t>(node) + 1];
    neighbours_.push_back(neighbour);
  }
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
}

Var Superpixels::mean(const Var& pixels) const {
  const std::int64_t rows = images_ * height_ * width_;
  const bool image = pixels.defined() && pixels.rank() == 4 && pixels.dim(0) == images_ &&
                     pixels.dim(1) == height_ && pixels.dim(2) == width_;
  if (!image && !(pixels.defined() && pixels.rank() == 2 && pixels.dim(0) == rows)) {
    fail("superpixels.mean", fmt::format("pixels are {}, expected [{}, {}, {}, C] or [{}, C]",
                                         pixels.defined() ? pixels.shape().str() : "undefined",
                                         images_, height_, width_, rows));
  }
  const Var flat = image ? reshape(pixels, {rows, pixels.dim(3)}) : pixels;
  const Device device = flat.value().device();
  return add_rows(flat, region_.to(device), nodes()) * Var(shares_.to(flat.dtype()).to(device));
}

Var Superpixels::spread(const Var& nodes) const {
  if (!nodes.defined() || nodes.rank() != 2 || nodes.dim(0) != this->nodes()) {
    fail("superpixels.spread",
         fmt::format("nodes are {}, expected [{}, C], a row for each region",
                     nodes.defined() ? nodes.shape().str() : "undefined", this->nodes()));
  }
  return reshape(take(nodes, region_.to(nodes.value().device()), 0),
                 {images_, height_, width_, nodes.dim(1)});
}

std::vector<std::int64_t> Superpixels::by_confidence(const Tensor& confidence) const {
  if (!confidence.defined() || confidence.shape().rank() != 2 || confidence.dim(0) != nodes() ||
      confidence.dim(1) < 2) {
    fail("superpixels.by_confidence",
         fmt::format("confidence is {}, expected [{}, K], the probabilities of at least 2 labels",
                     confidence.defined() ? confidence.shape().str() : "undefined", nodes()));
  }
  const std::vector<double> p = confidence.to(Device::cpu).to(DType::float64).to_vector<double>();
  const auto labels = static_cast<std::size_t>(confidence.dim(1));
  std::vector<double> best;
  for (std::size_t node = 0; node < sizes_.size(); ++node) {
    const auto row = p.begin() + static_cast<std::ptrdiff_t>(node * labels);
    best.push_back(*std::max_element(row + 1, row + static_cast<std::ptrdiff_t>(labels)));
    if (std::any_of(row + 1, row + static_cast<std::ptrdiff_t>(labels),
                    [](double value) { return std::isnan(value); })) {
      fail("superpixels.by_confidence",
           fmt::format("row {} of confidence has a NaN; probabilities are expected", node));
    }
  }
  std::vector<std::int64_t> order(sizes_.size());
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t image = 0; image + 1 < first_nodes_.size(); ++image) {
    std::stable_sort(order.begin() + first_nodes_[image], order.begin() + first_nodes_[image + 1],
                     [&](std::int64_t a, std::int64_t b) {
                       const auto i = static_cast<std::size_t>(a), j = static_cast<std::size_t>(b);
                       return best[i] != best[j] ? best[i] > best[j] : centres_[i] < centres_[j];
                     });
  }
  return order;
}

std::vector<std::int64_t> Superpixels::breadth_first() const {
  std::vector<std::int64_t> order;
  std::vector<bool> seen(sizes_.size());
  for (std::int64_t start = 0; start < nodes(); ++start) {
    if (seen[static_cast<std::size_t>(start)]) continue;
    seen[static_cast<std::size_t>(start)] = true;
    order.push_back(start);
    for (std::size_t next = order.size() - 1; next < order.size(); ++next) {
      const auto node = static_cast<std::size_t>(order[next]);
      const auto begin = neighbours_.begin() + begins_[node];
      for (const std::int64_t neighbour :
           std::span(begin, neighbours_.begin() + begins_[node + 1])) {
        if (seen[static_cast<std::size_t>(neighbour)]) continue;
        seen[static_cast<std::size_t>(neighbour)] = true;
        order.push_back(neighbour);
      }
    }
  }
  return order;
}

}  // namespace tapeloop::nn
