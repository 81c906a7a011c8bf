// SPDX-License-Identifier: MIT
#include "examples/common/pictures/labels.h"

namespace common {

LabelQuality quality_of(std::span<const std::int64_t> found, std::span<const std::int64_t> truth,
                        std::int64_t labels) {
  std::vector<double> both(static_cast<std::size_t>(labels)), any(both);
  double right = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const auto a = static_cast<std::size_t>(found[i]), b = static_cast<std::size_t>(truth[i]);
    right += a == b ? 1 : 0;
    both[a] += a == b ? 1 : 0;
    ++any[a];
    any[b] += a == b ? 0 : 1;
  }
  double sum = 0, present = 0;
  for (std::size_t k = 0; k < both.size(); ++k) {
    if (any[k] == 0) continue;  // a label that is nowhere
    sum += both[k] / any[k];
    ++present;
  }
  return {right / static_cast<double>(truth.size()), sum / present};
}

Image image_of_labels(std::span<const std::int64_t> labels, std::int64_t height,
                      std::int64_t width) {
  constexpr std::uint8_t kColours[6][3] = {{236, 238, 240}, {213, 94, 0},    {0, 114, 178},
                                           {0, 158, 115},   {204, 121, 167}, {230, 159, 0}};
  Image image{height, width, 3, {}};
  for (const std::int64_t label : labels) {
    const auto& colour = kColours[label % 6];
    image.pixels.insert(image.pixels.end(), colour, colour + 3);
  }
  return image;
}

}  // namespace common
