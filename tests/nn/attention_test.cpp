// SPDX-License-Identifier: MIT
// Attention: every score against a naive loop and by gradcheck, masks, many queries at once, wrong
// use.
// Agreement with PyTorch is tested by reference_test.cpp.
#include "tapeloop/nn/seq2seq/attention.h"

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

constexpr std::int64_t kSteps = 5, kBatch = 3, kSize = 4;
const std::vector<std::int64_t> kLengths{3, 5, 1};
const Score kScores[] = {Score::additive, Score::dot, Score::general, Score::cosine};

Attention make(Score score, bool scaled = false, std::int64_t query = kSize,
               std::int64_t size = 0) {
  Random random(7);
  return Attention({.score = score,
                    .query = query,
                    .source = kSize,
                    .size = size,
                    .scaled = scaled,
                    .dtype = DType::float64},
                   random);
}

using Vector = std::vector<double>;
Vector times(const Var& w, const Vector& x) {
  Vector y;
  for (std::int64_t i = 0; i < w.dim(0); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j)
      sum += w.value().at({i, static_cast<std::int64_t>(j)}) * x[j];
    y.push_back(sum);
  }
  return y;
}
double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The papers' formulas for one query and one step of the source.
double naive_score(const Attention& a, const Vector& q, const Vector& s) {
  const double root = std::sqrt(
      static_cast<double>(a.options.score == Score::additive ? a.options.size : a.options.query));
  const double scale = !a.options.scaled ? 1 : a.options.score == Score::cosine ? root : 1 / root;
  switch (a.options.score) {
    case Score::dot: return scale * dot(q, s);
    case Score::general: return scale * dot(times(a.weight, q), s);
    case Score::cosine: return scale * dot(q, s) / std::sqrt(dot(q, q) * dot(s, s));
    default: break;
  }
  const Vector from_q = times(a.query.weight, q), from_s = times(a.key.weight, s);
  double sum = 0;
  for (std::size_t i = 0; i < from_q.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    sum += a.v.weight.value().at({0, at}) *
           std::tanh(from_q[i] + from_s[i] + a.key.bias.value().at({at}));
  }
  return scale * sum;
}

Vector row(const Tensor& x, std::int64_t first, std::int64_t second) {
  return x.select(0, first).select(0, second).to_vector<double>();
}

void check_by_loop(const Attention& a, const Tensor& q, const Tensor& source,
                   const std::vector<std::int64_t>& lengths) {
  const Attended seen = a(Var(q), a.prepare(Var(source), lengths));
  REQUIRE(seen.weights.shape() == Shape{q.dim(0), q.dim(1), source.dim(0)});
  REQUIRE(seen.context.shape() == Shape{q.dim(0), q.dim(1), source.dim(2)});
  for (std::int64_t t = 0; t < q.dim(0); ++t) {
    for (std::int64_t n = 0; n < q.dim(1); ++n) {
      const std::int64_t length =
          lengths.empty() ? source.dim(0) : lengths[static_cast<std::size_t>(n)];
      Vector weights, context(static_cast<std::size_t>(source.dim(2)), 0.0);
      double total = 0;
      for (std::int64_t s = 0; s < length; ++s) {
        weights.push_back(std::exp(naive_score(a, row(q, t, n), row(source, s, n))));
        total += weights.back();
      }
      for (std::int64_t s = 0; s < source.dim(0); ++s) {
        const double w = s < length ? weights[static_cast<std::size_t>(s)] / total : 0;
        const double ours = seen.weights.value().at({t, n, s});
        if (s < length) {
          CHECK(ours == doctest::Approx(w).epsilon(1e-12));
          const Vector step = row(source, s, n);
          for (std::size_t d = 0; d < context.size(); ++d) context[d] += w * step[d];
        } else {
          CHECK(ours == 0);
        }
      }
      const Vector ours = row(seen.context.value(), t, n);
      CHECK(test::distance(ours, context) < 1e-12);
    }
  }
}

TEST_CASE("every score's weights and context are those of a naive loop") {
  for (const Score score : kScores) {
    for (const bool scaled : {false, true}) {
      CAPTURE(static_cast<int>(score));
      const Attention a = make(score, scaled);
      const Tensor source = random_tensor({kSteps, kBatch, kSize}, 1);
      check_by_loop(a, random_tensor({1, kBatch, kSize}, 2), source, kLengths);
      check_by_loop(a, random_tensor({7, kBatch, kSize}, 3), source, kLengths);
      check_by_loop(a, random_tensor({2, kBatch, kSize}, 3), source, {});
    }
  }
  check_by_loop(make(Score::additive, false, 3, 9), random_tensor({2, kBatch, 3}, 3),
                random_tensor({kSteps, kBatch, kSize}, 1), kLengths);
  check_by_loop(make(Score::general, true, 3), random_tensor({2, kBatch, 3}, 3),
                random_tensor({1, kBatch, kSize}, 1), {});
}

