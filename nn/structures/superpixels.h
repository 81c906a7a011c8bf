// SPDX-License-Identifier: MIT
// Superpixels: images cut into regions, as the nodes of a graph. For a Graph LSTM, section 3 of
// Liang et al. 2016, arXiv:1603.07063.
//   N images of height x width = P pixels, V regions of all images together, C channels, K labels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tapeloop/autograd/schedule/schedule.h"
#include "tapeloop/autograd/tape/var.h"

namespace tapeloop::nn {

// A node is a region. Two regions are neighbours if pixels of them share a side. The regions of
// image n + 1 are numbered after those of image n. Members may be used by several threads.
class Superpixels {
 public:
  // segments: [N, height, width], row-major, the region of each pixel. Each image has the regions
  // 0 to its largest number. Throws if a size is less than 1 or does not fit, if a number is
  // negative, or if a region has no pixel. Cost: linear in pixels, and sorts the neighbours.
  Superpixels(std::span<const std::int64_t> segments, std::int64_t images, std::int64_t height,
              std::int64_t width);

  std::int64_t nodes() const { return static_cast<std::int64_t>(sizes_.size()); }  // V
  std::int64_t images() const { return images_; }                                  // N
  const Tensor& region() const { return region_; }  // [N P], int64: the node of each pixel
  std::span<const std::int64_t> sizes() const { return sizes_; }  // [V]: pixels of each region
  // The first node of each image, and V after the last: [N + 1].
  std::span<const std::int64_t> first_nodes() const { return first_nodes_; }
  // The neighbours of each node, by number. Valid as long as this object.
  NeighbourLists neighbours() const { return {begins_, neighbours_}; }

  // The mean over the pixels of each region: pixels [N P, C] or [N, height, width, C] -> [V, C].
  Var mean(const Var& pixels) const;
  // The value of each pixel's region: nodes [V, C] -> [N, height, width, C].
  Var spread(const Var& nodes) const;

  // --- orders, for Schedule::graph(neighbours(), order): image after image ---
  // By confidence [V, K], probabilities of labels: the node with the most probable foreground label
  // comes first. Label 0 is the background. Of equal ones the region whose centre is further left
  // comes first, then the one with the lower number. Throws if confidence has another shape or a
  // NaN.
  std::vector<std::int64_t> by_confidence(const Tensor& confidence) const;
  // Breadth first from the first region of each image, then from the first that was not reached.
  std::vector<std::int64_t> breadth_first() const;

 private:
  void find_neighbours();

  std::int64_t images_ = 0, height_ = 0, width_ = 0;
  Tensor region_;
  Tensor shares_;  // [V, 1], float64: 1 / pixels of each region
  std::vector<std::int64_t> sizes_, first_nodes_, begins_, neighbours_;
  std::vector<double> centres_;  // [V]: the mean column
};

}  // namespace tapeloop::nn
