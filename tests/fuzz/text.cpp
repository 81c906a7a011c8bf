// SPDX-License-Identifier: MIT
// Texts for the character model: divides, numbers, shows and reads them in streams; and
// vocabularies as checkpoints store them.
#include <algorithm>
#include <cstdint>

#include "examples/char_lm/corpus.h"
#include "examples/seq2seq/data/vocabulary.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

using char_lm::Corpus;

constexpr std::int64_t kMostUpdates = 64;

void check_vocabulary(std::string_view text) {
  const char_lm::Vocabulary vocabulary(text);
  for (char symbol : text) {
    const std::int64_t index = vocabulary.index(symbol);
    expect(index >= 0 && index < vocabulary.size() && vocabulary.symbol(index) == symbol,
           "every symbol of the text has a place");
  }
  const std::string escaped = vocabulary.escaped();
  expect(char_lm::Vocabulary::unescape(escaped).escaped() == escaped,
         "a vocabulary is written and read again");
}

// Reads the bytes as the vocabulary in a checkpoint.
void try_vocabularies(std::string_view bytes) {
  const std::string text(bytes);
  try {
    const std::string escaped = char_lm::Vocabulary::unescape(text).escaped();
    expect(char_lm::Vocabulary::unescape(escaped).escaped() == escaped,
           "a vocabulary that was read is written and read again");
  } catch (const Error& error) {
    expect_message(error, "vocabulary: ");
  }
  try {
    const auto vocabulary = seq2seq::Vocabulary::from_text(text);
    expect(seq2seq::Vocabulary::from_text(vocabulary.to_text()) == vocabulary,
           "a vocabulary of units is written and read again");
  } catch (const Error& error) {
    expect_message(error, "vocabulary: line ");
  }
}

void check_streams(const Corpus& corpus, std::int64_t streams, std::int64_t steps) {
  const char_lm::Vocabulary vocabulary(corpus.train + corpus.validation);
  try {
    char_lm::Streams all(corpus, vocabulary, streams, steps, Random(5));
    const std::int64_t updates = 2 * all.updates_per_pass();
    const std::int64_t stride = 1 + updates / kMostUpdates;
    for (std::int64_t update = 0; update < updates; update += stride) {
      const char_lm::Batch batch = all.at(update);
      expect(batch.fresh == (update % all.updates_per_pass() == 0), "a pass begins anew");
      for (const Tensor& part : {batch.x, batch.y}) {
        const auto ids = part.to_vector<std::int64_t>();
        const auto [low, high] = std::minmax_element(ids.begin(), ids.end());
        expect(*low >= 0 && *high < vocabulary.size(), "streams hold symbols of the text");
      }
    }
  } catch (const Error& error) {
    expect_message(error, "text: ");
  }
}

void check_pieces(std::string_view text) {
  constexpr std::size_t kMost = 16;
  const std::string_view beginning = char_lm::beginning_of(text, kMost);
  expect(beginning.size() <= kMost, "a beginning is no longer than was asked for");
  if (!is_utf8(text)) return;
  expect(is_utf8(beginning), "the beginning of UTF-8 is UTF-8");
  for (std::size_t cut = text.size() - std::min(text.size(), kMost); cut <= text.size(); ++cut) {
    const std::string_view whole = char_lm::without_cut_end(text.substr(0, cut));
    expect(is_utf8(whole) && cut - whole.size() < 4, "a cut character of UTF-8 is left out");
  }
}

}  // namespace

void try_text(std::string_view bytes) {
  try_vocabularies(bytes);
  const std::string text(bytes.substr(std::min<std::size_t>(bytes.size(), 2)));
  const auto setting = [&](std::size_t i) {
    return bytes.size() > i ? 1 + static_cast<unsigned char>(bytes[i]) % 16 : 1;
  };
  const Corpus halves = char_lm::split_text(text);
  expect(halves.train + halves.validation == text, "both parts are the text");
  const Corpus lists = char_lm::split_lines(text);
  expect(lists.train.size() + lists.validation.size() <= text.size() + 1, "no line is made up");
  expect(char_lm::lines_of(lists.train).size() + char_lm::lines_of(lists.validation).size() ==
             char_lm::lines_of(text).size(),
         "every line is in one part");
  check_vocabulary(text);
  check_pieces(text);
  for (const Corpus& corpus : {halves, lists}) check_streams(corpus, setting(0), setting(1));
  memory::release_cached();
}

std::vector<std::string> text_seeds() {
  std::string names;
  for (const char* name : {"Allosaurus", "Baryonyx", "Camarasaurus", "Diplodocus", "Edmontosaurus",
                           "Fukuiraptor", "Gallimimus", "Hadrosaurus", "Iguanodon", "Jobaria"}) {
    names.append(name).append("\n");
  }
  return {
      "\1\2" + names + names,
      "\1\1To be, or not to be: that is the question.\r\nGr\xC3\xBC\xC3\x9F"
      "e, \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80!\n",
      "abc\\x0a\\xff",
      "the\nquick\nfox\n",
  };
}

}  // namespace tapeloop::fuzz
