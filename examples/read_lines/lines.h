// SPDX-License-Identifier: MIT
// Lines of digits as images: digits side by side, which touch, overlap or stand apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/pictures/image.h"
#include "examples/common/pictures/lists.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace read_lines {

inline constexpr std::int64_t kDown = 4;      // a digit lies 0 to kDown pixels below the top
inline constexpr std::int64_t kClasses = 11;  // the blank, then the digits 0 to 9

struct Line {
  struct Place {
    std::int64_t index, x, y;  // of a digit: its image and its top left corner
  };
  std::int64_t width = 0;  // a multiple of 4
  std::vector<Place> places;
};

struct Lines {
  common::Digits digits;
  std::vector<Line> list;  // given ones; empty: lines are drawn from the digits
  std::int64_t height() const { return digits.size + kDown; }
  std::string text(const Line& line) const;
  common::Image image(const Line& line) const;
};

// A list with lines of `width label index@x,y index@x,y ..`, and digits in IDX files, or a folder
// with these: see common::read_listed(). Throws FileError with the number of a line that does not
// fit.
Lines read_lines(const std::string& source, bool test, const std::string& otherwise);

// `least` to `most` digits out of `choices`, side by side as in such lists.
Line draw_line(const Lines& lines, const std::vector<std::int64_t>& choices, std::int64_t least,
               std::int64_t most, tapeloop::Random& random);

// Lines as tensors. W: the width of the widest.
struct Batch {
  tapeloop::Tensor images;            // [N, 1, height, W], 0 to 1; 0 behind a line's end
  std::vector<std::int64_t> widths;   // [N]
  std::vector<std::string> texts;     // [N]
  tapeloop::Tensor targets;           // [N, L], int64: digit + 1
  std::vector<std::int64_t> lengths;  // [N], of the texts
};
Batch batch_of(const Lines& lines, const std::vector<Line>& list);
// A batch of one image of any size, without a text: it becomes as high as lines are, bright on
// dark.
Batch batch_of(const common::Image& image, std::int64_t height);

}  // namespace read_lines
