// SPDX-License-Identifier: MIT
// Digits from IDX files, and drawing.
#include "examples/structures/digits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "examples/common/images/idx.h"
#include "tapeloop/autograd/tensor/error.h"

namespace structures {

using namespace tapeloop;

namespace {

// The one file of the folder whose name ends in `ending`, or in `ending` and .gz.
std::string find_file(const std::string& folder, const std::string& ending) {
  const std::vector<std::string> found = common::idx_files(folder, ending);
  if (found.size() == 1) return found[0];
  throw FileError(fmt::format("--data: {} has {} files *{} or *{}.gz, expected one", folder,
                              found.size(), ending, ending));
}

// Rows of five dots.
constexpr std::array<std::array<const char*, 7>, 10> kDots = {{
    {".###.", "#...#", "#..##", "#.#.#", "##..#", "#...#", ".###."},
    {"..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."},
    {".###.", "#...#", "....#", "...#.", "..#..", ".#...", "#####"},
    {"#####", "...#.", "..#..", "...#.", "....#", "#...#", ".###."},
    {"...#.", "..##.", ".#.#.", "#..#.", "#####", "...#.", "...#."},
    {"#####", "#....", "####.", "....#", "....#", "#...#", ".###."},
    {"..##.", ".#...", "#....", "####.", "#...#", "#...#", ".###."},
    {"#####", "....#", "...#.", "..#..", ".#...", ".#...", ".#..."},
    {".###.", "#...#", "#...#", ".###.", "#...#", "#...#", ".###."},
    {".###.", "#...#", "#...#", ".####", "....#", "...#.", ".##.."},
}};

// How much ink a digit has at (x, y); between dots, a weighted mean of them.
double ink(std::size_t digit, double x, double y) {
  const auto dot = [&](double column, double row) {
    if (column < 0 || column > 4 || row < 0 || row > 6) return 0.0;
    const char* const line = kDots[digit][static_cast<std::size_t>(row)];
    return line[static_cast<std::size_t>(column)] == '#' ? 1.0 : 0.0;
  };
  const double left = std::floor(x), top = std::floor(y), dx = x - left, dy = y - top;
  return (1 - dy) * ((1 - dx) * dot(left, top) + dx * dot(left + 1, top)) +
         dy * ((1 - dx) * dot(left, top + 1) + dx * dot(left + 1, top + 1));
}

}  // namespace

Digits read_digits(const std::string& folder) {
  Digits result;
  std::vector<std::int64_t> images, labels;
  const std::string pixels = common::read_idx(find_file(folder, "images-idx3-ubyte"), 3, images);
  const std::string numbers = common::read_idx(find_file(folder, "labels-idx1-ubyte"), 1, labels);
  if (images[0] != labels[0] || images[1] != images[2] || images[0] < 8 || images[1] < 1) {
    throw FileError(
        fmt::format("--data: {} has {} images of {} x {} pixels and {} labels; expected at "
                    "least 8 square images, and a label for each",
                    folder, images[0], images[1], images[2], labels[0]));
  }
  result.size = images[1];
  for (const char c : pixels)
    result.pixels.push_back(static_cast<float>(static_cast<unsigned char>(c)) / 255.0f);
  for (const char c : numbers) {
    if (c < 0 || c > 9) throw FileError(fmt::format("--data: {} has a label above 9", folder));
    result.labels.push_back(c);
  }
  return result;
}

Digits draw_digits(std::int64_t count, Random& random) {
  Digits result;
  result.size = 20;
  const auto between = [&](double low, double high) {
    return low + (high - low) * random.uniform();
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t digit = random.below(10);
    const double scale = between(1.6, 2.5), slant = between(-0.35, 0.35);
    const double left = between(0, 19 - 4 * scale), top = between(0, 19 - 6 * scale);
    for (double y = 0; y < 20; ++y) {
      for (double x = 0; x < 20; ++x) {
        const double row = (y - top) / scale, column = (x - left) / scale + slant * (row - 3);
        const double value = ink(digit, column, row) + between(-0.2, 0.2);
        result.pixels.push_back(static_cast<float>(std::clamp(value, 0.0, 1.0)));
      }
    }
    result.labels.push_back(static_cast<std::int64_t>(digit));
  }
  return result;
}

Tensor in_blocks(const Digits& digits, const std::vector<std::int64_t>& order, std::int64_t first,
                 std::int64_t count, std::int64_t block) {
  const std::int64_t side = digits.size / block;
  Tensor result = Tensor::empty({side, side, count, block * block}, DType::float32);
  float* to = result.data<float>();
  for (std::int64_t r = 0; r < side; ++r) {
    for (std::int64_t c = 0; c < side; ++c) {
      for (std::int64_t n = 0; n < count; ++n) {
        const std::int64_t image = order[static_cast<std::size_t>(first + n)];
        const float* from =
            digits.pixels.data() + (image * digits.size + r * block) * digits.size + c * block;
        for (std::int64_t y = 0; y < block; ++y)
          to = std::copy(from + y * digits.size, from + y * digits.size + block, to);
      }
    }
  }
  return result;
}

}  // namespace structures
