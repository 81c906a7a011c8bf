// SPDX-License-Identifier: MIT
// The CRF against the sum and the maximum over all sequences of tags; gradients to second order;
// lengths, long sequences, wrong use.
#include "tapeloop/nn/layers/crf.h"

#include <limits>

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using Tags = std::vector<std::int64_t>;

constexpr std::int64_t kSteps = 5, kBatch = 4, kTags = 3;
const Tags kLengths{3, 5, 1, 4};

Crf make(std::int64_t tags = kTags) {
  Random random(7);
  Crf crf(tags, random, DType::float64);
  // Larger than the initial values, so that transitions decide too.
  for (const Var& scores : {crf.start_transitions, crf.end_transitions, crf.transitions}) {
    scores.value().copy_from(random_tensor(scores.shape(), 11, DType::float64, -2, 2));
  }
  return crf;
}

double score_of(const Crf& crf, const Tensor& e, std::int64_t n, const Tags& tags) {
  double score = crf.start_transitions.value().at({tags.front()}) +
                 crf.end_transitions.value().at({tags.back()});
  for (std::size_t t = 0; t < tags.size(); ++t) {
    score += e.at({static_cast<std::int64_t>(t), n, tags[t]});
    if (t > 0) score += crf.transitions.value().at({tags[t - 1], tags[t]});
  }
  return score;
}

// The logarithm of the sum of exp(score) over all sequences of tags, and the best sequence.
struct All {
  double log_sum = 0;
  Tags best;
};
All enumerate(const Crf& crf, const Tensor& e, std::int64_t n, std::int64_t length) {
  const std::int64_t tags = e.dim(2);
  std::int64_t count = 1;
  for (std::int64_t t = 0; t < length; ++t) count *= tags;
  All result;
  double sum = 0, most = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    Tags sequence;
    for (std::int64_t t = 0, rest = i; t < length; ++t, rest /= tags) {
      sequence.push_back(rest % tags);
    }
    const double score = score_of(crf, e, n, sequence);
    sum += std::exp(score);
    if (score > most) most = score, result.best = sequence;
  }
  result.log_sum = std::log(sum);
  return result;
}

Tensor some_tags() {
  Tensor tags = test::index_tensor({kSteps, kBatch}, kTags, 5).clone();
  for (std::size_t n = 0; n < kLengths.size(); ++n) {  // padding may be any numbers
    tags.select(1, static_cast<std::int64_t>(n)).slice(0, kLengths[n], kSteps).fill(-7);
  }
  return tags;
}

TEST_CASE("the loss of a CRF is the score of the tags among all sequences of tags") {
  for (const std::int64_t count : {1, 2, 3}) {
    const Crf crf = make(count);
    const Tensor e = random_tensor({kSteps, kBatch, count}, 3, DType::float64, -3, 3);
    const Tensor tags = test::index_tensor({kSteps, kBatch}, count, 5);
    const Tags whole(kBatch, kSteps);
    for (const Tags& lengths : {Tags(), kLengths}) {
      const Tensor losses = crf(Var(e), tags, lengths, Reduce::none).value();
      REQUIRE(losses.shape() == Shape{kBatch});
      double sum = 0;
      for (std::int64_t n = 0; n < kBatch; ++n) {
        const std::int64_t length =
            (lengths.empty() ? whole : lengths)[static_cast<std::size_t>(n)];
        const Tags own = tags.select(1, n).slice(0, 0, length).to_vector<std::int64_t>();
        const double expected = enumerate(crf, e, n, length).log_sum - score_of(crf, e, n, own);
        CHECK(losses.at({n}) == doctest::Approx(expected).epsilon(1e-12));
        sum += expected;
      }
      CHECK(crf(Var(e), tags, lengths, Reduce::sum).item() == doctest::Approx(sum).epsilon(1e-12));
      CHECK(crf(Var(e), tags, lengths).item() ==
            doctest::Approx(sum / static_cast<double>(kBatch)).epsilon(1e-12));
    }
  }
}

TEST_CASE("a CRF decodes the best of all sequences of tags") {
  const Crf crf = make();
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const Tensor e = random_tensor({kSteps, kBatch, kTags}, seed);
    const std::vector<Tags> found = crf.decode(e, kLengths);
    REQUIRE(found.size() == kLengths.size());
    for (std::size_t n = 0; n < found.size(); ++n) {
      CHECK(found[n] == enumerate(crf, e, static_cast<std::int64_t>(n), kLengths[n]).best);
    }
  }
  const std::vector<Tags> whole = crf.decode(random_tensor({kSteps, kBatch, kTags}));
  for (const Tags& tags : whole) CHECK(tags.size() == kSteps);
}

TEST_CASE("of equal scores a CRF decodes the lower tag") {
  Crf crf = make();
  for (const Var& scores : {crf.start_transitions, crf.end_transitions, crf.transitions}) {
    scores.value().fill(0);
  }
  const std::vector<Tags> found = crf.decode(Tensor::zeros({2, 1, kTags}, DType::float64));
  CHECK(found == std::vector<Tags>{{0, 0}});
}

