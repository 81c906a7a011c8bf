// SPDX-License-Identifier: MIT
// examples/seq2seq without a model: splits of pairs, vocabularies, batches.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "examples/seq2seq/data/batches.h"
#include "examples/seq2seq/data/pairs.h"
#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/data/vocabulary.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/messages.h"

using namespace seq2seq;
using tapeloop::Random;
using tapeloop::Tensor;

using tapeloop::test::contains, tapeloop::test::message_of;

namespace {

using Units = std::vector<std::string>;

// Sources of 1 to 12 symbols and targets of 0 to 8. The symbols identify the example.
std::vector<Example> some_examples(std::int64_t count) {
  std::vector<Example> examples;
  Random random(5);
  for (std::int64_t i = 0; i < count; ++i) {
    Example example;
    example.source.assign(static_cast<std::size_t>(1 + random.below(12)), 4 + i);
    example.target.assign(static_cast<std::size_t>(random.below(9)), 4 + i);
    examples.push_back(example);
  }
  return examples;
}

// The examples of some_examples() in a batch.
std::vector<std::int64_t> places_of(const Batch& batch) {
  std::vector<std::int64_t> places = batch.source.select(0, 0).to_vector<std::int64_t>();
  for (std::int64_t& place : places) place -= 4;
  return places;
}

}  // namespace

TEST_CASE("the split depends on a source alone, which then stands in one part") {
  std::vector<Pair> pairs;
  for (int i = 0; i < 4000; ++i) {
    pairs.push_back({"source " + std::to_string(i / 2), "target " + std::to_string(i)});
  }
  const Split split = split_by_source(pairs, 50, 100);
  CHECK(split.train.size() + split.validation.size() + split.test.size() == 4000);
  CHECK(split.validation.size() > 120);
  CHECK(split.validation.size() < 280);
  CHECK(split.test.size() > 300);
  CHECK(split.test.size() < 500);
  std::map<std::string, int> parts;
  for (const Pair& pair : split.train) parts[pair.source] |= 1;
  for (const Pair& pair : split.validation) parts[pair.source] |= 2;
  for (const Pair& pair : split.test) parts[pair.source] |= 4;
  for (const auto& [source, part] : parts) CHECK((part == 1 || part == 2 || part == 4));

  std::reverse(pairs.begin(), pairs.end());
  Split other = split_by_source(pairs, 50, 100);
  std::reverse(other.test.begin(), other.test.end());
  CHECK(other.test == split.test);

  // Published values of FNV-1a: "a" af63dc4c8601ec8c, 12638187200555641996 mod 1000 is 996;
  // "foobar" 85944171f73967e8, 9625390261332436968 mod 1000 is 968.
  CHECK(split_by_source({{"a", ""}}, 0, 996).test.empty());
  CHECK(split_by_source({{"a", ""}}, 0, 997).test.size() == 1);
  CHECK(split_by_source({{"foobar", ""}}, 968, 0).validation.empty());
  CHECK(split_by_source({{"foobar", ""}}, 968, 1).validation.size() == 1);
}

TEST_CASE(
    "of three sources and more each part gets one, whatever the hashes say, and never two parts "
    "the same") {
  const auto filled = [](const std::vector<Pair>& pairs) {
    Split split = split_by_source(pairs, 50, 50);
    std::vector<Pair>* const parts[] = {&split.train, &split.validation, &split.test};
    fill_empty_parts(parts, &Pair::source);
    return split;
  };
  const Split before = split_by_source({{"a", "1"}, {"b", "2"}, {"c", "3"}}, 50, 50);
  CHECK((before.train.empty() || before.validation.empty() || before.test.empty()));
  for (int salt = 0; salt < 200; ++salt) {
    CAPTURE(salt);
    const int sources = 3 + salt % 40;
    std::vector<Pair> pairs;
    for (int i = 0; i < 2 * sources; ++i) {
      pairs.push_back(
          {std::to_string(salt) + " " + std::to_string(i % sources), std::to_string(i)});
    }
    const Split split = filled(pairs);
    CHECK(split.train.size() + split.validation.size() + split.test.size() == pairs.size());
    std::map<std::string, int> parts;
    for (const Pair& pair : split.train) parts[pair.source] |= 1;
    for (const Pair& pair : split.validation) parts[pair.source] |= 2;
    for (const Pair& pair : split.test) parts[pair.source] |= 4;
    int seen = 0;
    for (const auto& [source, part] : parts) {
      CHECK((part == 1 || part == 2 || part == 4));
      seen |= part;
    }
    CHECK(seen == 7);
    std::reverse(pairs.begin(), pairs.end());
    Split other = filled(pairs);
    std::reverse(other.test.begin(), other.test.end());
    CHECK(other.test == split.test);  // the order of the file does not matter
  }
  const Split two = filled({{"a", "1"}, {"b", "2"}, {"a", "3"}});
  CHECK((two.train.empty() || two.validation.empty() || two.test.empty()));
  std::vector<Pair> dates = {{"x", "1"}, {"y", "1"}, {"z", "2"}}, none;
  std::vector<Pair>* const parts[] = {&dates, &none};
  CHECK(fill_empty_parts(parts, &Pair::target) == std::vector<std::size_t>{1});
  CHECK(dates.size() + none.size() == 3);
  CHECK(dates[0].target != none[0].target);
}

