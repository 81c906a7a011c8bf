// SPDX-License-Identifier: MIT
// A picture of values of the nodes of trees, as SVG. For grids see grid_picture.h, for sequences
// activation_picture.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop::nn {

struct TreePictureOptions {
  std::string title = "Activations";  // the heading
  std::string note = {};              // a line below the legend; empty: what the picture shows
  std::int64_t neurons = 3;  // the neurons whose values vary most over the nodes, in this order
  std::vector<std::string> labels = {};  // [V], the text in each node; empty: its number
  std::vector<bool> marked = {};         // [V], nodes with a red frame; empty: none
};

// parents [V]: the parent of each node, -1 for a root, as for Schedule::trees_by_parent(). states
// [V, H], such as the h of a Tree: each neuron has a drawing of the trees, roots at the top, trees
// and children in the order of their numbers. Orange above 0, blue below, full colour at the
// largest value. Throws if a shape does not fit, if a parent is no node or there is a cycle, or if
// all drawings together have more than kMostPictureCells nodes.
std::string tree_picture(std::span<const std::int64_t> parents, const Tensor& states,
                         const TreePictureOptions& options = {});

}  // namespace tapeloop::nn
