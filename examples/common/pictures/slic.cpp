// SPDX-License-Identifier: MIT
#include "examples/common/pictures/slic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

namespace common {

namespace {

struct Centre {
  std::array<double, 3> colour{};
  double row = 0, column = 0, pixels = 0;
};

// Calls use(neighbour) for the pixels that share a side with `pixel`.
template <class Use>
void for_neighbours(std::int64_t pixel, std::int64_t height, std::int64_t width, Use use) {
  const std::int64_t row = pixel / width, column = pixel % width;
  if (row > 0) use(pixel - width);
  if (column > 0) use(pixel - 1);
  if (column + 1 < width) use(pixel + 1);
  if (row + 1 < height) use(pixel + width);
}

// Numbers connected regions by their first pixels. A region of less than `least` pixels joins the
// one before it.
std::vector<std::int64_t> connected(const std::vector<std::int64_t>& cluster, std::int64_t height,
                                    std::int64_t width, std::size_t least) {
  std::vector<std::int64_t> region(cluster.size(), -1);
  std::int64_t count = 0;
  for (std::size_t first = 0; first < cluster.size(); ++first) {
    if (region[first] >= 0) continue;
    std::vector<std::int64_t> found{static_cast<std::int64_t>(first)};
    std::int64_t beside = -1;  // a region that touches this one
    region[first] = count;
    for (std::size_t i = 0; i < found.size(); ++i) {
      for_neighbours(found[i], height, width, [&](std::int64_t pixel) {
        const auto p = static_cast<std::size_t>(pixel);
        if (region[p] >= 0 && region[p] != count) beside = region[p];
        if (region[p] >= 0 || cluster[p] != cluster[first]) return;
        region[p] = count;
        found.push_back(pixel);
      });
    }
    if (found.size() >= least || beside < 0) {
      ++count;
      continue;
    }
    for (const std::int64_t pixel : found) region[static_cast<std::size_t>(pixel)] = beside;
  }
  return region;
}

}  // namespace

std::vector<std::int64_t> slic(std::span<const std::uint8_t> rgb, std::int64_t height,
                               std::int64_t width, std::int64_t size, double compactness) {
  const auto step = static_cast<double>(size);
  std::vector<Centre> centres;
  for (std::int64_t row = size / 2; row < height || row == size / 2; row += size) {
    for (std::int64_t column = size / 2; column < width || column == size / 2; column += size) {
      Centre centre;
      centre.row = static_cast<double>(std::min(row, height - 1));
      centre.column = static_cast<double>(std::min(column, width - 1));
      const auto pixel = static_cast<std::size_t>(centre.row) * static_cast<std::size_t>(width) +
                         static_cast<std::size_t>(centre.column);
      for (std::size_t c = 0; c < 3; ++c) centre.colour[c] = rgb[3 * pixel + c];
      centres.push_back(centre);
    }
  }
  std::vector<std::int64_t> cluster(static_cast<std::size_t>(height * width));
  std::vector<double> nearest(cluster.size());
  for (int round = 0; round < 10; ++round) {
    std::fill(nearest.begin(), nearest.end(), std::numeric_limits<double>::infinity());
    for (std::size_t k = 0; k < centres.size(); ++k) {
      const Centre& centre = centres[k];
      const auto near = [&](double place, std::int64_t most, double side) {
        return std::clamp<std::int64_t>(static_cast<std::int64_t>(place + side * 2 * step), 0,
                                        most - 1);
      };
      for (std::int64_t r = near(centre.row, height, -1); r <= near(centre.row, height, 1); ++r) {
        for (std::int64_t c = near(centre.column, width, -1); c <= near(centre.column, width, 1);
             ++c) {
          const auto pixel = static_cast<std::size_t>(r * width + c);
          double distance = 0;
          for (std::size_t channel = 0; channel < 3; ++channel) {
            distance += std::pow((rgb[3 * pixel + channel] - centre.colour[channel]) / 255, 2);
          }
          const double down = (static_cast<double>(r) - centre.row) / step;
          const double right = (static_cast<double>(c) - centre.column) / step;
          distance += compactness * compactness * (down * down + right * right);
          if (distance >= nearest[pixel]) continue;
          nearest[pixel] = distance;
          cluster[pixel] = static_cast<std::int64_t>(k);
        }
      }
    }
    std::vector<Centre> sums(centres.size());
    for (std::size_t pixel = 0; pixel < cluster.size(); ++pixel) {
      Centre& sum = sums[static_cast<std::size_t>(cluster[pixel])];
      for (std::size_t c = 0; c < 3; ++c) sum.colour[c] += rgb[3 * pixel + c];
      const std::size_t row = pixel / static_cast<std::size_t>(width);
      sum.row += static_cast<double>(row);
      sum.column += static_cast<double>(pixel % static_cast<std::size_t>(width));
      ++sum.pixels;
    }
    for (std::size_t k = 0; k < centres.size(); ++k) {
      if (sums[k].pixels == 0) continue;
      for (double& c : sums[k].colour) c /= sums[k].pixels;
      centres[k] = {sums[k].colour, sums[k].row / sums[k].pixels, sums[k].column / sums[k].pixels,
                    0};
    }
  }
  std::vector<std::int64_t> region =
      connected(cluster, height, width, static_cast<std::size_t>(size * size / 4));
  std::map<std::int64_t, std::int64_t> numbers;  // without those that joined another
  for (std::int64_t& r : region) {
    r = numbers.emplace(r, static_cast<std::int64_t>(numbers.size())).first->second;
  }
  return region;
}

}  // namespace common
