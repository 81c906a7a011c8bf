// SPDX-License-Identifier: MIT
// linear_scan() where the table of operations (op_table.h) does not reach: long sequences, lengths,
// logarithms of very large and small numbers, exact zeros, views, allocations.
#include "tapeloop/autograd/ops/scan.h"

#include <cmath>
#include <limits>

#include "tests/allocations.h"
#include "tests/support.h"

namespace tapeloop {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

// The same by operations, step by step.
Var by_steps(const Var& a, const Var& b, const Var& h0, bool reverse = false) {
  const std::int64_t steps = b.dim(0);
  std::vector<Var> hs(static_cast<std::size_t>(steps));
  Var h = h0;
  const Var all = expand(a, b.shape());
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = reverse ? steps - 1 - i : i;
    h = select_index(all, 0, t) * h + select_index(b, 0, t);
    hs[static_cast<std::size_t>(t)] = h;
  }
  return stack(hs);
}

Tensor random(const Shape& shape, std::uint64_t seed, DType dtype = DType::float64) {
  return test::random_tensor(shape, seed, dtype, -1, 1);
}

TEST_CASE("a long scan is the loop, for many units and for few, and so are its gradients") {
  for (const Shape& shape : {Shape{3000, 1, 5}, Shape{40, 3, 2100}}) {
    const Var a = parameter(random(shape, 1)), b = parameter(random(shape, 2));
    const Var h0 = parameter(random({shape[1], shape[2]}, 3));
    const Var weights(random(shape, 4));
    for (const bool reverse : {false, true}) {
      std::vector<Tensor> found, expected;
      for (auto* const results : {&found, &expected}) {
        Tape tape;
        const Var h = results == &found ? linear_scan(a, b, h0, {.reverse = reverse})
                                        : by_steps(a, b, h0, reverse);
        results->push_back(h.value());
        for (const Var& g : tape.gradient(sum(h * weights), std::vector<Var>{a, b, h0})) {
          results->push_back(g.value());
        }
      }
      for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(test::distance(found[i], expected[i]) < 1e-12);
      }
    }
  }
}

TEST_CASE("past its end a sequence keeps its state; in reverse each starts at its own end") {
  const std::int64_t lengths[] = {4, 0, 2};
  const Tensor values = random({4, 3, 2}, 5);
  values.select(1, 2).slice(0, 2, 4).fill(std::nan(""));  // not read
  const Var a(random({4, 3, 2}, 6)), b(values), h0(random({3, 2}, 7));
  for (const bool reverse : {false, true}) {
    const Var h = linear_scan(a, b, h0, {.reverse = reverse, .lengths = lengths});
    for (std::int64_t n = 0; n < 3; ++n) {
      const auto sequence = [&](const Var& x) {
        return slice(slice(x, 1, n, n + 1), 0, 0, lengths[n]);
      };
      if (lengths[n] > 0) {
        const Var alone =
            linear_scan(sequence(a), sequence(b), slice(h0, 0, n, n + 1), {.reverse = reverse});
        CHECK(test::distance(sequence(h).value(), alone.value()) < 1e-15);
      }
      const Var last = select_index(select_index(h, 1, n), 0, reverse ? 0 : 3);
      const Var expected =
          lengths[n] == 0 ? select_index(h0, 0, n)
                          : select_index(select_index(h, 1, n), 0, reverse ? 0 : lengths[n] - 1);
      CHECK(test::distance(last.value(), expected.value()) < 1e-15);
    }
  }
}

