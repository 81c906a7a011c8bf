// SPDX-License-Identifier: MIT
// CTC decoding against all alignments, and against ctc_loss().
#include <cmath>
#include <map>

#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/nn/decode/ctc.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;
using Labels = std::vector<std::int64_t>;

Labels collapsed(const Labels& path, std::int64_t blank) {
  Labels labels;
  for (std::size_t t = 0; t < path.size(); ++t) {
    if (path[t] != blank && (t == 0 || path[t] != path[t - 1])) labels.push_back(path[t]);
  }
  return labels;
}

// The probability of each list of labels, by all C^T paths of sequence n.
std::map<Labels, double> by_paths(const Tensor& x, std::int64_t n, std::int64_t length,
                                  std::int64_t blank) {
  std::map<Labels, double> sums;
  Labels path(static_cast<std::size_t>(length));
  while (true) {
    double p = 0;
    for (std::size_t t = 0; t < path.size(); ++t)
      p += x.at({static_cast<std::int64_t>(t), n, path[t]});
    sums[collapsed(path, blank)] += std::exp(p);
    std::size_t digit = 0;
    while (digit < path.size() && ++path[digit] == x.dim(2)) path[digit++] = 0;
    if (digit == path.size()) return sums;
  }
}

TEST_CASE("a search with beams for all prefixes finds the likeliest labels") {
  for (const std::int64_t blank : {0, 2}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const Tensor x = log_softmax(3.0 * Var(random_tensor({5, 2, 3}, seed)), 2).value();
      const std::int64_t lengths[] = {5, 3};
      const auto found = ctc_beam_search(x, lengths, {.beams = 1000, .blank = blank});
      REQUIRE(found.size() == 2);
      for (std::int64_t n = 0; n < 2; ++n) {
        const auto sums = by_paths(x, n, lengths[n], blank);
        const auto best = std::max_element(sums.begin(), sums.end(),
                                           [](auto& a, auto& b) { return a.second < b.second; });
        const CtcLabels& own = found[static_cast<std::size_t>(n)];
        CHECK(own.labels == best->first);
        CHECK(own.log_probability == doctest::Approx(std::log(best->second)).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("the probability of the labels is that of ctc_loss") {
  const Tensor x = log_softmax(Var(random_tensor({9, 1, 4}, 3)), 2).value();
  const CtcLabels found = ctc_beam_search(x, {}, {.beams = 2000})[0];
  REQUIRE(!found.labels.empty());
  const auto count = static_cast<std::int64_t>(found.labels.size());
  const std::int64_t steps[] = {9}, lengths[] = {count};
  const double loss = ctc_loss(Var(x), Tensor::from({1, count}, found.labels), steps, lengths,
                               {.reduce = Reduce::sum})
                          .item();
  CHECK(-loss == doctest::Approx(found.log_probability).epsilon(1e-12));
}

TEST_CASE("greedy joins repetitions and removes blanks") {
  const Tensor x = Tensor::full({6, 1, 3}, -9, DType::float64);
  const std::int64_t path[] = {1, 1, 0, 1, 2, 2};
  for (std::int64_t t = 0; t < 6; ++t) x.select(0, t).select(0, 0).select(0, path[t]).fill(-0.5);
  CHECK(ctc_greedy(x)[0].labels == Labels{1, 1, 2});
  CHECK(ctc_greedy(x)[0].log_probability == doctest::Approx(-3));
  const std::int64_t three[] = {3}, none[] = {0};
  CHECK(ctc_greedy(x, three)[0].labels == Labels{1});
  CHECK(ctc_greedy(x, none)[0].labels.empty());
  CHECK(ctc_beam_search(x, none)[0].labels.empty());
  CHECK(ctc_greedy(x, {}, 1)[0].labels == Labels{0, 2});
}

TEST_CASE("a prior changes the choice") {
  const Tensor x = log_softmax(Var(Tensor::from<double>({1, 1, 3}, {0, 2, 1.9})), 2).value();
  CHECK(ctc_beam_search(x)[0].labels == Labels{1});
  const auto prior = [](std::span<const std::int64_t> prefix, std::int64_t label) {
    return prefix.empty() && label == 2 ? -0.1 : -1.0;
  };
  CHECK(ctc_beam_search(x, {}, {.prior = prior})[0].labels == Labels{2});
}

TEST_CASE("what does not fit is refused") {
  const Tensor x = Tensor::zeros({4, 2, 3});
  const std::int64_t one[] = {4}, long_one[] = {4, 5};
  CHECK(throws_with("ctc_greedy|1 lengths", [&] { ctc_greedy(x, one); }));
  CHECK(throws_with("ctc_greedy|length 1 is 5|0 to 4", [&] { ctc_greedy(x, long_one); }));
  CHECK(throws_with("ctc_greedy|blank 3", [&] { ctc_greedy(x, {}, 3); }));
  CHECK(throws_with("ctc_beam_search|undefined", [] { ctc_beam_search(Tensor()); }));
  CHECK(throws_with("ctc_beam_search|beams is 0", [&] { ctc_beam_search(x, {}, {.beams = 0}); }));
  const Tensor bad = Tensor::full({4, 2, 3}, NAN);
  CHECK(throws_with("ctc_greedy|NaN", [&] { ctc_greedy(bad); }));
  CHECK(ctc_greedy(Tensor::zeros({0, 2, 3})).size() == 2);
}

}  // namespace
}  // namespace tapeloop::nn