TEST_CASE("a vocabulary has the most frequent units first, equals by their bytes") {
  const std::vector<Units> texts = {{"b", "a", "c"}, {"c", "a", "d"}, {"c", "你"}};
  const Vocabulary all(texts);
  CHECK(all.size() == 9);
  CHECK(all.encode({"c", "a", "b", "d", "你", "x"}) ==
        std::vector<std::int64_t>{4, 5, 6, 7, 8, kUnknown});
  CHECK(all.decode(std::vector<std::int64_t>{kStart, 8, kPad, 4, kUnknown, kEnd, 4}) ==
        Units{"你", "c", "<unk>"});

  const Vocabulary frequent(texts, {.least_count = 2});
  CHECK(frequent.size() == 6);
  CHECK(frequent.id("b") == kUnknown);
  const Vocabulary small(texts, {.most = 1});
  CHECK(small.size() == 5);
  CHECK(small.id("c") == 4);
  CHECK(small.id("a") == kUnknown);

  CHECK(Vocabulary().size() == 4);
  CHECK(contains(message_of<tapeloop::Error>([&] { all.decode(std::vector<std::int64_t>{9}); }),
                 "symbol 9 is outside [0, 9)"));
  CHECK(contains(message_of<tapeloop::Error>([&] { all.decode(std::vector<std::int64_t>{-1}); }),
                 "symbol -1"));
}

TEST_CASE("a vocabulary survives as text") {
  const std::vector<Units> texts = {{"a", "\\", "n", "你", " ", "\r", "\""}};
  const Vocabulary vocabulary(texts);
  CHECK(Vocabulary::from_text(vocabulary.to_text()) == vocabulary);
  CHECK(Vocabulary::from_text("") == Vocabulary());
  CHECK(contains(message_of<tapeloop::Error>([] { Vocabulary::from_text("a\nb\na\n"); }),
                 "line 3 \"a\" is there twice"));
  CHECK(contains(message_of<tapeloop::Error>([] { Vocabulary::from_text("a\n\n"); }),
                 "line 2 \"\" is empty"));
}

TEST_CASE("a batch is padded, shifted by the start symbol, and ignores what is past an end") {
  const Example a{{7, 8, 9}, {5}}, b{{6}, {10, 11}}, c{{4, 4}, {}};
  const Example* chosen[] = {&a, &b, &c};
  const Batch batch = make_batch(chosen);
  CHECK(batch.source.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{7, 6, 4, 8, 0, 4, 9, 0, 0});
  CHECK(batch.source_lengths == std::vector<std::int64_t>{3, 1, 2});
  CHECK(batch.inputs.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{1, 1, 1, 5, 10, 0, 0, 11, 0});
  CHECK(batch.targets.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{5, 10, 2, 2, 11, kIgnored, kIgnored, 2, kIgnored});
  CHECK(batch.target_lengths == std::vector<std::int64_t>{2, 3, 1});
  CHECK(batch.symbols == 6);
  CHECK(contains(message_of<tapeloop::Error>([] { make_batch({}); }), "no examples"));
  const Example nothing{{}, {5}};
  const Example* empty[] = {&nothing};
  CHECK(contains(message_of<tapeloop::Error>([&] { make_batch(empty); }),
                 "source of an example is empty"));
}

