// SPDX-License-Identifier: MIT
// recompute() and segmented unrolling: the same bits as the stored run, in less memory.
#include <cmath>
#include <memory>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::same_bits;
using test::throws_with;

// A cell by single operations, with dropout inside and a weight that is used twice in a step.
struct NoisyCell {
  using State = nn::State<1>;
  Var w, u, p, b;
  Dropout dropout;
  NoisyCell(const RecurrentOptions& o, Random& random)
      : w(uniform_parameter({o.hidden, o.input}, 1, random, o.dtype)),
        u(uniform_parameter({o.hidden, o.hidden}, 0.5, random, o.dtype)),
        p(uniform_parameter({o.hidden}, 1, random, o.dtype)),
        b(uniform_parameter({o.hidden}, 1, random, o.dtype)),
        dropout(0.3, random) {}
  std::array<std::int64_t, 1> state_sizes() const { return {u.dim(0)}; }
  State step(const Var& x, const State& s) const {
    const Var h = tanh(linear(x, w) + linear(s.h(), u) * p);
    return State(dropout(tanh(linear(h, u, b))));
  }
  void visit(Visitor& v) const {
    v("w", w);
    v("u", u);
    v("p", p);
    v("b", b);
    v("dropout", dropout);
  }
};

// Outputs, last state and all gradients of one unrolled sequence.
template <class C>
std::vector<Tensor> run(const C& cell, const Tensor& xs, const UnrollOptions& options) {
  const ParameterList list = parameters(cell);
  for (const NamedVar& p : list) p.var.zero_grad();
  const Var x = parameter(xs);
  Tape tape;
  auto [ys, last] = unroll(cell, x, {}, options);
  Var loss = sum(ys * Var(random_tensor(ys.shape(), 5, xs.dtype())));
  for (const Var& part : last) loss = loss + sum(square(part));
  tape.backward(loss);
  std::vector<Tensor> all{ys.value(), x.grad().value()};
  for (const Var& part : last) all.push_back(part.value());
  for (const NamedVar& p : list) all.push_back(p.var.grad().value());
  return all;
}

template <class C>
void check_same(const RecurrentOptions& sizes, std::int64_t t, std::int64_t n, std::int64_t steps,
                UnrollOptions options = {}) {
  Random random(3);
  const C cell(sizes, random);
  const auto states = randoms(cell);
  const Tensor xs = random_tensor({t, n, sizes.input}, 4, sizes.dtype);
  std::vector<Random> before;
  for (const auto& [name, state] : states) before.push_back(*state);
  const std::vector<Tensor> stored = run(cell, xs, options);
  std::vector<Random> after;
  for (std::size_t i = 0; i < states.size(); ++i) {
    after.push_back(*states[i].second);
    *states[i].second = before[i];
  }
  options.recompute.steps = steps;
  const std::vector<Tensor> again = run(cell, xs, options);
  REQUIRE(stored.size() == again.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(stored[i], again[i]));
  }
  for (std::size_t i = 0; i < states.size(); ++i) CHECK(*states[i].second == after[i]);
}

}  // namespace

TEST_CASE("recomputed segments give the bits of the stored run") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const RecurrentOptions sizes{.input = 5, .hidden = 17, .dtype = dtype};
    for (const bool reverse : {false, true}) {
      CAPTURE(reverse);
      const UnrollOptions options{.reverse = reverse};
      check_same<LstmCell>(sizes, 35, 32, 8, options);
      check_same<GruCell>(sizes, 35, 32, 16, options);
      check_same<RnnCell>(sizes, 35, 100, 3, options);
      check_same<NoisyCell>(sizes, 35, 32, 8, options);
    }
  }
}

// With lengths only the real steps run, so a weight's gradient adds them in another order.
TEST_CASE("with lengths, recomputed segments give the stored run's bits, gradients to rounding") {
  const std::vector<std::int64_t> lengths{80, 0, 40, 33, 32, 31, 64, 65};
  for (const bool reverse : {false, true}) {
    for (const std::int64_t projection : {0, 2}) {
      Random random(1);
      const LstmCell cell({.input = 3, .hidden = 4, .dtype = DType::float64}, random,
                          {.projection = projection});
      const Tensor xs = random_tensor({80, 8, 3}, 4);
      const UnrollOptions whole{.reverse = reverse, .lengths = lengths};
      const std::vector<Tensor> stored = run(cell, xs, whole);
      UnrollOptions parts = whole;
      parts.recompute.steps = 32;
      const std::vector<Tensor> again = run(cell, xs, parts);
      REQUIRE(stored.size() == again.size());
      for (std::size_t i = 0; i < stored.size(); ++i) {
        CAPTURE(i);
        if (i < 3) CHECK(same_bits(stored[i], again[i]));  // ys, and the last h and c
        CHECK(test::distance(stored[i], again[i]) < 1e-12);
      }
    }
  }
}

