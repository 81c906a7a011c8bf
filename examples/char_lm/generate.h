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

// Throws Error that names the first symbol of the prompt, or of what is given instead, that the
// vocabulary does not have.
void check_prompt(const Vocabulary& vocabulary, std::string_view prompt,
                  const char* what = "prompt");

// Reads text and goes on writing, with one state throughout; begins with a state of zeros.
class Writer {
 public:
  Writer(const CharLm& model, const Vocabulary& vocabulary,
         const tapeloop::nn::SampleOptions& options, tapeloop::Random random)
      : model_(model), vocabulary_(vocabulary), options_(options), random_(random) {}
  // Throws as check_prompt.
  void read(std::string_view text);
  // Draws up to `length` symbols after what was read or written last, which must not be nothing.
  // Ends early where `stop` is drawn: it is left out, and counts as not written.
  std::string write(std::int64_t length, std::optional<char> stop = {});

 private:
  const CharLm& model_;
  const Vocabulary& vocabulary_;
  tapeloop::nn::SampleOptions options_;
  tapeloop::Random random_;
  Carried carried_;
  tapeloop::Tensor logits_;  // [1, V], of the next symbol
};

}  // namespace char_lm
