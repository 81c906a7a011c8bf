// SPDX-License-Identifier: MIT
// Images in which every pixel has a label.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "examples/common/pictures/image.h"

namespace common {

// How well the labels of pixels were found.
struct LabelQuality {
  double pixel_accuracy = 0;  // the share of right pixels
  double mean_iou = 0;        // over the labels: pixels in both / pixels in either
};
LabelQuality quality_of(std::span<const std::int64_t> found, std::span<const std::int64_t> truth,
                        std::int64_t labels);

// A colour for each label, grey for 0; six colours, which then repeat.
Image image_of_labels(std::span<const std::int64_t> labels, std::int64_t height,
                      std::int64_t width);

}  // namespace common
