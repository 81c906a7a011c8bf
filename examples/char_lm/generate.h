// SPDX-License-Identifier: MIT
// Text from a character model, symbol by symbol.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "examples/char_lm/corpus.h"
#include "examples/char_lm/model.h"

namespace char_lm {

// Throws Error that names the first symbol of the prompt that the vocabulary does not have.
void check_prompt(const Vocabulary& vocabulary, std::string_view prompt);

// Reads `prompt` (not empty) from a zero state, then draws up to `length` symbols; ends early where `stop` is drawn,
// which is left out. Returns what was drawn, without the prompt.
std::string generate(const CharLm& model, const Vocabulary& vocabulary, std::string_view prompt, std::int64_t length,
                     std::optional<char> stop, const tapeloop::nn::SampleOptions& options,
                     tapeloop::Random& random);

}  // namespace char_lm
