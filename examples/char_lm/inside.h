// SPDX-License-Identifier: MIT
// Looking inside character models: how far back their gradients reach, and what their neurons do
// over a text. It trains nothing and opens no file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "examples/char_lm/corpus.h"
#include "examples/char_lm/model.h"

namespace char_lm {

// |dL/dh_t| of each layer for a loss at the last of `steps` steps alone, averaged over pieces of
// the text, without dropout. `name` names the curves. Throws Error if the text has fewer than steps
// + 1 symbols.
std::vector<tapeloop::nn::GradientCurve> gradients_of_last_loss(
    const CharLm& model, const ModelOptions& options, const Vocabulary& vocabulary,
    std::string_view text, std::int64_t steps, const std::string& name);

// Activations of the neurons while the model reads the text: as an HTML page all of them; as an SVG
// picture the ten that change most in the last layer's state (c of an LSTM). Throws Error if the
// vocabulary lacks one of the symbols, or the text is too long.
std::string neurons_over_text(const CharLm& model, const Vocabulary& vocabulary,
                              std::string_view text, const std::string& title,
                              bool picture = false);

}  // namespace char_lm
