// SPDX-License-Identifier: MIT
// A small picture of activations, as SVG: the same text on every line, each line coloured by another neuron. For papers and
// front pages; the page with all neurons is activation_page.h.
#pragma once

#include <span>
#include <string>

#include "tapeloop/nn/look/activations.h"

namespace tapeloop::nn {

inline constexpr std::int64_t kMostPictureSteps = 400;

struct ActivationPictureOptions {
  std::string title = "Activations";
  std::int64_t neurons = 10;  // those whose values change most over the text, the first the most
  std::int64_t sequence = 0;  // of the batch
};

// `symbols`: what was read at each step, as for activation_page(); a character read in several steps has the colour of the
// last one. Orange above 0, blue below, full at the largest value, as a legend says. Throws where steps and symbols differ
// in number, or there are none, or more than kMostPictureSteps.
std::string activation_picture(const Activation& activation, std::span<const std::string> symbols,
                               const ActivationPictureOptions& options = {});

}  // namespace tapeloop::nn
