// SPDX-License-Identifier: MIT
// ctc_loss() against the sum over all alignments and PyTorch's figures; gradients to second order;
// impossible targets.
#include "tests/support.h"

namespace tapeloop {
namespace {

using Lengths = std::vector<std::int64_t>;

// log_softmax(2 sin(1.3 i + 0.2)) over [T, N, C]: numbers that other programs can reproduce.
Var waves(std::int64_t steps, std::int64_t batch, std::int64_t classes, Var* logits = nullptr) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < steps * batch * classes; ++i) {
    values.push_back(std::sin(1.3 * static_cast<double>(i) + 0.2));
  }
  Var x = parameter(Tensor::from({steps, batch, classes}, values));
  if (logits != nullptr) *logits = x;
  return log_softmax(x * 2.0);
}

// The definition of the loss: sums every path of T classes that gives the target if repeats are
// merged and blanks removed.
double by_enumeration(const Tensor& log_p, std::int64_t n, std::int64_t steps,
                      const std::vector<std::int64_t>& target, std::int64_t blank) {
  const std::int64_t classes = log_p.dim(2);
  std::int64_t paths = 1;
  for (std::int64_t t = 0; t < steps; ++t) paths *= classes;
  double total = 0;
  for (std::int64_t path = 0; path < paths; ++path) {
    std::vector<std::int64_t> labels;
    double log_probability = 0;
    std::int64_t rest = path, before = -1;
    for (std::int64_t t = 0; t < steps; ++t, rest /= classes) {
      const std::int64_t c = rest % classes;
      log_probability += log_p.at({t, n, c});
      if (c != before && c != blank) labels.push_back(c);
      before = c;
    }
    if (labels == target) total += std::exp(log_probability);
  }
  return -std::log(total);
}

