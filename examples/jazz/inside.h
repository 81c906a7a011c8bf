// SPDX-License-Identifier: MIT
// What the neurons of the network do while it reads a tune.
// The page itself is the library's: nn/look/activation_page.h.
#pragma once

#include <string>

#include "examples/jazz/model.h"
#include "examples/jazz/score.h"

namespace jazz {

// One HTML page: the tune note by note ("f4"; "rest"; "| F7:" where a chord begins), coloured by
// any neuron's state or gate after reading it. Throws tapeloop::Error where the tune has no notes
// or is too long for a page.
std::string neurons_over_tune(const Model& model, const Tune& tune);

}  // namespace jazz
