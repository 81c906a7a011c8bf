// SPDX-License-Identifier: MIT
// Activations over a text as one HTML page: choose a value ("l0: c", "l0: sigmoid(f)") and a
// neuron, and the page colours the text by it; below is one line for each neuron. The page loads
// nothing else. For recording see activations.h.
#pragma once

#include <span>
#include <string>

#include "tapeloop/nn/look/activations.h"

namespace tapeloop::nn {

struct ActivationPageOptions {
  std::string title = "Activations";  // the heading
  std::int64_t sequence = 0;          // index in the batch
  double most_mib = 32;               // upper limit of the page's size
};

// `symbols`: the input of each step, UTF-8. If steps are single bytes, the bytes of one
// character are shown as that character, coloured in as many parts; a byte that is not UTF-8 is
// shown as \xNN. Values are stored in steps of 1/32767 of the largest value of their kind.
// Colours: orange above 0, blue below. Works with mouse, touch and keyboard. Throws if nothing
// was recorded, if the numbers of steps and symbols differ, or if the page would be larger than
// most_mib; the message says what to do.
std::string activation_page(std::span<const Activation> activations,
                            std::span<const std::string> symbols,
                            const ActivationPageOptions& options = {});

}  // namespace tapeloop::nn
