// SPDX-License-Identifier: MIT
// The activations of the network's neurons while it reads a tune. nn/look/activation_page.h makes
// the page.
#pragma once

#include <string>

#include "examples/jazz/model.h"
#include "examples/jazz/music/score.h"

namespace jazz {

// One HTML page: the tune note by note ("f4"; "rest"; "| F7:" where a chord begins), coloured by
// any neuron's state or gate after each note. Throws tapeloop::Error if the tune has no notes or is
// too long for a page.
std::string neurons_over_tune(const Model& model, const Tune& tune);

}  // namespace jazz