TEST_CASE("gradients of a CRF are right to second order") {
  const Crf crf = make();
  const Var e = parameter(random_tensor({kSteps, kBatch, kTags}, 3));
  ParameterList parameters = nn::parameters(crf);
  REQUIRE(parameters.size() == 3);
  parameters.push_back({"emissions", e});
  const Tensor tags = some_tags();
  for (const bool second : {false, true}) {
    const GradcheckReport report = gradcheck([&] { return crf(e, tags, kLengths, Reduce::none); },
                                             parameters, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("a CRF does not read past the lengths") {
  const Crf crf = make();
  const Tensor clean = random_tensor({kSteps, kBatch, kTags}, 3), dirty = clean.clone();
  for (std::size_t n = 0; n < kLengths.size(); ++n) {
    dirty.select(1, static_cast<std::int64_t>(n))
        .slice(0, kLengths[n], kSteps)
        .fill(std::numeric_limits<double>::quiet_NaN());
  }
  Tape tape;
  const Var e = parameter(dirty);
  const Var loss = crf(e, some_tags(), kLengths);
  CHECK(loss.item() == crf(Var(clean), some_tags(), kLengths).item());
  const std::vector<Var> gradients = tape.gradient(loss, {e, crf.transitions});
  for (std::size_t n = 0; n < kLengths.size(); ++n) {
    const Tensor own = gradients[0].value().select(1, static_cast<std::int64_t>(n));
    for (double x : own.slice(0, kLengths[n], kSteps).to_vector<double>()) CHECK(x == 0);
    for (double x : own.slice(0, 0, kLengths[n]).to_vector<double>()) CHECK(std::isfinite(x));
  }
  for (double x : gradients[1].value().to_vector<double>()) CHECK(std::isfinite(x));
  CHECK(crf.decode(dirty, kLengths) == crf.decode(clean, kLengths));
}

TEST_CASE("a tag that is impossible, a long sequence and float32 keep the loss of a CRF exact") {
  Crf crf = make();
  Tensor e = random_tensor({1000, 2, kTags}, 3, DType::float64, -20, 20);
  e.select(2, 1).fill(-std::numeric_limits<double>::infinity());
  Tensor tags = test::index_tensor({1000, 2}, 2, 5).clone();
  for (std::int64_t i = 0; i < tags.numel(); ++i) tags.data<std::int64_t>()[i] *= 2;  // 0 or 2
  const double wide = crf(Var(e), tags).item();
  CHECK(std::isfinite(wide));
  Tape tape;
  const Var x = parameter(e);
  for (double g : tape.gradient(crf(x, tags), {x})[0].value().to_vector<double>()) {
    CHECK(std::isfinite(g));
  }
  convert(crf, DType::float32);
  const double narrow = crf(Var(e.to(DType::float32)), tags).item();
  CHECK(narrow == doctest::Approx(wide).epsilon(1e-5));
}

TEST_CASE("the loss of a CRF has the same bits for any number of threads") {
  const Crf crf = make();
  const Var e = parameter(random_tensor({9, 33, kTags}, 3));
  const Tensor tags = test::index_tensor({9, 33}, kTags, 5);
  const auto run = [&] {
    Tape tape;
    return tape.gradient(crf(e, tags), {e})[0].value();
  };
  const Tensor one = run();
  const test::Threads threads(2);
  CHECK(test::same_bits(one, run()));
}

TEST_CASE("wrong use of a CRF is named") {
  Random random(1);
  CHECK_THROWS_WITH_AS(Crf(0, random), doctest::Contains("tags is 0, expected 1 or more"), Error);
  const Crf crf = make();
  const Var e(random_tensor({kSteps, kBatch, kTags}));
  const Tensor tags = test::index_tensor({kSteps, kBatch}, kTags);
  CHECK_THROWS_WITH_AS(Crf()(e, tags), doctest::Contains("make it by Crf(tags, random)"), Error);
  CHECK_THROWS_WITH_AS(crf(Var(), tags), doctest::Contains("emissions are an undefined tensor"),
                       Error);
  CHECK_THROWS_WITH_AS(crf(Var(random_tensor({5, 4, 2})), tags),
                       doctest::Contains("expected float64[T, N, 3]"), Error);
  CHECK_THROWS_WITH_AS(crf(Var(e.value().to(DType::float32)), tags),
                       doctest::Contains("emissions are float32[5, 4, 3], expected float64"),
                       Error);
  CHECK_THROWS_WITH_AS(crf(e, tags.slice(0, 0, 4)),
                       doctest::Contains("expected int64[T, N] = [5, 4]"), Error);
  CHECK_THROWS_WITH_AS(crf(e, tags, Tags{1, 2}),
                       doctest::Contains("2 lengths were given for a batch of 4"), Error);
  CHECK_THROWS_WITH_AS(crf(e, tags, Tags{1, 2, 0, 3}),
                       doctest::Contains("sequence 2 has length 0, expected 1..5"), Error);
  CHECK_THROWS_WITH_AS(crf.decode(e.value(), Tags{1, 6, 1, 3}),
                       doctest::Contains("length 6 of sequence 1 is outside 0..5"), Error);
  CHECK_THROWS_WITH_AS(crf(e, Tensor::full({5, 4}, 3, DType::int64)),
                       doctest::Contains("tag 3 at [0, 0] is none of the 3 tags 0..2"), Error);
}

}  // namespace
}  // namespace tapeloop::nn