TEST_CASE("the CTC loss is the sum over all alignments") {
  const Tensor log_p = waves(5, 6, 3).value();
  const std::vector<std::vector<std::int64_t>> targets{{1, 2}, {1, 1},    {2},
                                                       {},     {2, 1, 2}, {2, 2, 2}};
  const Lengths input{5, 5, 3, 4, 4, 5};
  // Elements after the end of a target must have no effect.
  Tensor padded = Tensor::full({6, 3}, -7, DType::int64);
  Lengths target_lengths;
  for (std::size_t n = 0; n < targets.size(); ++n) {
    target_lengths.push_back(static_cast<std::int64_t>(targets[n].size()));
    for (std::size_t i = 0; i < targets[n].size(); ++i) {
      padded.data<std::int64_t>()[3 * n + i] = targets[n][i];
    }
  }
  const Var losses = ctc_loss(Var(log_p), padded, input, target_lengths, {.reduce = Reduce::none});
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const double expected =
        by_enumeration(log_p, static_cast<std::int64_t>(n), input[n], targets[n], 0);
    CHECK(losses.value().at({static_cast<std::int64_t>(n)}) ==
          doctest::Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("CTC losses, reductions and gradients are PyTorch's") {
  const Tensor targets = Tensor::from<std::int64_t>({4, 3}, {1, 2, 3, 2, 2, 0, 4, 0, 0, 3, 1, 3});
  const Lengths input{7, 6, 3, 5}, lengths{3, 2, 1, 3};
  Tape tape;
  Var x;
  const Var log_p = waves(7, 4, 5, &x);
  const double expected[] = {6.66704666526086864, 7.85851477636971651, 1.82096230529852732,
                             7.53376657265212391};
  const Var none = ctc_loss(log_p, targets, input, lengths, {.reduce = Reduce::none});
  for (std::int64_t n = 0; n < 4; ++n) {
    CHECK(none.value().at({n}) == doctest::Approx(expected[n]).epsilon(1e-13));
  }
  CHECK(ctc_loss(log_p, targets, input, lengths, {.reduce = Reduce::sum}).item() ==
        doctest::Approx(23.88029031958123483).epsilon(1e-13));
  const Var mean = ctc_loss(log_p, targets, input, lengths);
  CHECK(mean.item() == doctest::Approx(2.62095602653026249).epsilon(1e-13));
  const Tensor g = tape.gradient(mean, {x})[0].value();
  CHECK(g.at({0, 0, 0}) == doctest::Approx(0.007393952469667421).epsilon(1e-11));
  CHECK(g.at({3, 1, 2}) == doctest::Approx(-0.04260043265990249).epsilon(1e-11));
  CHECK(g.at({2, 2, 4}) == doctest::Approx(-0.13746283836022133).epsilon(1e-11));
  CHECK(g.at({4, 3, 3}) == doctest::Approx(-0.06686977630810795).epsilon(1e-11));
  CHECK(g.at({6, 0, 1}) == doctest::Approx(0.03386120252062617).epsilon(1e-11));
  CHECK(g.at({5, 3, 1}) == 0.0);  // past the end of sequence 3
}

TEST_CASE("the blank may be any class") {
  const Tensor targets = Tensor::from<std::int64_t>({2, 3}, {0, 1, 2, 1, 1, 4});
  const Tensor all = waves(7, 4, 5).value();
  const Var losses = ctc_loss(Var(all.slice(1, 0, 2)), targets, Lengths{7, 7}, Lengths{3, 2},
                              {.blank = 3, .reduce = Reduce::none});
  CHECK(losses.value().at({0}) == doctest::Approx(6.48092623299858861).epsilon(1e-13));
  CHECK(losses.value().at({1}) == doctest::Approx(7.79951828925916679).epsilon(1e-13));
}

TEST_CASE("gradients of the CTC loss are right to second order") {
  const Tensor targets = Tensor::from<std::int64_t>({3, 2}, {1, 2, 2, 2, 1, 0});
  const Lengths input{4, 4, 3}, lengths{2, 2, 1};
  for (const bool second : {false, true}) {
    const GradcheckReport report = gradcheck(
        [&](std::span<const Var> x) {
          return ctc_loss(log_softmax(x[0]), targets, input, lengths, {.reduce = Reduce::none});
        },
        {test::random_tensor({4, 3, 3})}, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("a target that does not fit has an infinite loss, or none, and no gradient") {
  // Two equal labels need a blank between them: three steps.
  const Tensor targets = Tensor::from<std::int64_t>({2, 2}, {1, 1, 1, 2});
  const Lengths input{2, 2}, lengths{2, 2};
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tape tape;
    const Var x = parameter(test::random_tensor({2, 2, 3}).to(dtype));
    const auto loss = [&](bool zero, Reduce reduce) {
      return ctc_loss(log_softmax(x), targets, input, lengths,
                      {.reduce = reduce, .zero_infinity = zero});
    };
    const Tensor each = loss(false, Reduce::none).value();
    CHECK(each.at({0}) == std::numeric_limits<double>::infinity());
    CHECK(std::isfinite(each.at({1})));
    const Var sum = loss(true, Reduce::sum);
    CHECK(sum.item() == each.at({1}));
    const Tensor g = tape.gradient(sum, {x})[0].value();
    for (std::int64_t t = 0; t < 2; ++t) {
      CHECK(g.at({t, 0, 1}) == 0);
      CHECK(std::abs(g.at({t, 1, 1})) > 1e-3);
    }
  }
}

TEST_CASE("an impossible class, a long sequence and float32 keep the CTC loss finite") {
  Tensor log_p = waves(400, 2, 5).value().clone();
  log_p.select(2, 4).fill(-std::numeric_limits<double>::infinity());
  const Tensor targets = Tensor::from<std::int64_t>({2, 3}, {1, 2, 3, 2, 2, 1});
  const Lengths input{400, 399}, lengths{3, 3};
  const double wide = ctc_loss(Var(log_p), targets, input, lengths).item();
  const double narrow = ctc_loss(Var(log_p.to(DType::float32)), targets, input, lengths).item();
  CHECK(std::isfinite(wide));
  CHECK(narrow == doctest::Approx(wide).epsilon(1e-5));
  Tape tape;
  const Var x = parameter(log_p);
  const Tensor g = tape.gradient(ctc_loss(x, targets, input, lengths), {x})[0].value();
  for (double value : g.to_vector<double>()) CHECK(std::isfinite(value));
}

TEST_CASE("gradients of the CTC loss keep their digits in float32, however long the sequence is") {
  const Tensor log_p = waves(1000, 2, 5).value();
  Tensor targets = Tensor::empty({2, 120}, DType::int64);
  for (std::int64_t i = 0; i < targets.numel(); ++i) {
    targets.data<std::int64_t>()[i] = 1 + (i * i + i / 7) % 4;
  }
  const Lengths input{1000, 900}, lengths{120, 77};
  const auto gradient = [&](DType dtype) {
    Tape tape;
    const Var x = parameter(log_p.to(dtype));
    const Var loss = ctc_loss(x, targets, input, lengths, {.reduce = Reduce::sum});
    return tape.gradient(loss, {x})[0].value().to(DType::float64);
  };
  const std::vector<double> wide = gradient(DType::float64).to_vector<double>();
  const std::vector<double> narrow = gradient(DType::float32).to_vector<double>();
  double worst = 0;
  for (std::size_t i = 0; i < wide.size(); ++i) {
    worst = std::max(worst, std::abs(wide[i] - narrow[i]));
  }
  CHECK(worst < 1e-4);  // gradients are at most 1
}

TEST_CASE("wrong use of the CTC loss is named") {
  const Var log_p(test::random_tensor({4, 2, 3}));
  const Tensor targets = Tensor::from<std::int64_t>({2, 2}, {1, 2, 2, 0});
  const Lengths input{4, 4}, lengths{2, 1};
  CHECK_THROWS_WITH_AS(
      ctc_loss(log_p, targets, Lengths{4}, lengths),
      "ctc_loss: 1 input lengths were given for a batch of 2; give one for each sequence", Error);
  CHECK_THROWS_WITH_AS(ctc_loss(log_p, targets, Lengths{4, 5}, lengths),
                       "ctc_loss: input length 5 of sequence 1 is outside 1..4", Error);
  CHECK_THROWS_WITH_AS(ctc_loss(log_p, targets, input, Lengths{2, 3}),
                       "ctc_loss: target length 3 of sequence 1 is outside 0..2", Error);
  CHECK_THROWS_WITH_AS(ctc_loss(log_p, targets, input, Lengths{2, 2}),
                       doctest::Contains("label 0 at [1, 1] of the targets is the blank"), Error);
  CHECK_THROWS_WITH_AS(ctc_loss(log_p, targets, input, lengths, {.blank = 3}),
                       "ctc_loss: blank is 3, expected one of the classes 0..2", Error);
  CHECK_THROWS_WITH_AS(ctc_loss(log_p, Tensor::zeros({2, 2}), input, lengths),
                       doctest::Contains("int64 targets [N, L]"), Error);
}

}  // namespace
}  // namespace tapeloop