TEST_CASE("gradients of every score are right to second order") {
  for (const Score score : kScores) {
    for (const bool scaled : {false, true}) {
      const Attention a = make(score, scaled);
      ParameterList list = parameters(a);
      const Var source = parameter(random_tensor({3, 2, kSize}, 4));
      const Var first = parameter(random_tensor({2, kSize}, 5));
      const Var later = parameter(random_tensor({2, 2, kSize}, 6));
      for (const auto& [name, var] :
           {std::pair{"source", source}, {"first", first}, {"later", later}})
        list.push_back({name, var});
      const std::vector<std::int64_t> lengths{3, 2};
      // Both uses of one source add to its gradient.
      const auto function = [&] {
        const AttentionSource prepared = a.prepare(source, lengths);
        const Attended one = a(first, prepared), two = a(later, prepared);
        return std::vector<Var>{one.context, one.weights, two.context, two.weights};
      };
      for (const bool second : {false, true}) {
        const GradcheckReport report = gradcheck(function, list, {.second_order = second});
        CHECK_MESSAGE(report.ok, report.str());
      }
    }
  }
}

TEST_CASE("what lies past a source's length has no influence, not even NaN") {
  for (const Score score : kScores) {
    const Attention a = make(score);
    const Tensor q = random_tensor({kBatch, kSize}, 2);
    const Tensor clean = random_tensor({kSteps, kBatch, kSize}, 1), dirty = clean.clone();
    for (std::size_t n = 0; n < kLengths.size(); ++n) {
      dirty.select(1, static_cast<std::int64_t>(n))
          .slice(0, kLengths[n], kSteps)
          .fill(std::numeric_limits<double>::quiet_NaN());
    }
    Tape tape;
    const Var source = parameter(dirty);
    const Attended seen = a(Var(q), a.prepare(source, kLengths));
    CHECK(test::same_bits(seen.context.value(),
                          a(Var(q), a.prepare(Var(clean), kLengths)).context.value()));
    const Tensor g = tape.gradient(sum(square(seen.context)), {source})[0].value();
    for (std::size_t n = 0; n < kLengths.size(); ++n) {
      const Tensor own = g.select(1, static_cast<std::int64_t>(n));
      for (double x : own.slice(0, kLengths[n], kSteps).to_vector<double>()) CHECK(x == 0);
      for (double x : own.slice(0, 0, kLengths[n]).to_vector<double>()) CHECK(std::isfinite(x));
    }
  }
}

TEST_CASE("a query of zeros has even weights by cosine, and finite gradients") {
  const Attention a = make(Score::cosine);
  Tape tape;
  const Var q = parameter(Tensor::zeros({2, kSize}, DType::float64));
  const Attended seen = a(q, a.prepare(Var(random_tensor({4, 2, kSize}))));
  for (double w : seen.weights.value().to_vector<double>()) CHECK(w == 0.25);
  for (double x : tape.gradient(sum(square(seen.context)), {q})[0].value().to_vector<double>())
    CHECK(std::isfinite(x));
}

TEST_CASE("wrong use of attention is named") {
  Random random(1);
  CHECK_THROWS_WITH_AS(Attention({.query = 3}, random), doctest::Contains("query is 3, source 0"),
                       Error);
  CHECK_THROWS_WITH_AS(
      Attention({.score = Score::dot, .query = 3, .source = 4}, random),
      doctest::Contains("dot and cosine compare vectors of one size: query is 3, source 4"), Error);
  CHECK_THROWS_WITH_AS(
      Attention({.score = Score::general, .query = 3, .source = 4, .size = 2}, random),
      doctest::Contains("`size` belongs to Score::additive"), Error);
  const Attention a = make(Score::dot);
  const Var source(random_tensor({kSteps, kBatch, kSize}));
  CHECK_THROWS_WITH_AS(a.prepare(source, std::vector<std::int64_t>{1, 2}),
                       doctest::Contains("2 lengths were given for a batch of 3"), Error);
  CHECK_THROWS_WITH_AS(a.prepare(source, std::vector<std::int64_t>{1, 0, 2}),
                       doctest::Contains("length 0 of sequence 1 is outside 1..5"), Error);
  CHECK_THROWS_WITH_AS(a.prepare(Var(random_tensor({kSteps, kSize}))),
                       doctest::Contains("the source is [5, 4], expected [S, N, D = 4]"), Error);
  CHECK_THROWS_WITH_AS(a(Var(random_tensor({2, kSize})), a.prepare(source)),
                       doctest::Contains("the query is [2, 4], expected [N, H] or [T, N, H]"),
                       Error);
  CHECK_THROWS_WITH_AS(a(Var(random_tensor({2, kSize})), {}),
                       doctest::Contains("make it by prepare"), Error);
}

}  // namespace
}  // namespace tapeloop::nn