TEST_CASE("with lengths, segments keep less than the stored run, in both directions") {
  for (const bool reverse : {false, true}) {
    CAPTURE(reverse);
    Random random(1);
    const LstmCell cell({.input = 8, .hidden = 64}, random);
    const Var x = parameter(random_tensor({256, 8, 8}, 4, DType::float32));
    const std::vector<std::int64_t> lengths(8, 250);
    const auto kept = [&](std::int64_t steps) {
      Tape tape;
      const std::int64_t before = memory::stats().live_bytes;
      const auto [ys, last] = unroll(
          cell, x, {}, {.reverse = reverse, .lengths = lengths, .recompute = {.steps = steps}});
      return memory::stats().live_bytes - before;
    };
    // In reverse the projection of all steps is kept, two thirds of the whole.
    CHECK(kept(32) < kept(0) * (reverse ? 9 : 7) / 10);
  }
}

TEST_CASE("segments of any length give the stored run's gradients, to rounding") {
  Random random(1);
  const LstmCell cell({.input = 3, .hidden = 5, .dtype = DType::float64}, random);
  const Tensor xs = random_tensor({11, 2, 3}, 4);
  const std::vector<Tensor> stored = run(cell, xs, {});
  for (const std::int64_t steps : {1, 2, 5, 10, 11, 12}) {
    const std::vector<Tensor> again = run(cell, xs, {.recompute = {.steps = steps}});
    for (std::size_t i = 0; i < stored.size(); ++i)
      CHECK(test::distance(stored[i], again[i]) < 1e-13);
  }
}

