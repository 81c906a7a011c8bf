// SPDX-License-Identifier: MIT
// SLIC superpixels: k-means of colours and places. Achanta et al. 2012,
// doi.org/10.1109/TPAMI.2012.120
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace common {

// Divides an image into about height * width / size^2 connected regions. Returns the number of each
// pixel's region; regions are numbered by their first pixels. `compactness`: how much one region
// size of distance weighs against the range of a colour, 255.
//   rgb [height, width, 3]
std::vector<std::int64_t> slic(std::span<const std::uint8_t> rgb, std::int64_t height,
                               std::int64_t width, std::int64_t size, double compactness = 0.15);

}  // namespace common
