// SPDX-License-Identifier: MIT
#include "examples/read_lines/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/common/text.h"
#include "tapeloop/autograd/tensor/error.h"

namespace read_lines {

using namespace tapeloop;

namespace {

constexpr const char* kLines = "width, label, places between tabs";

// "12@3,1". Returns false if it is no place.
bool read_place(std::string_view text, Line::Place& place) {
  const std::size_t at = text.find('@'), comma = text.find(',');
  if (at == text.npos || comma == text.npos || comma < at) return false;
  return common::read_count(text.substr(0, at), place.index) &&
         common::read_count(text.substr(at + 1, comma - at - 1), place.x) &&
         common::read_count(text.substr(comma + 1), place.y);
}

// The columns width, label, places of a line. Returns false if it has others.
bool read_line(const common::Columns& columns, std::string_view& label, Line& line) {
  line.places.clear();
  if (columns.size() != 3 || !common::read_count(columns[0], line.width)) return false;
  label = columns[1];
  std::string_view rest = columns[2];
  while (!rest.empty()) {
    const std::size_t blank = std::min(rest.find(' '), rest.size());
    if (!read_place(rest.substr(0, blank), line.places.emplace_back())) return false;
    rest.remove_prefix(std::min(blank + 1, rest.size()));
  }
  return !line.places.empty();
}

}  // namespace

std::string Lines::text(const Line& line) const {
  std::string result;
  for (const Line::Place& place : line.places)
    result += static_cast<char>('0' + digits.labels[static_cast<std::size_t>(place.index)]);
  return result;
}

common::Image Lines::image(const Line& line) const {
  common::Image image{height(), line.width, 1,
                      std::vector<std::uint8_t>(static_cast<std::size_t>(height() * line.width))};
  for (const auto& [index, x, y] : line.places) {
    const float* from = digits.pixels.data() + index * digits.size * digits.size;
    for (std::int64_t row = 0; row < digits.size; ++row) {
      for (std::int64_t column = 0; column < digits.size; ++column, ++from) {
        if (x + column >= line.width) continue;
        std::uint8_t& to = image.at(y + row, x + column);
        to = std::max(to, static_cast<std::uint8_t>(std::lround(*from * 255)));
      }
    }
  }
  return image;
}

Lines read_lines(const std::string& source, bool test, const std::string& otherwise) {
  std::string_view label;
  Line line;
  common::ListedDigits listed = common::read_listed(
      source, test ? common::Part::test : common::Part::train, otherwise,
      {.fits = [&](const common::Columns& columns) { return read_line(columns, label, line); },
       .lines = kLines});
  Lines lines;
  lines.digits = std::move(listed.digits);
  for (std::size_t i = 0; i < listed.lines.size(); ++i) {
    if (listed.lines[i].empty()) continue;
    bool fits = read_line(common::split(listed.lines[i], '\t'), label, line) && line.width > 0 &&
                line.width % 4 == 0 && line.width <= 10000;
    for (const Line::Place& place : line.places) {
      fits = fits && place.index >= 0 && place.index < lines.digits.count() && place.x >= 0 &&
             place.x < line.width && place.y >= 0 && place.y <= kDown;
    }
    if (!fits || lines.text(line) != label) {
      common::fail_line(
          listed, i,
          fmt::format("{}: a width that is a multiple of 4, the "
                      "digits, and for each of them index@x,y with an index of {} digits and y "
                      "from 0 to {}",
                      kLines, lines.digits.count(), kDown));
    }
    lines.list.push_back(line);
  }
  return lines;
}

Line draw_line(const Lines& lines, const std::vector<std::int64_t>& choices, std::int64_t least,
               std::int64_t most, Random& random) {
  const auto below = [&](std::int64_t end) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end)));
  };
  const std::int64_t size = lines.digits.size;
  Line line;
  std::int64_t x = below(kDown + 1);
  for (std::int64_t left = least + below(most - least + 1); left > 0; --left) {
    const std::int64_t index =
        choices[static_cast<std::size_t>(below(static_cast<std::int64_t>(choices.size())))];
    line.places.push_back({index, x, below(kDown + 1)});
    line.width = (x + size + 3) / 4 * 4;
    x += size * 2 / 3 + below(size / 3 + 1);
  }
  return line;
}

Batch batch_of(const Lines& lines, const std::vector<Line>& list) {
  Batch batch;
  std::size_t longest = 0;
  std::int64_t widest = 0;
  for (const Line& line : list) {
    batch.widths.push_back(line.width);
    batch.texts.push_back(lines.text(line));
    batch.lengths.push_back(static_cast<std::int64_t>(line.places.size()));
    longest = std::max(longest, line.places.size());
    widest = std::max(widest, line.width);
  }
  const auto count = static_cast<std::int64_t>(list.size());
  std::vector<std::int64_t> targets(list.size() * longest);
  batch.images = Tensor::zeros({count, 1, lines.height(), widest});
  float* to = batch.images.data<float>();
  for (std::size_t n = 0; n < list.size(); ++n) {
    for (std::size_t i = 0; i < batch.texts[n].size(); ++i)
      targets[n * longest + i] = batch.texts[n][i] - '0' + 1;
    const common::Image image = lines.image(list[n]);
    for (std::int64_t row = 0; row < image.height; ++row, to += widest) {
      for (std::int64_t column = 0; column < image.width; ++column)
        to[column] = static_cast<float>(image.at(row, column)) / 255;
    }
  }
  batch.targets = Tensor::from({count, static_cast<std::int64_t>(longest)}, targets);
  return batch;
}

Batch batch_of(const common::Image& given, std::int64_t height) {
  const std::int64_t width =
      std::max<std::int64_t>(4, (given.width * height / given.height + 3) / 4 * 4);
  const common::Image image = common::resized(given, height, width);
  const double mean = std::accumulate(image.pixels.begin(), image.pixels.end(), 0.0) /
                      static_cast<double>(image.pixels.size());
  Batch batch;
  batch.widths = {width};
  batch.images = Tensor::zeros({1, 1, height, width});
  float* const to = batch.images.data<float>();
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    const float value = static_cast<float>(image.pixels[i]) / 255;
    to[i] = mean > 127 ? 1 - value : value;  // ink on paper
  }
  return batch;
}

}  // namespace read_lines
