// SPDX-License-Identifier: MIT
// A small picture of activations, as SVG: each line shows the text, coloured by one neuron. For a
// page with all neurons see activation_page.h.
#pragma once

#include <span>
#include <string>

#include "tapeloop/nn/look/activations.h"

namespace tapeloop::nn {

inline constexpr std::int64_t kMostPictureSteps = 400;  // of activation_picture()

struct ActivationPictureOptions {
  std::string title = "Activations";  // the heading
  std::int64_t neurons = 10;  // the neurons whose values vary most over the text, in this order
  std::int64_t sequence = 0;  // index in the batch
};

// `symbols`: the input of each step, as for activation_page(). A character of several steps
// has the colour of its last step. Orange above 0, blue below, full colour at the largest
// value; the picture has a legend. Throws if the numbers of steps and symbols differ, or are 0
// or above kMostPictureSteps.
std::string activation_picture(const Activation& activation, std::span<const std::string> symbols,
                               const ActivationPictureOptions& options = {});

}  // namespace tapeloop::nn
