// SPDX-License-Identifier: MIT
// The loop of sampling: each symbol drawn is the next input.
#include "examples/char_lm/generate.h"

#include <fmt/format.h>

#include <vector>

#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

using tapeloop::Tensor;

void check_prompt(const Vocabulary& vocabulary, std::string_view prompt, const char* what) {
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    if (vocabulary.index(prompt[i]) >= 0) continue;
    tapeloop::fail(what, fmt::format("the training text has no '{}', which is byte {} of the {}; "
                                     "use only its characters: {}",
                                     Vocabulary(prompt.substr(i, 1)).escaped(), i + 1, what,
                                     vocabulary.escaped()));
  }
}

void Writer::read(std::string_view text) {
  check_prompt(vocabulary_, text);
  if (text.empty()) return;
  std::vector<std::int64_t> tokens;
  for (char symbol : text) tokens.push_back(vocabulary_.index(symbol));
  const std::int64_t steps = static_cast<std::int64_t>(tokens.size());
  logits_ = model_(Tensor::from({steps, 1}, tokens), carried_).value().select(0, steps - 1);
}

std::string Writer::write(std::int64_t length, std::optional<char> stop) {
  if (!logits_.defined())
    tapeloop::fail("write", "nothing was read; read at least one symbol first");
  std::string text;
  while (static_cast<std::int64_t>(text.size()) < length) {
    const Tensor drawn = tapeloop::nn::sample(logits_, random_, options_);
    const char symbol = vocabulary_.symbol(static_cast<std::int64_t>(drawn.item()));
    if (symbol == stop) break;
    text.push_back(symbol);
    read({&symbol, 1});
  }
  return text;
}

}  // namespace char_lm
