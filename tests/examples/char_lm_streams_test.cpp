// SPDX-License-Identifier: MIT
// The streams and lists that examples/char_lm trains on, and texts that it refuses.
#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "examples/char_lm/training.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;
using namespace char_lm;
using tapeloop::DType;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;
using tapeloop::test::Folder;
using tapeloop::test::put;

using tapeloop::test::contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of,
    tapeloop::test::same_bits;

namespace {

std::string column(const Tensor& symbols, std::int64_t n, const Vocabulary& vocabulary) {
  std::string text;
  for (std::int64_t t = 0; t < symbols.dim(0); ++t) {
    text.push_back(vocabulary.symbol(static_cast<std::int64_t>(symbols.at({t, n}))));
  }
  return text;
}

}  // namespace

TEST_CASE("streams are contiguous pieces, read in order, and start over before they run out") {
  const Corpus corpus{"abcdefghijklmnopqrstuvw",
                      "xyz"};  // 23 symbols: two streams of 11, one left out
  const Vocabulary vocabulary(corpus.train + corpus.validation);
  Streams streams(corpus, vocabulary, 2, 3, Random(1));
  // Positions 0, 3, 6: at 9 the third symbol has no target.
  CHECK(streams.updates_per_pass() == 3);
  const char* first[] = {"abc", "def", "ghi"};
  const char* second[] = {"lmn", "opq", "rst"};
  const char* targets[] = {"bcd", "efg", "hij"};
  for (int update = 0; update < 7; ++update) {
    CAPTURE(update);
    const Batch batch = streams.at(update);
    CHECK(batch.fresh == (update % 3 == 0));
    CHECK(column(batch.x, 0, vocabulary) == first[update % 3]);
    CHECK(column(batch.x, 1, vocabulary) == second[update % 3]);
    CHECK(column(batch.y, 0, vocabulary) == targets[update % 3]);
  }
}

TEST_CASE("streams end exactly where the last target is the last symbol") {
  const Corpus corpus{"abcdefg", "xyz"};
  const Vocabulary vocabulary("abcdefgxyz");
  Streams streams(corpus, vocabulary, 1, 3, Random(1));
  CHECK(streams.updates_per_pass() == 2);
  CHECK(column(streams.at(1).y, 0, vocabulary) == "efg");
}

TEST_CASE("a list is read in another order in each pass, the same for the same seed") {
  Corpus corpus{"", "z\nz\n", true};
  for (char c = 'a'; c <= 'x'; ++c) corpus.train += std::string(1, c) + "\n";
  const Vocabulary vocabulary(corpus.train + corpus.validation);
  Streams streams(corpus, vocabulary, 1, 47, Random(1));
  Streams again(corpus, vocabulary, 1, 47, Random(1));
  REQUIRE(streams.updates_per_pass() == 1);
  std::set<std::string> orders;
  for (int pass = 0; pass < 5; ++pass) {
    const std::string text = column(streams.at(pass).x, 0, vocabulary);
    std::vector<std::string> lines = lines_of(text);
    CHECK(std::set<std::string>(lines.begin(), lines.end()).size() == 24);
    orders.insert(text);
  }
  CHECK(orders.size() == 5);
  CHECK(column(again.at(3).x, 0, vocabulary) == column(streams.at(3).x, 0, vocabulary));
}

TEST_CASE("texts that are too short, absent or empty say so") {
  const Vocabulary vocabulary("abc");
  CHECK(contains(message_of<tapeloop::Error>([&] {
                   Streams({"abcabc", "ab"}, vocabulary, 2, 3, Random());
                 }),
                 "need 8 and 2"));
  CHECK(contains(message_of<tapeloop::Error>([&] {
                   Streams({"abcabcab", "a"}, vocabulary, 2, 3, Random());
                 }),
                 "1 to validate"));
  CHECK(message_of<tapeloop::Error>([&] {
          Streams({"abcabcab", "ab"}, vocabulary, 2, 3, Random());
        }) == kNothingThrown);
  const Folder folder;
  put(folder.file("empty"), "");
  CHECK(contains(message_of<tapeloop::Error>([&] { read_text(folder.file("empty")); }),
                 "the file is empty"));
  CHECK(contains(message_of<tapeloop::Error>([&] { read_text((folder.path / "none").string()); }),
                 "none"));
  CHECK(message_of<tapeloop::Error>([&] { read_text(folder.path.string()); }) != kNothingThrown);
  const std::string text("a\0b", 3);
  put(folder.file("text"), text);
  CHECK(read_text(folder.file("text")) == text);
}
