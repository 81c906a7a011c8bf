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

// Throws Error that names the first symbol that the vocabulary lacks, in the prompt or in the text
// used instead of one.
void check_prompt(const Vocabulary& vocabulary, std::string_view prompt,
                  const char* what = "prompt");

// Reads text and continues it. One state goes through all calls; it begins as zeros.
class Writer {
 public:
  Writer(const CharLm& model, const Vocabulary& vocabulary,
         const tapeloop::nn::SampleOptions& options, const tapeloop::Random& random)
      : model_(model), vocabulary_(vocabulary), options_(options), random_(random) {}
  // Throws like check_prompt().
  void read(std::string_view text);
  // Draws up to `length` symbols after the text that was read or written last, which must not be
  // empty. Ends early if `stop` is drawn; `stop` is neither returned nor counted.
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
