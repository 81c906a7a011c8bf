// SPDX-License-Identifier: MIT
// Reading IDX files, and drawing.
#include "examples/structures/digits.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <memory>

#include "tapeloop/autograd/tensor/error.h"

namespace structures {

using namespace tapeloop;

namespace {

// The one file of the folder whose name ends in `ending`, or in `ending` and .gz.
std::string find_file(const std::string& folder, const std::string& ending) {
  std::vector<std::string> found;
  std::error_code none;
  if (!std::filesystem::is_directory(folder, none)) {
    throw FileError(fmt::format("--data: there is no folder {}", folder));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string path = entry.path().string();
    if (path.ends_with(ending) || path.ends_with(ending + ".gz")) found.push_back(path);
  }
  if (found.size() == 1) return found[0];
  throw FileError(fmt::format("--data: {} has {} files *{} or *{}.gz, expected one", folder,
                              found.size(), ending, ending));
}

// The bytes of a file, unpacked if gzip has packed it.
std::string read_bytes(const std::string& path) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 30;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (file == nullptr) throw FileError(fmt::format("{} cannot be read", path));
  std::string result;
  char block[1 << 16];
  int count = 0;
  while ((count = gzread(file.get(), block, sizeof(block))) > 0 && result.size() < kMostBytes)
    result.append(block, static_cast<std::size_t>(count));
  int status = Z_OK;
  const char* const text = gzerror(file.get(), &status);
  if (count != 0) throw FileError(fmt::format("{} cannot be unpacked: {}", path, text));
  return result;
}

std::int64_t number_at(const std::string& bytes, std::size_t place) {  // big-endian
  std::int64_t result = 0;
  for (std::size_t i = 0; i < 4; ++i)
    result = result << 8 | static_cast<unsigned char>(bytes[place + i]);
  return result;
}

// Puts the `axes` sizes of the header into `sizes`. Returns the bytes behind the header.
std::string read_idx(const std::string& path, std::size_t axes, std::vector<std::int64_t>& sizes) {
  const std::string bytes = read_bytes(path);
  const std::size_t header = 4 + 4 * axes;
  const auto magic = static_cast<std::int64_t>(2048 + axes);
  if (bytes.size() < header || number_at(bytes, 0) != magic) {
    throw FileError(fmt::format("{} is no IDX file of {} axes: expected the number {} at its start",
                                path, axes, magic));
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // more than any file has
  std::int64_t total = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    sizes.push_back(number_at(bytes, 4 + 4 * i));
    total = sizes.back() > 0 && total > kMost / sizes.back() ? kMost : total * sizes.back();
  }
  if (static_cast<std::int64_t>(bytes.size() - header) != total) {
    throw FileError(fmt::format("{} has {} bytes behind its header, expected {}", path,
                                bytes.size() - header, total));
  }
  return bytes.substr(header);
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
  const std::string pixels = read_idx(find_file(folder, "images-idx3-ubyte"), 3, images);
  const std::string numbers = read_idx(find_file(folder, "labels-idx1-ubyte"), 1, labels);
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