TEST_CASE("gradients with lengths are right, also those of complex numbers and of logarithms") {
  const std::int64_t lengths[] = {3, 1};
  for (const ScanKind kind : {ScanKind::real, ScanKind::complex, ScanKind::log}) {
    for (const bool reverse : {false, true}) {
      const Var a = parameter(random({3, 2, 2}, 8)), b = parameter(random({3, 2, 2}, 9));
      const Var h0 = parameter(random({2, 2}, 10));
      const GradcheckReport report = gradcheck(
          [&] {
            return linear_scan(a, b, h0, {.kind = kind, .reverse = reverse, .lengths = lengths});
          },
          ParameterList{{"a", a}, {"b", b}, {"h0", h0}}, {.second_order = true});
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("a scan of logarithms is the real scan, where that one does not overflow") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var a(test::random_tensor({50, 2, 19}, 11, dtype, 0.1, 2));
    const Var b(test::random_tensor({50, 2, 19}, 12, dtype, 0.1, 2));
    const Var h0(test::random_tensor({2, 19}, 13, dtype, 0.1, 2));
    const Var h = linear_scan(a, b, h0);
    const Var logs = linear_scan(log(a), log(b), log(h0), {.kind = ScanKind::log});
    const double error = dtype == DType::float32 ? 2e-5 : 1e-13;
    CHECK(max(abs(exp(logs) / h - 1.0), {0, 1, 2}).item() < error);
  }
}

TEST_CASE("a scan of logarithms neither overflows nor underflows, and log 0 is allowed") {
  const Var a(Tensor::from<double>({3, 1, 2}, {1000, -1000, 2000, -2000, -kInf, -kInf}));
  const Var b(Tensor::from<double>({3, 1, 2}, {-kInf, 5, -kInf, -kInf, 1, -kInf}));
  const Var a0 = parameter(a.value()), b0 = parameter(b.value());
  Tape tape;
  const Var h = linear_scan(a0, b0, Var(), {.kind = ScanKind::log});
  CHECK(h.value().to_vector<double>() == std::vector<double>{-kInf, 5, -kInf, -1995, 1, -kInf});
  for (const Var& g : tape.gradient(sum(slice(h, 0, 2, 3)), std::vector<Var>{a0, b0})) {
    for (const double x : g.value().to_vector<double>()) CHECK(std::isfinite(x));
  }
}

TEST_CASE("in the gradient of a scan an exact zero wins over infinity") {
  const Var a = parameter(Tensor::from<double>({3, 1, 1}, {1, kInf, 2}));
  const Var b = parameter(Tensor::from<double>({3, 1, 1}, {1, 2, 3}));
  Tape tape;
  const Var h = linear_scan(a, b);
  const auto g = tape.gradient(sum(slice(h, 0, 0, 1)), std::vector<Var>{a, b});
  CHECK(g[0].value().to_vector<double>() == std::vector<double>{0, 0, 0});
  CHECK(g[1].value().to_vector<double>() == std::vector<double>{1, 0, 0});
}

TEST_CASE("a scan reads views, and its training step allocates nothing") {
  const Var wide = parameter(random({20, 3, 24}, 14, DType::float32));
  const Var h0(random({3, 8}, 15, DType::float32));
  const auto step = [&] {
    Tape tape;
    const Var h = linear_scan(slice(wide, 2, 0, 8), slice(wide, 2, 8, 16), h0);
    const Var complex = linear_scan(slice(wide, 2, 8, 16), flip(slice(wide, 2, 16, 24), 0), h0,
                                    {.kind = ScanKind::complex, .reverse = true});
    const Var logs = linear_scan(slice(wide, 2, 0, 8), h, h0, {.kind = ScanKind::log});
    tape.backward(sum(h * complex * logs));
    wide.zero_grad();
  };
  const auto whole = [&](std::int64_t first) {
    return Var(wide.value().slice(2, first, first + 8).clone());
  };
  CHECK(test::same_bits(linear_scan(slice(wide, 2, 0, 8), slice(wide, 2, 8, 16), h0).value(),
                        linear_scan(whole(0), whole(8), h0).value()));
  if (!test::can_count_allocations()) return;
  step();
  step();
  const std::int64_t before = test::allocations();
  step();
  CHECK(test::allocations() == before);
}

TEST_CASE("the backward pass of a scan finds a write to its result") {
  const Var a = parameter(random({3, 1, 2}, 16)), b = parameter(random({3, 1, 2}, 17));
  Tape tape;
  const Var h = linear_scan(a, b);
  const Var loss = sum(h);
  h.value().fill(1);
  CHECK(test::throws_with("linear_scan|was written", [&] { tape.backward(loss); }));
}

}  // namespace
}  // namespace tapeloop
