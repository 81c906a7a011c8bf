// SPDX-License-Identifier: MIT
// Rows of a page: the image, its caption, and where the model looked at each word.
#include "examples/caption/pictures.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "examples/common/pictures/svg.h"

namespace caption {

namespace {

// The image with more red where the weights, relative to the largest, are higher.
common::Image heat_of(const common::Image& image, const std::vector<float>& weights,
                      std::int64_t side) {
  const float most = std::max(*std::max_element(weights.begin(), weights.end()), 1e-9f);
  common::Image result = common::with_channels(image, 3);
  for (std::int64_t r = 0; r < image.height; ++r) {
    for (std::int64_t c = 0; c < image.width; ++c) {
      const std::int64_t row = std::min(r * side / image.height, side - 1);
      const std::int64_t column = std::min(c * side / image.width, side - 1);
      const float heat = weights[static_cast<std::size_t>(row * side + column)] / most;
      for (std::int64_t k = 0; k < 3; ++k) {
        const float own = 0.6f * static_cast<float>(result.at(r, c, k));
        const float value = k == 0 ? std::max(own, 255 * heat) : own;
        result.at(r, c, k) = static_cast<std::uint8_t>(value);
      }
    }
  }
  return result;
}

}  // namespace

std::string page_of(const Scenes& scenes, const std::vector<Captioned>& captioned,
                    std::int64_t side) {
  constexpr double kSide = 84, kRow = 128, kLeft = 16, kTop = 20;
  common::Svg page(common::Svg::Digits::two_decimals);
  double width = 420, top = kTop;
  for (const Captioned& one : captioned) {
    const common::Image image = scenes.image(one.scene);
    const bool right = one.found == one.wanted;
    page.text(kLeft, top + 10, fmt::format("{}", fmt::join(one.found, " ")),
              {.size = 13, .colour = right ? "#1c1f24" : "#b3261e", .bold = true});
    if (!right) {
      page.text(kLeft + 260, top + 10, fmt::format("is: {}", fmt::join(one.wanted, " ")),
                {.size = 11, .colour = "#5f6670"});
    }
    page.image(kLeft, top + 18, kSide, kSide, common::data_uri_of(image));
    const std::int64_t steps = one.weights.defined() ? one.weights.dim(0) : 0;
    for (std::int64_t t = 0; t < steps; ++t) {
      const double left = kLeft + static_cast<double>(t + 1) * (kSide + 8);
      const auto place = static_cast<std::size_t>(t);
      page.image(
          left, top + 18, kSide, kSide,
          common::data_uri_of(heat_of(image, one.weights.select(0, t).to_vector<float>(), side)));
      page.text(left, top + 18 + kSide + 12,
                place < one.found.size() ? one.found[place] : std::string("END"), {.size = 11});
      width = std::max(width, left + kSide + kLeft);
    }
    top += kRow;
  }
  return page.document(width, top, "Images and the captions that the model gave them");
}

}  // namespace caption
