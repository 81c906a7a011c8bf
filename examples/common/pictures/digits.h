// SPDX-License-Identifier: MIT
// Images of digits with labels: from files in the IDX format of MNIST, or drawn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace common {

struct Digits {
  std::int64_t size = 0;             // height and width of an image
  std::vector<float> pixels;         // [images, size, size], 0 to 1
  std::vector<std::int64_t> labels;  // 0 to 9

  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

// Reads FOLDER/*images-idx3-ubyte and FOLDER/*labels-idx1-ubyte, packed by gzip or not. Throws
// FileError, with what to do, if one of them is absent or damaged. Of several, the largest or
// the smallest ones.
Digits read_digits(const std::string& folder, bool smaller = false);

// Draws digits of 5 x 7 dots on 20 x 20 pixels, each with its own size, place, slant and noise.
Digits draw_digits(std::int64_t count, tapeloop::Random& random);

// Images first .. first + count - 1 of `order` as a grid of blocks of `block` x `block` pixels:
// [size / block, size / block, count, block * block].
tapeloop::Tensor in_blocks(const Digits& digits, const std::vector<std::int64_t>& order,
                           std::int64_t first, std::int64_t count, std::int64_t block);

}  // namespace common
