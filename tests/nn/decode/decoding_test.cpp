// SPDX-License-Identifier: MIT
// Greedy decoding, sampling and beam search against exhaustive search, on a model with made-up
// probabilities.
// Search over a real decoder is tested by seq2seq_test.cpp.
#include "tapeloop/nn/decode/decoding.h"

#include <map>

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

constexpr std::int64_t kStart = 0, kEnd = 1;

// A model in which every prefix has its own distribution, made from its symbols, and attention
// weights.
class HashModel final : public StepDecoder {
 public:
  HashModel(std::vector<std::uint64_t> seeds, std::int64_t classes, double sharpness = 1.5,
            std::vector<std::int64_t> lengths = {})
      : classes_(classes),
        sharpness_(sharpness),
        lengths_(std::move(lengths)),
        sentences_(static_cast<std::int64_t>(seeds.size())),
        seeds_(std::move(seeds)) {}
  void restart() override { prefixes_ = seeds_; }
  std::int64_t sentences() const override { return sentences_; }
  std::span<const std::int64_t> source_lengths() const override { return lengths_; }
  static std::uint64_t extend(std::uint64_t prefix, std::int64_t symbol) {
    return philox(prefix, static_cast<std::uint64_t>(symbol), 0).word[0] + (prefix << 32);
  }
  std::vector<double> logits(std::uint64_t prefix) const {
    std::vector<double> row;
    for (std::int64_t c = 0; c < classes_; ++c) {
      row.push_back(sharpness_ * normal_at(prefix, static_cast<std::uint64_t>(c)));
    }
    return row;
  }
  static std::vector<double> weights(std::uint64_t prefix) {
    std::vector<double> row;
    double sum = 0;
    for (std::uint64_t s = 0; s < kSteps; ++s) row.push_back(uniform_at(prefix, 100 + s) + 0.01);
    for (double w : row) sum += w;
    for (double& w : row) w /= sum;
    return row;
  }
  Result step(const Tensor& symbols) override {
    ++steps;
    std::vector<double> all, seen;
    for (std::size_t i = 0; i < prefixes_.size(); ++i) {
      prefixes_[i] = extend(prefixes_[i],
                            static_cast<std::int64_t>(symbols.at({static_cast<std::int64_t>(i)})));
      for (double x : logits(prefixes_[i])) all.push_back(x);
      for (double x : weights(prefixes_[i])) seen.push_back(x);
    }
    const auto rows = static_cast<std::int64_t>(prefixes_.size());
    return {Tensor::from({rows, classes_}, all),
            Tensor::from({rows, static_cast<std::int64_t>(kSteps)}, seen)};
  }
  void select_rows(const Tensor& rows) override {
    std::vector<std::uint64_t> next;
    for (std::int64_t row : rows.to_vector<std::int64_t>()) {
      CHECK(row % sentences_ == static_cast<std::int64_t>(next.size()) % sentences_);
      next.push_back(prefixes_.at(static_cast<std::size_t>(row)));
    }
    prefixes_ = next;
  }
  static constexpr std::uint64_t kSteps = 4;
  int steps = 0;

 private:
  std::int64_t classes_;
  double sharpness_;
  std::vector<std::int64_t> lengths_;
  std::int64_t sentences_;
  std::vector<std::uint64_t> seeds_, prefixes_;
};

// Every sequence that ends, or has the greatest length, with its score from the papers' formulas;
// the best first.
struct Exhaustive {
  const HashModel& model;
  BeamOptions o;
  std::int64_t source_length;
  std::vector<Hypothesis> found = {};