TEST_CASE("a pass has every example once, and the next pass has another order") {
  for (const std::int64_t count : {1, 31, 32, 33, 1000, 3300}) {
    CAPTURE(count);
    const std::vector<Example> examples = some_examples(count);
    Batches batches(examples, 32, Random(3));
    REQUIRE(batches.per_pass() == (count + 31) / 32);
    std::vector<std::int64_t> passes[2];
    for (std::vector<std::int64_t>& seen : passes) {
      std::int64_t smaller = 0;
      for (std::int64_t i = 0; i < batches.per_pass(); ++i) {
        const std::vector<std::int64_t> places = places_of(batches.next());
        smaller += places.size() < 32 ? 1 : 0;
        seen.insert(seen.end(), places.begin(), places.end());
      }
      CHECK(smaller == (count % 32 == 0 ? 0 : 1));
    }
    if (count > 64) CHECK(passes[0] != passes[1]);  // a single batch is sorted by length
    for (std::vector<std::int64_t>& seen : passes) {
      std::sort(seen.begin(), seen.end());
      REQUIRE(static_cast<std::int64_t>(seen.size()) == count);
      for (std::int64_t i = 0; i < count; ++i) CHECK(seen[static_cast<std::size_t>(i)] == i);
    }
  }
}

TEST_CASE("batches hold similar lengths, and short ones do not come first") {
  const std::vector<Example> examples = some_examples(3200);
  Batches batches(examples, 32, Random(3));
  std::int64_t symbols = 0, room = 0, rises = 0, before = 0;
  for (std::int64_t i = 0; i < batches.per_pass(); ++i) {
    const Batch batch = batches.next();
    for (std::int64_t length : batch.source_lengths) symbols += length;
    room += batch.source.numel();
    rises += batch.source.dim(0) > before ? 1 : 0;
    before = batch.source.dim(0);
  }
  CHECK(symbols * 100 > room * 95);  // in random batches nearly half of it is padding
  CHECK(rises > 25);
  CHECK(rises < 65);
}

TEST_CASE("batches go on where they were saved, and tell other data from their own") {
  const std::vector<Example> examples = some_examples(200);
  Batches batches(examples, 32, Random(3));
  for (const int before : {0, 6, 7, 10}) {  // 7 batches are a pass
    Batches begun(examples, 32, Random(3));
    for (int i = 0; i < before; ++i) begun.next();
    const tapeloop::StateDict saved = begun.state_dict();
    Batches resumed(examples, 32, Random(3));
    resumed.next();
    resumed.load_state_dict(saved);
    for (int i = 0; i < 16; ++i) CHECK(places_of(resumed.next()) == places_of(begun.next()));
  }
  // If a vector moves with the object that owns it, its elements stay at their addresses.
  std::vector<Example> first = some_examples(200);
  Batches of_moved(first, 32, Random(3));
  const std::vector<Example> second = std::move(first);
  CHECK(places_of(of_moved.next()) == places_of(Batches(examples, 32, Random(3)).next()));

  const tapeloop::StateDict saved = batches.state_dict();
  const std::vector<Example> fewer = some_examples(199);
  Batches other(fewer, 32, Random(3));
  CHECK(contains(message_of<tapeloop::Error>([&] { other.load_state_dict(saved); }),
                 "the saved state is that of 200 examples, pass 0, next batch 0; this run has 199 "
                 "examples in 7 batches"));
  CHECK(contains(message_of<tapeloop::Error>([&] { other.load_state_dict({}); }),
                 "the saved state is that of -1 examples"));
  CHECK(contains(message_of<tapeloop::Error>([&] { Batches(fewer, 0, Random(3)); }),
                 "199 examples in batches of 0"));
  CHECK(contains(message_of<tapeloop::Error>([&] { Batches({}, 4, Random(3)); }),
                 "0 examples in batches of 4"));
}

TEST_CASE("an unknown symbol is replaced by the source's unit that was looked at most") {
  const std::vector<Units> texts = {{"a", "b"}};
  const Vocabulary vocabulary(texts);
  const std::vector<std::int64_t> ids = {kUnknown, 4, kUnknown};
  // The fourth column is padding for a longer sentence in the batch, the fourth row the end.
  const Tensor weights = Tensor::from<float>(
      {4, 4}, {0.1f, 0.7f, 0.2f, 0.0f, 0.8f, 0.1f, 0.1f, 0.0f, 0.4f, 0.2f, 0.4f, 0.9f, 1, 0, 0, 0});
  const Units source = {"I", "Zoe", "42"};
  CHECK(copied_through(ids, weights, source, vocabulary) == Units{"Zoe", "a", "I"});
  CHECK(copied_through(ids, Tensor(), source, vocabulary) == Units{"<unk>", "a", "<unk>"});
  CHECK(contains(message_of<tapeloop::Error>([&] {
                   copied_through(ids, weights, {"1", "2", "3", "4", "5"}, vocabulary);
                 }),
                 "expected at least [3, 5]"));
}