TEST_CASE(
    "a stack of layers in both directions recomputes, and its gradient is checked twice over") {
  for (const std::int64_t steps : {0, 2}) {
    Random random(1);
    const Lstm model({.input = 2,
                      .hidden = 3,
                      .layers = 2,
                      .bidirectional = true,
                      .dtype = DType::float64,
                      .recompute = {.steps = steps}},
                     random);
    const Tensor xs = random_tensor({5, 2, 2});
    const auto report =
        gradcheck([&] { return model(Var(xs)).ys; }, parameters(model), {.second_order = true});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("an unrolled sequence fits into the memory it is given") {
  Random random(1);
  const std::int64_t t = 512, n = 16;
  const LstmCell cell({.input = 24, .hidden = 48}, random);
  const Tensor xs = random_tensor({t, n, 24}, 4, DType::float32);
  const auto peak = [&](const Recompute& recompute) {
    run(cell, xs, {.recompute = recompute});  // fills everything that is kept between runs
    memory::PeakMeter meter;
    Tape tape;
    auto [ys, last] = unroll(cell, Var(xs), {}, {.recompute = recompute});
    tape.backward(ys, Var(Tensor::full(ys.shape(), 1.0)));
    return static_cast<double>(meter.bytes()) / 1048576.0;
  };
  const double stored = peak({});
  CHECK(stored > 9);  // gates and two states: 6 * 48 * 4 bytes for each of 8192 steps
  CHECK(peak({.fit_mib = 20}) == doctest::Approx(stored));
  const double dense = 512 * 16 * 48 * 4 / 1048576.0;  // outputs, and their upstream gradient
  for (const double limit : {4.0, 5.0}) {
    const double used = peak({.fit_mib = limit}) - dense;
    CHECK(used <= limit);
    CHECK(used > limit / 4);
  }
  CHECK(throws_with("unroll|512 steps of a batch of 16 do not fit into 0.5 MiB|they need at least",
                    [&] { peak({.fit_mib = 0.5}); }));
}

TEST_CASE("recompute refuses settings that make no sense") {
  Random random(1);
  const LstmCell cell({.input = 2, .hidden = 3}, random);
  const Var xs(random_tensor({4, 1, 2}, 1, DType::float32));
  Tape tape;
  CHECK(throws_with("unroll|steps = -1",
                    [&] { unroll(cell, xs, {}, {.recompute = {.steps = -1}}); }));
  CHECK(throws_with("unroll|give one of them",
                    [&] { unroll(cell, xs, {}, {.recompute = {.steps = 2, .fit_mib = 1}}); }));
  CHECK(throws_with("unroll|fit_mib",
                    [&] { unroll(cell, xs, {}, {.recompute = {.fit_mib = NAN}}); }));
}

TEST_CASE(
    "recompute() wraps any function: twice in the backward pass, nested, with a result that is an "
    "input") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Var w = parameter(random_tensor({4, 4}, 2));
  int calls = 0;
  const auto function = [&](std::span<const Var> in) {
    ++calls;
    const Var inner = recompute(std::array{in[0]}, [&](std::span<const Var> x) {
      return PoolVector<Var>{tanh(linear(x[0], w))};
    })[0];
    return PoolVector<Var>{linear(inner, w), in[0]};
  };
  const auto gradients = [&](bool again) {
    a.zero_grad();
    w.zero_grad();
    Tape tape;
    const std::array inputs{a * 2.0};
    const PoolVector<Var> ys = again ? recompute(inputs, function) : function(inputs);
    const Var loss = sum(square(ys[0])) + sum(ys[1] * ys[1]) + sum(w);
    tape.backward(loss, {.retain = true});
    tape.backward(loss);
    return std::array{a.grad().value().clone(), w.grad().value().clone()};
  };
  const auto stored = gradients(false);
  CHECK(calls == 1);
  calls = 0;
  const auto recomputed = gradients(true);
  CHECK(calls == 3);
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::distance(stored[i], recomputed[i]) < 1e-14);
  const auto report = gradcheck([&] { return recompute(std::array{a * 2.0}, function)[0]; },
                                {{"a", a}, {"w", w}}, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("random numbers are taken again wherever the Random is by then") {
  const Var w = parameter(random_tensor({6, 6}, 1));
  const Var x(random_tensor({50, 6}, 2));
  // The gradient of a run, and the last place of the stream `shared`.
  const auto run = [&](auto make) {
    Random shared(7);
    w.zero_grad();
    Tape tape;
    const Var loss = sum(square(make(shared)));
    tape.backward(loss);
    return std::pair{w.grad().value().clone(), shared};
  };
  const auto check = [&](auto function) {
    const auto stored =
        run([&](Random& shared) { return function(shared)(std::span<const Var>(&x, 1))[0]; });
    const auto again =
        run([&](Random& shared) { return recompute(std::array{x}, function(shared))[0]; });
    CHECK(same_bits(stored.first, again.first));
    CHECK(stored.second == again.second);
  };
  SUBCASE("a Random that lives in the function alone") {
    check([&](Random&) {
      return [&](std::span<const Var> in) {
        Random own(5);
        return PoolVector<Var>{dropout(linear(in[0], w), 0.5, own)};
      };
    });
  }
  SUBCASE("a Random and a layer captured by value") {
    check([&](Random&) {
      return [&w, own = Random(5),
              layer = Dropout(0.5, *std::make_unique<Random>(6))](std::span<const Var> in) mutable {
        return PoolVector<Var>{layer(dropout(linear(in[0], w), 0.5, own))};
      };
    });
  }
  SUBCASE("nested, three levels") {
    check([&](Random& shared) {
      return [&](std::span<const Var> in) {
        const auto middle = [&](std::span<const Var> a) {
          const auto inner = [&](std::span<const Var> b) {
            return PoolVector<Var>{dropout(linear(b[0], w), 0.5, shared)};
          };
          const Var first = recompute(a, inner)[0];
          return PoolVector<Var>{dropout(linear(first, w), 0.5, shared)};
        };
        const Var two = recompute(in, middle)[0];
        return PoolVector<Var>{dropout(tanh(two), 0.5, shared)};
      };
    });
  }
  SUBCASE("a function that takes other numbers is told so") {
    int calls = 0;
    Random random(1);
    Tape tape;
    const Var y = recompute(std::array{x}, [&](std::span<const Var> in) {
      if (++calls == 2) random = Random(2);
      return PoolVector<Var>{dropout(linear(in[0], w), 0.5, random)};
    })[0];
    CHECK(throws_with("recompute|other random numbers", [&] { tape.backward(sum(y)); }));
  }
}

TEST_CASE("recompute() refuses a function that returns fewer or more results the second time") {
  const Var w = parameter(random_tensor({3}, 1));
  for (const std::size_t second : {std::size_t{1}, std::size_t{3}}) {
    int calls = 0;
    Tape tape;
    const PoolVector<Var> ys =
        recompute(std::array{Var(random_tensor({3}, 2))}, [&](std::span<const Var> in) {
          return PoolVector<Var>(++calls == 1 ? 2 : second, in[0] * w);
        });
    CHECK(throws_with("recompute|2 results in the first run and " + std::to_string(second),
                      [&] { tape.backward(sum(ys[0] + ys[1])); }));
  }
}

TEST_CASE("a weight used inside and outside of recompute() is added up in the stored run's order") {
  const Var w = parameter(random_tensor({7, 5}, 1));
  const Var v = parameter(random_tensor({5, 7}, 2));
  const Tensor xs = random_tensor({512, 5}, 3);
  const auto gradient = [&](bool again) {
    w.zero_grad();
    v.zero_grad();
    const auto part = [&](std::span<const Var> in) {
      return PoolVector<Var>{linear(linear(in[0], w), v)};
    };
    Tape tape;
    const std::array inputs{Var(xs)};
    const Var middle = again ? recompute(inputs, part)[0] : part(inputs)[0];
    tape.backward(sum(square(linear(tanh(middle), w))));
    return w.grad().value().clone();
  };
  CHECK(same_bits(gradient(false), gradient(true)));
}

TEST_CASE("recomputed segments of one group keep the bits at every width") {
  // More than 256 pre-activations: the library cuts the product for dh into blocks.
  for (const std::int64_t hidden : {63, 65, 130}) {
    check_same<LstmCell>({.input = 3, .hidden = hidden}, 24, 32, 8);
    check_same<RnnCell>({.input = 3, .hidden = 4 * hidden}, 24, 32, 8);
    check_same<GruCell>({.input = 3, .hidden = hidden}, 24, 32, 8);
  }
}

TEST_CASE("fit_mib holds at a model's first use, with lengths, and takes no random numbers") {
  const Tensor xs = random_tensor({200, 8, 16}, 4, DType::float32);
  std::vector<std::int64_t> some(8, 150);
  for (const std::int64_t hidden : {64, 256}) {
    for (const bool lengths : {false, true}) {
      Random random(1);
      const LstmCell cell({.input = 16, .hidden = hidden}, random);
      const double weights = 2.0 * static_cast<double>(4 * hidden * (hidden + 16)) * 4 / 1048576.0;
      const double results = 2.0 * 200 * 8 * static_cast<double>(hidden) * 4 / 1048576.0;
      const double limit = 1.0 + 2 * weights + 1.5 * results;
      UnrollOptions options{.recompute = {.fit_mib = limit}};
      if (lengths) options.lengths = some;
      memory::PeakMeter meter;
      Tape tape;
      auto [ys, last] = unroll(cell, Var(xs), {}, options);
      tape.backward(ys, Var(Tensor::full(ys.shape(), 1.0)));
      const double dense = results / 2;  // the upstream gradient of the outputs
      CAPTURE(hidden);
      CAPTURE(lengths);
      CHECK(static_cast<double>(meter.bytes()) / 1048576.0 - dense <= limit);
    }
  }
  Random random(3);
  const NoisyCell cell({.input = 3, .hidden = 5}, random);
  const auto states = randoms(cell);
  REQUIRE(states.size() == 1);
  const Random start = *states[0].second;
  Tape tape;
  const Var x(random_tensor({20, 4, 3}, 5, DType::float32));
  const Tensor stored = unroll(cell, x).ys.value().clone();
  *states[0].second = start;
  CHECK(same_bits(unroll(cell, x, {}, {.recompute = {.fit_mib = 1000}}).ys.value(), stored));
}

TEST_CASE("without a tape recompute() only calls the function") {
  int calls = 0;
  const auto ys = recompute(std::array{Var(random_tensor({2}))}, [&](std::span<const Var> in) {
    ++calls;
    return PoolVector<Var>{in[0] + 1.0};
  });
  CHECK(calls == 1);
  CHECK_FALSE(ys[0].requires_grad());
  const Tensor into = Tensor::zeros({2}, DType::float64);
  const Var x(random_tensor({2}));
  recompute(
      std::array{x}, [](std::span<const Var> in) { return PoolVector<Var>{in[0] + 1.0}; }, into);
  CHECK(same_bits(into, (x + 1.0).value()));
}

}  // namespace tapeloop::nn
