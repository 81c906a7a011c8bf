// SPDX-License-Identifier: MIT
// SLIC: regions are connected, numbered by their first pixels, and follow edges of colours.
#include "examples/common/pictures/slic.h"

#include <algorithm>
#include <set>

#include "examples/common/pictures/labels.h"
#include "tapeloop/autograd/number/random.h"
#include "tests/support.h"

namespace common {
namespace {

// The number of connected parts that have one region's number.
std::size_t parts(const std::vector<std::int64_t>& region, std::int64_t height,
                  std::int64_t width) {
  std::vector<bool> seen(region.size());
  std::size_t count = 0;
  for (std::size_t first = 0; first < region.size(); ++first) {
    if (seen[first]) continue;
    ++count;
    std::vector<std::size_t> open{first};
    seen[first] = true;
    while (!open.empty()) {
      const std::size_t p = open.back();
      open.pop_back();
      const auto row = static_cast<std::int64_t>(p) / width;
      const auto column = static_cast<std::int64_t>(p) % width;
      const auto visit = [&](std::int64_t r, std::int64_t c) {
        if (r < 0 || c < 0 || r >= height || c >= width) return;
        const auto q = static_cast<std::size_t>(r * width + c);
        if (seen[q] || region[q] != region[p]) return;
        seen[q] = true;
        open.push_back(q);
      };
      visit(row - 1, column), visit(row + 1, column), visit(row, column - 1),
          visit(row, column + 1);
    }
  }
  return count;
}

TEST_CASE("regions are connected and numbered by their first pixels, for any size") {
  tapeloop::Random random(1);
  for (const auto& size :
       {std::pair<std::int64_t, std::int64_t>{32, 32}, {17, 41}, {1, 9}, {9, 1}, {3, 4}, {1, 1}}) {
    const std::int64_t height = size.first, width = size.second;
    CAPTURE(height);
    CAPTURE(width);
    std::vector<std::uint8_t> rgb;
    for (std::int64_t i = 0; i < height * width * 3; ++i)
      rgb.push_back(static_cast<std::uint8_t>(random.below(256)));
    const std::vector<std::int64_t> region = slic(rgb, height, width, 5);
    const std::set<std::int64_t> all(region.begin(), region.end());
    CHECK(parts(region, height, width) == all.size());
    std::int64_t next = 0;
    for (const std::int64_t r : region) {
      CHECK(r <= next);
      next = std::max(next, r + 1);
    }
    CHECK(static_cast<std::int64_t>(all.size()) <= std::max<std::int64_t>(1, height * width / 6));
  }
}

TEST_CASE("a region does not cross a strong edge") {
  std::vector<std::uint8_t> rgb;
  for (std::int64_t i = 0; i < 20 * 20; ++i) {
    const std::uint8_t value = i % 20 < 7 ? 20 : 230;
    rgb.insert(rgb.end(), 3, value);
  }
  const std::vector<std::int64_t> region = slic(rgb, 20, 20, 5);
  std::set<std::int64_t> dark, bright;
  for (std::size_t i = 0; i < region.size(); ++i) (i % 20 < 7 ? dark : bright).insert(region[i]);
  for (const std::int64_t r : dark) CHECK(!bright.contains(r));
  CHECK(dark.size() > 2);
}

TEST_CASE("accuracy and mean IoU of labels") {
  const std::vector<std::int64_t> truth = {0, 0, 1, 1, 2, 2}, found = {0, 1, 1, 1, 0, 0};
  const LabelQuality q = quality_of(found, truth, 4);
  CHECK(q.pixel_accuracy == doctest::Approx(3.0 / 6));
  CHECK(q.mean_iou == doctest::Approx((1.0 / 4 + 2.0 / 3 + 0.0) / 3));  // label 3 is nowhere
  CHECK(image_of_labels(truth, 2, 3).pixels.size() == 18);
}

}  // namespace
}  // namespace common
