// SPDX-License-Identifier: MIT
// A picture of the states of a grid of two dimensions, as SVG: an image for each neuron. For
// sequences see activation_picture.h.
#pragma once

#include <string>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

inline constexpr std::int64_t kMostPictureCells = 10000;  // of grid_picture(), in all images

struct GridPictureOptions {
  std::string title = "Activations";  // the heading
  std::int64_t neurons = 12;  // the neurons whose values vary most over the grid, in this order
  std::int64_t sample = 0;    // index in the batch
};

// states [S_1, S_2, N, H], such as the outputs of a Grid: S_1 rows of S_2 cells. Orange above 0,
// blue below, full colour at the largest value; the picture has a legend. Throws if the shape, the
// sample or the number of neurons does not fit, or if all images together have more than
// kMostPictureCells cells.
std::string grid_picture(const Tensor& states, const GridPictureOptions& options = {});

}  // namespace tapeloop::nn
