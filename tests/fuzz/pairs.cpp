// SPDX-License-Identifier: MIT
// Pairs of sentences: reads them, cuts them into units and joins these, numbers, divides and
// batches them.
#include "examples/seq2seq/data/pairs.h"

#include <algorithm>
#include <array>

#include "examples/seq2seq/data/batches.h"
#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/data/vocabulary.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

using namespace seq2seq;

constexpr const char* kFile = "input.tsv";

// Writes a sentence as spreadsheet programs do, so that its own quotation marks stay.
std::string quoted(const std::string& sentence) {
  std::string text = "\"";
  for (char c : sentence) text.append(c == '"' ? 2 : 1, c);
  return text + '"';
}

void check_sentence(const std::string& sentence) {
  expect(!words(sentence).empty(), "a sentence has a word");
  expect(sentence.find_first_of(std::string_view("\t\n\0", 3)) == std::string::npos,
         "a sentence has no tab, no line's end and no zero byte");
  expect(is_utf8(sentence), "a sentence is UTF-8");
  expect(composed(sentence) == sentence, "a sentence is composed");
  expect(display_width(sentence) >= 0, "a sentence has a width");
}

void check_vocabulary(const std::vector<Pair>& pairs, Unit unit) {
  std::vector<std::vector<std::string>> texts;
  for (const Pair& pair : pairs) {
    for (const std::string& sentence : {pair.source, pair.target}) {
      texts.push_back(units_of(sentence, unit));
      expect(units_of(join(texts.back(), unit), unit) == texts.back(),
             "units that are joined are cut into the same units");
    }
  }
  const Vocabulary vocabulary(texts);
  expect(Vocabulary::from_text(vocabulary.to_text()) == vocabulary,
         "a vocabulary is written and read again");
  std::vector<Example> examples;
  for (const auto& units : texts) {
    const std::vector<std::int64_t> ids = vocabulary.encode(units);
    expect(vocabulary.decode(ids) == units, "ids stand for their units");
    examples.push_back({ids, ids});
  }
  Batches batches(examples, 3, Random(1));
  std::int64_t symbols = 0;
  const std::int64_t count = batches.per_pass();
  for (std::int64_t i = 0; i < count; ++i) symbols += batches.next().symbols;
  std::int64_t expected = 0;
  for (const Example& example : examples) {
    expected += static_cast<std::int64_t>(example.target.size()) + 1;
  }
  expect(symbols == expected, "a pass reads every symbol once");
}

void check_split(const std::vector<Pair>& pairs) {
  Split split = split_by_source(pairs, 50, 50);
  const std::array<std::vector<Pair>*, 3> parts = {&split.train, &split.validation, &split.test};
  fill_empty_parts(parts, &Pair::source);
  std::vector<Pair> all;
  for (const std::vector<Pair>* part : parts) all.insert(all.end(), part->begin(), part->end());
  const auto earlier = [](const Pair& a, const Pair& b) {
    return std::pair(a.source, a.target) < std::pair(b.source, b.target);
  };
  std::vector<Pair> sorted = pairs;
  std::sort(all.begin(), all.end(), earlier);
  std::sort(sorted.begin(), sorted.end(), earlier);
  expect(all == sorted, "every pair is in one part");
}

}  // namespace

void try_pairs(std::string_view bytes) {
  PairFile file;
  try {
    file = parse_pairs(bytes, kFile);
  } catch (const Error& error) {
    expect(std::string_view(error.what()).find(kFile) != std::string_view::npos,
           "the message names the file");
    expect(is_utf8(error.what()), "the message is UTF-8");
    return;
  }
  const auto read = static_cast<std::int64_t>(file.pairs.size()) + file.empty_lines + file.repeated;
  expect(read <= static_cast<std::int64_t>(bytes.size()), "every line takes bytes of the file");
  std::string text;
  for (const Pair& pair : file.pairs) {
    check_sentence(pair.source);
    check_sentence(pair.target);
    text.append(quoted(pair.source)).append("\t").append(quoted(pair.target)).append("\n");
  }
  const PairFile again = parse_pairs(text, kFile);
  expect(again.pairs == file.pairs && again.repeated == 0, "pairs are written and read again");
  check_split(file.pairs);
  check_vocabulary(file.pairs, Unit::word);
  check_vocabulary(file.pairs, Unit::character);
  memory::release_cached();
}

std::vector<std::string> pairs_seeds() {
  return {
      "How are you?\t你好吗？\nIt's 3.50.\t三块五。\n",
      "\xef\xbb\xbfone\tun\tnote\r\n\r\ntwo\tdeux\r\none\tun\r\n",
      "cafe\xcc\x81 (\"closed\")\tcaf\xc3\xa9 \xe2\x80\x9c"
      "ferm\xc3\xa9\xe2\x80\x9d 12:30\n \xe3\x80\x80x y\t1,000.5 z",
  };
}

}  // namespace tapeloop::fuzz
