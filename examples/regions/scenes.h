// SPDX-License-Identifier: MIT
// Images in which every pixel has a label, and their superpixels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"
#include "tapeloop/nn/structures/superpixels.h"

namespace regions {

struct Scenes {
  std::int64_t height = 0, width = 0, labels = 0;  // labels 0 .. labels - 1; 0 is the background
  std::vector<std::uint8_t> rgb;                   // [count, height, width, 3]
  std::vector<std::uint8_t> truth;                 // [count, height, width]
  std::vector<std::int64_t> segments;              // [count, height, width]

  std::int64_t pixels() const { return height * width; }
  std::int64_t count() const {
    return pixels() == 0 ? 0 : static_cast<std::int64_t>(truth.size()) / pixels();
  }
};

// Scenes that the program draws: reddish heads that touch bluish bodies (labels 1 and 2), and
// reddish and bluish blobs that stand alone (label 0).
Scenes draw_scenes(std::int64_t count, tapeloop::Random& random);

// Reads a folder. Either three IDX files, *images-idx4-ubyte [count, height, width, 3],
// *labels-idx3-ubyte and, if there is one, *segments-idx3-ubyte, packed by gzip or not; or the
// images in FOLDER/images and the labels of their pixels, as grey images of the same names, in
// FOLDER/labels. Images of that second kind become `side` x `side` pixels. Throws FileError, with
// what to do, if the files do not fit.
Scenes read_scenes(const std::string& folder, std::int64_t side);

// Appends those of `folder`. Throws FileError if they have another size.
void append(Scenes& scenes, const Scenes& more, const std::string& folder);

// Some scenes as tensors.
struct Batch {
  tapeloop::nn::Superpixels regions;
  tapeloop::Tensor pixels;  // [scenes, height, width, 3], 0 to 1
  tapeloop::Tensor truth;   // [scenes * pixels], int64
  tapeloop::Tensor shares;  // [V, labels]: pixels of each label in a region, divided by all pixels
};
Batch batch_of(const Scenes& scenes, const std::vector<std::int64_t>& list);

}  // namespace regions
