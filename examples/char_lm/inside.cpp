// SPDX-License-Identifier: MIT
// Each function runs the model once: on a tape that keeps state gradients, or under a recorder of
// activations.
#include "examples/char_lm/inside.h"

#include <fmt/format.h>

#include <algorithm>

#include "examples/char_lm/generate.h"
#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

constexpr std::int64_t kMostPieces = 64;

Tensor symbols_of(const Vocabulary& vocabulary, std::string_view text) {
  std::vector<std::int64_t> symbols;
  for (const char symbol : text) symbols.push_back(vocabulary.index(symbol));
  return Tensor::from({static_cast<std::int64_t>(symbols.size())}, symbols);
}

}  // namespace

std::vector<nn::GradientCurve> gradients_of_last_loss(const CharLm& model,
                                                      const ModelOptions& options,
                                                      const Vocabulary& vocabulary,
                                                      std::string_view text, std::int64_t steps,
                                                      const std::string& name) {
  const std::int64_t length = static_cast<std::int64_t>(text.size());
  if (length <= steps) {
    tapeloop::fail("gradients",
                   fmt::format("the validation text has {} characters, but {} steps need one more "
                               "than that; lower --gradient-steps or give a longer text",
                               length, steps));
  }
  ModelOptions plain = options;
  plain.dropout = 0;
  tapeloop::Random random(0);
  const CharLm same(vocabulary.size(), plain, random);
  nn::load_state_dict(same, nn::state_dict(model));

  const std::int64_t pieces = std::clamp<std::int64_t>(length / (steps + 1), 1, kMostPieces);
  const Tensor symbols = symbols_of(vocabulary, text);
  const Tensor x = Tensor::empty({steps, pieces}, tapeloop::DType::int64);
  const Tensor y = Tensor::empty({pieces}, tapeloop::DType::int64);
  for (std::int64_t n = 0; n < pieces; ++n) {
    const std::int64_t start = pieces == 1 ? 0 : (length - steps - 1) * n / (pieces - 1);
    x.select(1, n).copy_from(symbols.slice(0, start, start + steps));
    y.slice(0, n, n + 1).copy_from(symbols.slice(0, start + steps, start + steps + 1));
  }
  tapeloop::Tape tape({.state_gradients = true});
  Carried zeros;
  const Var logits = select_index(same(x, zeros), 0, steps - 1);
  tape.backward(cross_entropy(logits, y));
  std::vector<nn::GradientCurve> curves;
  for (const tapeloop::StateGradient& row : tape.state_gradients()) {
    curves.push_back({name, options.layers > 1 ? row.scope : "", row.norms});
  }
  return curves;
}

std::string neurons_over_text(const CharLm& model, const Vocabulary& vocabulary,
                              std::string_view text, const std::string& title, bool picture) {
  check_prompt(vocabulary, text, "--activations-text");
  if (picture && static_cast<std::int64_t>(text.size()) > nn::kMostPictureSteps) {
    tapeloop::fail("--activations",
                   fmt::format("the text has {} symbols, a picture shows at most {}; shorten "
                               "--activations-text, or name a FILE.html",
                               text.size(), nn::kMostPictureSteps));
  }
  const Tensor symbols = symbols_of(vocabulary, text);
  nn::RecordActivations record;
  Carried zeros;
  model(symbols.reshape({symbols.dim(0), 1}), zeros);
  std::vector<std::string> bytes;
  for (const char symbol : text) bytes.emplace_back(1, symbol);
  const std::vector<nn::Activation> all = record.all();
  if (!picture) {
    try {
      return nn::activation_page(all, bytes, {.title = title});
    } catch (const tapeloop::Error& error) {
      tapeloop::fail("--activations", common::without_name(error, "activation_page"));
    }
  }
  const auto state =
      std::find_if(all.rbegin(), all.rend(), [](const nn::Activation& a) { return a.state; });
  const std::string part = state->name == "c" ? "cell state c" : "hidden state " + state->name;
  return nn::activation_picture(*state, bytes, {.title = title + ": " + part});
}

}  // namespace char_lm
