// SPDX-License-Identifier: MIT
// Activations over a text as one HTML page: choose a value ("l0: c", "l0: sigmoid(f)") and a neuron, and see the text coloured
// by it; below, one line for each neuron. The page needs nothing else: no network, no font. Records nothing: activations.h.
#pragma once

#include <span>
#include <string>

#include "tapeloop/nn/look/activations.h"

namespace tapeloop::nn {

struct ActivationPageOptions {
  std::string title = "Activations";
  std::int64_t sequence = 0;  // of the batch
  double most_mib = 32;       // of the page
};

// `symbols`: what was read at each step, UTF-8. Single bytes of one character, as byte models read them, are shown as that
// character, coloured in as many parts; a byte that belongs to none as \xNN. Numbers are kept as 1/32767 of the largest
// of their kind. Colours: orange above 0, blue below. Works with mouse, touch and keyboard.
// Throws where nothing was recorded, steps and symbols differ in number, or the page would be larger than most_mib, which
// it says how to mend.
std::string activation_page(std::span<const Activation> activations,
                            std::span<const std::string> symbols,
                            const ActivationPageOptions& options = {});

}  // namespace tapeloop::nn
