// SPDX-License-Identifier: MIT
// translation: an encoder and a decoder with attention learn to write numbers as English words:
// "342" -> "three hundred forty-two". One file, the library alone: a start for a program of your
// own. examples/seq2seq is the larger one. Runs in some ten seconds on one core.
// Expect the last line: "it translates numbers that it never saw"
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tapeloop/tapeloop.h"

using namespace tapeloop;

std::string in_words(int n) {
  static const std::vector<std::string> kSmall = {
      "zero",     "one",     "two",     "three",     "four",     "five",    "six",
      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const std::vector<std::string> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                                 "fifty", "sixty", "seventy", "eighty", "ninety"};
  const auto u = static_cast<std::size_t>(n);
  if (n < 20) return kSmall[u];
  if (n < 100) return kTens[u / 10] + (n % 10 == 0 ? "" : "-" + kSmall[u % 10]);
  return kSmall[u / 100] + " hundred" + (n % 100 == 0 ? "" : " " + in_words(n % 100));
}

// Symbols are characters: 0 is padding, then the start, the end, and what the texts consist of.
constexpr std::int64_t kPad = 0, kStart = 1, kEnd = 2, kSymbols = 48;
std::int64_t symbol_of(char c) {
  if (c >= '0' && c <= '9') return 3 + c - '0';
  return c == ' ' ? 13 : c == '-' ? 14 : 15 + c - 'a';
}
std::vector<std::int64_t> symbols_of(const std::string& text) {
  std::vector<std::int64_t> symbols;
  for (const char c : text) symbols.push_back(symbol_of(c));
  return symbols;
}

// N texts as columns, padded to the longest.
struct Texts {
  Tensor symbols;  // [T, N]
  std::vector<std::int64_t> lengths;
};
Texts together(const std::vector<std::vector<std::int64_t>>& texts) {
  std::size_t longest = 0;
  for (const auto& text : texts) longest = std::max(longest, text.size());
  Texts result;
  std::vector<std::int64_t> all(longest * texts.size(), kPad);
  for (std::size_t n = 0; n < texts.size(); ++n) {
    for (std::size_t t = 0; t < texts[n].size(); ++t) all[t * texts.size() + n] = texts[n][t];
    result.lengths.push_back(static_cast<std::int64_t>(texts[n].size()));
  }
  result.symbols = Tensor::from(
      {static_cast<std::int64_t>(longest), static_cast<std::int64_t>(texts.size())}, all);
  return result;
}

struct Batch {
  Texts source, fed, wanted;  // digits; the start and the words; the words and the end
};
Batch batch_of(const std::vector<int>& numbers) {
  std::vector<std::vector<std::int64_t>> source, fed, wanted;
  for (const int number : numbers) {
    source.push_back(symbols_of(std::to_string(number)));
    const std::vector<std::int64_t> words = symbols_of(in_words(number));
    fed.push_back(words);
    fed.back().insert(fed.back().begin(), kStart);
    wanted.push_back(words);
    wanted.back().push_back(kEnd);
  }
  return {together(source), together(fed), together(wanted)};
}

int main() {
  Random random(1);
  std::vector<int> known, unseen;
  for (int n = 0; n < 1000; ++n) (random.below(10) == 0 ? unseen : known).push_back(n);
  const nn::Seq2Seq<nn::GruCell> model(
      {.source_vocabulary = kSymbols,
       .encoder = {.input = 16, .hidden = 32, .bidirectional = true},
       .decoder = {.vocabulary = kSymbols, .embedding = 16, .cell = {.hidden = 48}}},
      random);
  optim::Adam adam(nn::parameters(model), {.learning_rate = 5e-3});
  for (int update = 1; update <= 600; ++update) {
    std::vector<int> drawn;
    for (int i = 0; i < 32; ++i) drawn.push_back(known[random.below(known.size())]);
    const Batch batch = batch_of(drawn);
    Tape tape;
    const Var logits =
        model(model.encode(batch.source.symbols, batch.source.lengths), batch.fed.symbols);
    const Var loss = cross_entropy(logits, batch.wanted.symbols, {.ignore_index = kPad});
    tape.backward(loss);
    optim::clip_grad_norm(adam.parameters(), 1.0);
    adam.step();
    adam.zero_grad();
    if (update % 100 == 0) fmt::print("update {}   {:.4f} nats per letter\n", update, loss.item());
  }

  const Batch test = batch_of(unseen);
  nn::DecoderSearch search(model.decoder, model.encode(test.source.symbols, test.source.lengths));
  nn::DecodeOptions options;
  options.start = kStart;
  options.end = kEnd;
  const std::vector<nn::Hypothesis> found = nn::decode_greedily(search, options);
  std::size_t right = 0;
  for (std::size_t i = 0; i < unseen.size(); ++i) {
    right += found[i].symbols == symbols_of(in_words(unseen[i])) ? 1 : 0;
  }
  fmt::print("right: {} of {} numbers that were never seen\n", right, unseen.size());
  fmt::print("{}\n", 10 * right >= 9 * unseen.size() ? "it translates numbers that it never saw"
                                                     : "it does not translate well yet");
}
