// SPDX-License-Identifier: MIT
// The loop of sampling: each symbol drawn is the next input.
#include "examples/char_lm/generate.h"

#include <fmt/format.h>

#include <vector>

#include "autograd/error.h"

namespace char_lm {

using tapeloop::Tensor;

void check_prompt(const Vocabulary& vocabulary, std::string_view prompt) {
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    if (vocabulary.index(prompt[i]) >= 0) continue;
    tapeloop::fail("--prompt", fmt::format("the text never had '{}', byte {} of the prompt; it has: {}",
                                           Vocabulary(prompt.substr(i, 1)).escaped(), i + 1, vocabulary.escaped()));
  }
}

std::string generate(const CharLm& model, const Vocabulary& vocabulary, std::string_view prompt, std::int64_t length,
                     std::optional<char> stop, const tapeloop::nn::SampleOptions& options,
                     tapeloop::Random& random) {
  check_prompt(vocabulary, prompt);
  std::vector<std::int64_t> tokens;
  for (char symbol : prompt) tokens.push_back(vocabulary.index(symbol));
  std::string text;
  Carried carried;
  while (static_cast<std::int64_t>(text.size()) < length) {
    const std::int64_t steps = static_cast<std::int64_t>(tokens.size());
    const Tensor logits = model(Tensor::from({steps, 1}, tokens), carried).value();
    const Tensor drawn = tapeloop::nn::sample(logits.select(0, steps - 1), random, options);
    tokens.assign(1, static_cast<std::int64_t>(drawn.item()));
    const char symbol = vocabulary.symbol(tokens[0]);
    if (symbol == stop) break;
    text.push_back(symbol);
  }
  return text;
}

}  // namespace char_lm