  void go(std::uint64_t prefix, const std::vector<std::int64_t>& symbols, double log_p,
          std::vector<double> seen, std::int64_t length) {
    const std::vector<double> logits = model.logits(prefix), weights = HashModel::weights(prefix);
    for (std::size_t s = 0; s < seen.size(); ++s) seen[s] += weights[s];
    double total = 0;
    for (double x : logits) total += std::exp(x);
    for (std::size_t c = 0; c < logits.size(); ++c) {
      const auto symbol = static_cast<std::int64_t>(c);
      const double next = log_p + logits[c] - std::log(total);
      std::vector<std::int64_t> longer = symbols;
      if (symbol != kEnd) longer.push_back(symbol);
      if (symbol != kEnd && length + 1 < o.max_length) {
        go(HashModel::extend(prefix, symbol), longer, next, seen, length + 1);
        continue;
      }
      double score =
          next / std::pow((5.0 + static_cast<double>(length + 1)) / 6.0, o.length_penalty);
      for (std::int64_t s = 0; s < source_length; ++s)
        score += o.coverage_penalty * std::log(std::min(seen[static_cast<std::size_t>(s)], 1.0));
      found.push_back({longer, next, score, symbol == kEnd, {}});
    }
  }
  static std::vector<Hypothesis> search(std::uint64_t seed, std::int64_t classes,
                                        const BeamOptions& o, std::int64_t source_length) {
    const HashModel model({seed}, classes);
    Exhaustive all{model, o, source_length};
    all.go(HashModel::extend(seed, kStart), {}, 0, std::vector<double>(HashModel::kSteps), 0);
    std::sort(all.found.begin(), all.found.end(),
              [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    return all.found;
  }
};

void check_same(const Hypothesis& a, const Hypothesis& b) {
  CHECK(a.symbols == b.symbols);
  CHECK(a.ended == b.ended);
  CHECK(a.log_probability == doctest::Approx(b.log_probability).epsilon(1e-12));
  CHECK(a.score == doctest::Approx(b.score).epsilon(1e-12));
}

BeamOptions beam(std::int64_t beams, std::int64_t n_best = 1, std::int64_t max_length = 4) {
  BeamOptions o;
  o.start = kStart;
  o.end = kEnd;
  o.max_length = max_length;
  o.beams = beams;
  o.n_best = n_best;
  return o;
}

TEST_CASE("a beam as wide as the space finds what exhaustive search finds, in its order") {
  int with_shorter = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    for (const double alpha : {0.0, 0.7, 1.5, -0.5}) {
      for (const double beta : {0.0, 0.4}) {
        BeamOptions o = beam(200, 10);  // 3 + 9 + 27 prefixes, 81 sequences of length 4 at most
        o.length_penalty = alpha;
        o.coverage_penalty = beta;
        const std::vector<Hypothesis> all = Exhaustive::search(seed, 4, o, 3);
        HashModel model({seed}, 4, 1.5, {3});
        const std::vector<Hypothesis> found = beam_search(model, o)[0];
        REQUIRE(found.size() == 10);
        for (std::size_t i = 0; i < found.size(); ++i) check_same(found[i], all[i]);
        with_shorter += found[0].ended && found[0].symbols.size() < 3 ? 1 : 0;
      }
    }
  }
  CHECK(with_shorter > 5);  // not all cases are cut off
}

TEST_CASE("a beam of width 1 is greedy decoding") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    BeamOptions o = beam(1, 1, 9);
    o.length_penalty = 1;
    HashModel one({seed, seed + 100, seed + 200}, 5), two({seed, seed + 100, seed + 200}, 5);
    const auto greedy = decode_greedily(one, o);
    const auto searched = beam_search(two, o);
    for (std::size_t i = 0; i < greedy.size(); ++i) {
      REQUIRE(searched[i].size() == 1);
      CHECK(searched[i][0].symbols == greedy[i].symbols);
      CHECK(searched[i][0].ended == greedy[i].ended);
      CHECK(searched[i][0].log_probability == greedy[i].log_probability);
      CHECK(test::same_bits(searched[i][0].weights, greedy[i].weights));
    }
  }
}

TEST_CASE("sentences searched together are what they are one by one") {
  const std::vector<std::uint64_t> seeds{11, 12, 13, 14, 15, 16, 17};
  for (const std::int64_t beams : {2, 3, 7}) {
    BeamOptions o = beam(beams, 2, 8);
    o.length_penalty = 0.8;
    o.coverage_penalty = 0.2;
    HashModel all(seeds, 6);
    const auto together = beam_search(all, o);
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      HashModel single({seeds[i]}, 6);
      const auto alone = beam_search(single, o)[0];
      REQUIRE(together[i].size() == alone.size());
      for (std::size_t k = 0; k < alone.size(); ++k) {
        CHECK(together[i][k].symbols == alone[k].symbols);
        CHECK(together[i][k].score == alone[k].score);
        CHECK(test::same_bits(together[i][k].weights, alone[k].weights));
      }
    }
  }
}

TEST_CASE("stopping early finds the same and saves steps") {
  int saved = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    for (const double alpha : {0.0, 1.0, -1.0}) {
      BeamOptions o = beam(4, 3, 25);
      o.length_penalty = alpha;
      o.coverage_penalty = seed % 2 == 0 ? 0.3 : 0;
      HashModel early({seed, seed + 1000}, 5), late({seed, seed + 1000}, 5);
      const auto first = beam_search(early, o);
      o.stop_early = false;
      const auto all = beam_search(late, o);
      for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(first[i].size() == all[i].size());
        for (std::size_t k = 0; k < all[i].size(); ++k) {
          CHECK(first[i][k].symbols == all[i][k].symbols);
          CHECK(first[i][k].score == all[i][k].score);
        }
      }
      saved += late.steps - early.steps;
    }
  }
  CHECK(saved > 500);
}

TEST_CASE("hypotheses carry the weights of each of their symbols") {
  HashModel model({5}, 4);
  const std::vector<Hypothesis> found = beam_search(model, beam(3, 3))[0];
  for (const Hypothesis& h : found) {
    const std::int64_t steps = static_cast<std::int64_t>(h.symbols.size()) + (h.ended ? 1 : 0);
    REQUIRE(h.weights.shape() == Shape{steps, 4});
    std::uint64_t prefix = HashModel::extend(5, kStart);
    for (std::int64_t t = 0; t < steps; ++t) {
      CHECK(h.weights.select(0, t).to_vector<double>() == HashModel::weights(prefix));
      if (t < static_cast<std::int64_t>(h.symbols.size()))
        prefix = HashModel::extend(prefix, h.symbols[static_cast<std::size_t>(t)]);
    }
  }
}

