// SPDX-License-Identifier: MIT
// Clips of digits that move on a black canvas and bounce off its borders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "examples/common/pictures/digits.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace video {

inline constexpr std::int64_t kRoom = 8;  // the canvas is so much wider and higher than a digit
inline constexpr std::int64_t kDirections = 4;

struct Clip {
  std::int64_t index = 0;       // of the digit
  std::int64_t x = 0, y = 0;    // its column and row in frame 0, 0 to kRoom
  std::int64_t vx = 0, vy = 0;  // pixels from frame to frame
  std::int64_t frames = 0;      // at least 2
};

struct Clips {
  common::Digits digits;
  std::vector<Clip> list;
  std::int64_t side() const { return digits.size + kRoom; }  // of the canvas
  std::int64_t label(const Clip& clip) const {
    return digits.labels[static_cast<std::size_t>(clip.index)];
  }
};

// Clips of digits that the program draws.
Clips draw_clips(std::int64_t count, tapeloop::Random& random);
// Reads a list with lines of `index label x y vx vy frames` between tabs, and digits in IDX files:
// see common::read_listed(). Throws FileError with the number of a line that does not fit.
Clips read_clips(const std::string& source, bool test, const std::string& otherwise);

// Some clips as tensors, with noise of deviation 0.2, clipped to 0 .. 1.
//   R real frames of all clips, T frames of the longest, N clips
struct Batch {
  tapeloop::Tensor frames;            // [R, 1, side, side]
  tapeloop::Tensor clean;             // the same without noise
  tapeloop::Tensor places;            // [T * N], int64: the row of each frame; past an end the last
  std::vector<std::int64_t> lengths;  // [N]
  tapeloop::Tensor moved;             // [M], int64: t * N + n of all frames but the first ones
  tapeloop::Tensor directions;  // [M], int64: (vx < 0) + 2 (vy < 0) of the move that led there
  tapeloop::Tensor digits;      // [N], int64
};
Batch batch_of(const Clips& clips, const std::vector<std::int64_t>& list, tapeloop::Random& noise);

}  // namespace video