TEST_CASE("decoding by sampling draws sentences as often as they are likely") {
  constexpr std::int64_t kDraws = 20000;
  HashModel model(std::vector<std::uint64_t>(kDraws, 3), 3, 0.8);
  Random random(4);
  const auto drawn = decode_by_sampling(model, beam(1, 1, 2), random);
  std::map<std::vector<std::int64_t>, std::pair<int, double>> counts;
  for (const Hypothesis& h : drawn) {
    auto& [count, log_p] = counts[h.symbols];
    ++count;
    log_p = h.log_probability;
  }
  double total = 0;
  for (const auto& [symbols, entry] : counts) {
    const double p = std::exp(entry.second);
    CHECK(std::abs(entry.first / double{kDraws} - p) <= 4 * std::sqrt(p * (1 - p) / kDraws));
    total += entry.first;
  }
  CHECK(total == kDraws);
  CHECK(counts.size() == 7);  // the end; two symbols, each before the end or before one of two
  HashModel cold({3, 4}, 3), greedy({3, 4}, 3);
  const auto coldest = decode_by_sampling(cold, beam(1), random, {.temperature = 0});
  const auto best = decode_greedily(greedy, beam(1));
  for (std::size_t i = 0; i < 2; ++i) CHECK(coldest[i].symbols == best[i].symbols);
}

TEST_CASE("what a model says behind the end of a sentence does not matter") {
  // Sentence 0 ends at once; after an end every class is impossible.
  struct Masking final : StepDecoder {
    std::int64_t sentences() const override { return 2; }
    void restart() override {}
    Result step(const Tensor& symbols) override {
      Tensor logits = Tensor::zeros({symbols.dim(0), 3});
      for (std::int64_t row = 0; row < symbols.dim(0); ++row) {
        const bool ended = symbols.at({row}) == kEnd;
        if (ended) logits.select(0, row).fill(-std::numeric_limits<double>::infinity());
        logits.data<float>()[3 * row + (row % 2 == 0 ? kEnd : 2)] += 5;
      }
      return {logits, {}};
    }
    void select_rows(const Tensor&) override {}
  } model;
  const auto greedy = decode_greedily(model, beam(1));
  CHECK(greedy[0].symbols.empty());
  CHECK(greedy[0].ended);
  CHECK(greedy[1].symbols == std::vector<std::int64_t>{2, 2, 2, 2});
  const auto searched = beam_search(model, beam(1));
  check_same(searched[0][0], greedy[0]);
  check_same(searched[1][0], greedy[1]);
}

TEST_CASE("source lengths that do not fit are refused") {
  HashModel few({1, 2, 3}, 3, 1.5, {4});
  CHECK(test::throws_with("beam_search|1 source lengths for 3 sentences",
                          [&] { beam_search(few, beam(2)); }));
  HashModel long_one({1}, 3, 1.5, {5});
  BeamOptions o = beam(2);
  o.coverage_penalty = 0.2;
  CHECK(test::throws_with("beam_search|source length 5 of sentence 0 is outside 0..4",
                          [&] { beam_search(long_one, o); }));
}

TEST_CASE("wrong use of decoding is named") {
  HashModel model({1}, 3);
  CHECK(test::throws_with("beam_search|beams 0, n_best 1", [&] { beam_search(model, beam(0)); }));
  CHECK(test::throws_with("beam_search|n_best 3|1 <= n_best <= beams",
                          [&] { beam_search(model, beam(2, 3)); }));
  CHECK(test::throws_with("decode|max_length 0", [&] { beam_search(model, beam(2, 1, 0)); }));
  BeamOptions o = beam(2);
  o.end = 3;
  CHECK(test::throws_with("decode|the end symbol 3 is outside the model's 3 classes",
                          [&] { beam_search(model, o); }));
  o = beam(2);
  o.coverage_penalty = -1;
  CHECK(test::throws_with("beam_search|coverage_penalty -1", [&] { beam_search(model, o); }));

  struct Diverged final : StepDecoder {
    bool nan = true;
    std::int64_t sentences() const override { return 2; }
    void restart() override {}
    Result step(const Tensor& symbols) override {
      Tensor logits = Tensor::zeros({symbols.dim(0), 4});
      if (nan) logits.data<float>()[6] = std::numeric_limits<float>::quiet_NaN();
      return {logits, {}};
    }
    void select_rows(const Tensor&) override {}
  } diverged;
  CHECK(test::throws_with("decode|the logits of row 1 hold NaN",
                          [&] { decode_greedily(diverged, beam(1)); }));
  diverged.nan = false;
  o.coverage_penalty = 0.1;
  CHECK(test::throws_with(
      "beam_search|a coverage penalty needs a model whose step gives attention weights",
      [&] { beam_search(diverged, o); }));
}

}  // namespace
}  // namespace tapeloop::nn
