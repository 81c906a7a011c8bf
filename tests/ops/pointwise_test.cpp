// SPDX-License-Identifier: MIT
// pointwise() with functors and lambdas of users: SIMD loops against scalar ones, broadcasting,
// columns, views, several results, and the error texts. ops_test.cpp checks the built-in formulas,
// dual_test.cpp dual numbers.
#include "tests/support.h"

namespace tapeloop::test {
namespace {

using Values = std::vector<double>;

Var weights(const Shape& shape, std::uint64_t seed = kSeed, DType dtype = DType::float64) {
  return parameter(random_tensor(shape, seed, dtype));
}
Var constant(const Shape& shape) { return Var(random_tensor(shape)); }

// --- formulas as a user writes them ---

struct LstmGates {
  static constexpr const char* name = "lstm_gates";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c) const {
    auto next = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(next), next);
  }
};
struct Blend {  // exp, select, division and a setting in one formula
  static constexpr const char* name = "blend";
  double slope = 0.25;
  TL_HD auto operator()(auto a, auto b) const {
    return select(a > b, a * b, slope * exp(a)) / (2.0 + square(b));
  }
};
struct Activations {  // one setting: the slope of leaky_relu and the alpha of elu
  double setting = 0.3;
  TL_HD auto operator()(auto x) const {
    return outputs(relu(x), leaky_relu(x, setting), elu(x, setting), gelu(x), silu(x), softsign(x));
  }
};
struct Gated {  // activations within a larger formula
  TL_HD auto operator()(auto a, auto b) const {
    return relu(a + b) * softsign(b) + elu(a * b) - gelu(leaky_relu(a - b) * silu(b));
  }
};
struct OneColumn {
  TL_HD auto operator()(auto a, auto c) const { return a * a * c; }
};
struct TwoColumns {
  TL_HD auto operator()(auto a, auto b, auto c) const { return a * a * c + sin(b); }
};
struct ThreeColumns {
  TL_HD auto operator()(auto a, auto b, auto d, auto c) const { return a * b * c + tanh(d) * b; }
};
struct FourColumns {
  TL_HD auto operator()(auto a, auto b, auto d, auto e, auto c) const {
    return a * b * c + tanh(d) * exp(e);
  }
};
struct IgnoresSecond {
  TL_HD auto operator()(auto a, auto b) const { return outputs(a * 3.0, sign(b), a * a); }
};
struct SevenIn {  // two dimensions: as a cell of an MD-LSTM
  static constexpr const char* name = "seven";
  TL_HD auto operator()(auto i, auto f1, auto f2, auto g, auto o, auto c1, auto c2) const {
    auto c = sigmoid(f1) * c1 + sigmoid(f2) * c2 + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(c), c);
  }
};
struct Fourteen {
  static constexpr const char* name = "fourteen";
  TL_HD auto operator()(auto a, auto b, auto c, auto d, auto e, auto f, auto g, auto h, auto i,
                        auto j, auto k, auto l, auto m, auto n) const {
    return a * b + c * d + e * f + g * h + i * j + k * l + m * n;
  }
};
struct Update {
  static constexpr bool differentiable = false;
  double rate = 0.5;
  TL_HD auto operator()(auto x, auto m, auto dx) const {
    auto next = 0.5 * m + dx;
    return outputs(x - rate * next, next);
  }
};

// The last axis of z in `count` columns, as separate variables.
PoolVector<Var> cut(const Var& z, int count) { return chunk(z, count, -1); }

template <class F>
std::vector<Tensor> value_and_gradients(F f, const std::vector<Var>& xs) {
  Tape tape;
  const Var y = f();
  std::vector<Tensor> result = {y.value()};
  for (const Var& gradient : tape.gradient(y, Var(random_tensor(y.shape(), 3)), xs))
    result.push_back(gradient.value());
  return result;
}

template <class F, class G>
void check_same(F f, G g, const std::vector<Var>& xs) {
  const std::vector<Tensor> a = value_and_gradients(f, xs);
  const std::vector<Tensor> b = value_and_gradients(g, xs);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(distance(a[i], b[i]) < 1e-14);
  const ParameterList parameters = detail::numbered(xs);
  const GradcheckReport report = gradcheck(f, parameters, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

}  // namespace

TEST_CASE(
    "pointwise agrees with the scalar loop for every length from 1 to 65, and writes nothing past "
    "the end") {
  const auto check = [](auto zero, DType dtype, double tolerance) {
    using T = decltype(zero);
    for (std::int64_t n = 1; n <= 65; ++n) {
      CAPTURE(n);
      const Tensor a = random_tensor({n}, 1, dtype);
      const Tensor b = random_tensor({n}, 2, dtype);
      const Tensor wide = Tensor::full({n + 80}, 7, dtype);
      transform(Blend{}, {a, b}, {wide.slice(0, 8, 8 + n)});
      Values expected(static_cast<std::size_t>(n + 80), 7);
      for (std::int64_t i = 0; i < n; ++i) {
        expected[static_cast<std::size_t>(i + 8)] =
            static_cast<double>(Blend{}(a.data<T>()[i], b.data<T>()[i]));
      }
      CHECK(distance(wide.to_vector<double>(), expected) <= tolerance);
      const Var c = pointwise(Blend{}, Var(a), Var(b));
      CHECK(same_bits(c.value(), wide.slice(0, 8, 8 + n)));
    }
  };
  check(float{}, DType::float32, 2.4e-7);  // contraction to FMA may differ by an ULP or two
  check(double{}, DType::float64, 4.4e-16);
}

TEST_CASE("a formula's gradient agrees with differences for every length from 1 to 65") {
  for (std::int64_t n = 1; n <= 65; n += n < 20 ? 1 : 9) {
    const Var a = weights({n}, 1);
    const Var b = weights({n}, 2);
    const GradcheckReport report =
        gradcheck([&] { return pointwise(Blend{}, a, b); }, {{"a", a}, {"b", b}});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("the activations are functions of formulas, with the bits of the operations") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var x = parameter(random_tensor({67}, kSeed, dtype, -3, 3));
    const auto [a, b, c, d, e, f] = pointwise(Activations{}, x);
    const std::pair<Var, Var> pairs[] = {{a, relu(x)},     {b, leaky_relu(x, 0.3)},
                                         {c, elu(x, 0.3)}, {d, gelu(x)},
                                         {e, silu(x)},     {f, softsign(x)}};
    for (const auto& [formula, operation] : pairs)
      CHECK(same_bits(formula.value(), operation.value()));
  }
  const Var x = weights({13});
  const Var y = weights({13}, kSeed + 1);
  CHECK(gradcheck([&] { return pointwise(Gated{}, x, y); }, {{"x", x}, {"y", y}},
                  {.second_order = true}));
}

TEST_CASE("lambdas are formulas too, also with settings captured by value") {
  const Var a = weights({3, 5});
  const Var b = weights({5}, 2);
  const double slope = 0.25;
  check_same(
      [&] {
        return pointwise(
            [slope](auto x, auto y) {
              return select(x > y, x * y, slope * exp(x)) / (2.0 + square(y));
            },
            a, b);
      },
      [&] { return pointwise(Blend{}, a, b); }, {a, b});
  Tape tape;
  CHECK(throws_with("lambda: cannot broadcast [3, 5] with [2]",
                    [&] { pointwise([](auto x, auto y) { return x * y; }, a, weights({2})); }));
}

TEST_CASE("inputs broadcast in every way, and gradients have the shapes of their inputs") {
  const std::vector<std::pair<Shape, Shape>> shapes = {{{3, 5}, {3, 5}},
                                                       {{3, 5}, {5}},
                                                       {{3, 5}, {3, 1}},
                                                       {{3, 5}, {}},
                                                       {{3, 1}, {1, 5}},
                                                       {{1, 5}, {3, 1}},
                                                       {{2, 3, 5}, {3, 1}},
                                                       {{2, 1, 5}, {3, 5}},
                                                       {{1}, {4, 1}},
                                                       {{2, 1, 2, 1}, {3, 1, 2}},
                                                       {{1, 1}, {1}},
                                                       {{0, 5}, {1, 5}},
                                                       {{2, 1, 1, 3, 1, 1}, {5}},
                                                       {{1, 1, 1, 17}, {3, 1}}};
  for (const auto& pair : shapes) {
    const Shape left = pair.first;
    const Shape right = pair.second;
    CAPTURE(left.str());
    CAPTURE(right.str());
    const Var a = weights(left, 1);
    const Var b = weights(right, 2);
    const Shape whole = broadcast("test", left, right);
    check_same([&] { return pointwise(Blend{}, a, b); },
               [&] { return pointwise(Blend{}, expand(a, whole), expand(b, whole)); }, {a, b});
  }
}

TEST_CASE(
    "columns of one variable are arguments: 1 to 4 of them, of width 1, 2, 3 and 17, for every "
    "shape beside them") {
  for (const std::int64_t h : {1, 2, 3, 17}) {
    for (const Shape& beside : {Shape{3, h}, Shape{h}, Shape{3, 1}, Shape{}, Shape{2, 1, h}}) {
      CAPTURE(h);
      CAPTURE(beside.str());
      const Var c = weights(beside, 9);
      const auto compare = [&](auto functor, auto count) {
        constexpr int kCount = decltype(count)::value;
        const Var z = weights({3, kCount * h}, 10 + kCount);
        check_same([&] { return pointwise(functor, columns<kCount>(z), c); },
                   [&] {
                     const PoolVector<Var> parts = cut(z, kCount);
                     return [&]<std::size_t... I>(std::index_sequence<I...>) {
                       return pointwise(functor, parts[I]..., c);
                     }
                     (std::make_index_sequence<kCount>{});
                   },
                   {z, c});
      };
      compare(OneColumn{}, std::integral_constant<int, 1>{});
      compare(TwoColumns{}, std::integral_constant<int, 2>{});
      compare(ThreeColumns{}, std::integral_constant<int, 3>{});
      compare(FourColumns{}, std::integral_constant<int, 4>{});
    }
  }
}

TEST_CASE(
    "columns that are themselves stretched get the gradient of all that they were stretched to") {
  const Var z = weights({3, 2}, 1);  // two columns of width 1
  const Var row = weights({2}, 2);   // the same for every row
  const Var c = weights({3, 5}, 3);
  for (const Var& x : {z, row}) {
    check_same([&] { return pointwise(TwoColumns{}, columns<2>(x), c); },
               [&] {
                 const PoolVector<Var> parts = cut(x, 2);
                 return pointwise(TwoColumns{}, parts[0], parts[1], c);
               },
               {x, c});
  }
  const Var six = weights({1, 1, 1, 1, 2, 4}, 4);
  const Var beside = weights({2, 3}, 5);
  check_same([&] { return pointwise(FourColumns{}, columns<4>(six), beside); },
             [&] {
               const PoolVector<Var> p = cut(six, 4);
               return pointwise(FourColumns{}, p[0], p[1], p[2], p[3], beside);
             },
             {six, beside});
}

TEST_CASE("columns and operands may be strided, transposed or reversed views") {
  const Var tall = weights({12, 5}, 1);
  const Var wide = weights({5, 25}, 2);
  const Var c = weights({3, 5}, 3);
  for (int kind = 0; kind < 3; ++kind) {
    const auto view = [&] {
      return kind == 0   ? transpose(tall)
             : kind == 1 ? slice(wide, 1, 1, 25, 2)
                         : flip(transpose(tall), 1);
    };
    check_same([&] { return pointwise(FourColumns{}, columns<4>(view()), transpose(c)); },
               [&] {
                 const Var copy = view() * 1.0;
                 const PoolVector<Var> p = cut(copy, 4);
                 return pointwise(FourColumns{}, p[0], p[1], p[2], p[3], transpose(c) + 0.0);
               },
               kind == 1 ? std::vector<Var>{wide, c} : std::vector<Var>{tall, c});
  }
}

TEST_CASE(
    "of several results any may be used, alone or together; an unused one counts as gradient "
    "zero") {
  const Var z = weights({3, 12}, 1);
  const Var c = weights({3, 3}, 2);
  const auto composed = [&](bool first) {
    const PoolVector<Var> p = cut(z, 4);
    const Var next = sigmoid(p[1]) * c + sigmoid(p[0]) * tanh(p[2]);
    return first ? sigmoid(p[3]) * tanh(next) : next;
  };
  const auto fused = [&](std::size_t result) {
    return pointwise(LstmGates{}, columns<4>(z), c)[result];
  };
  check_same([&] { return fused(0); }, [&] { return composed(true); }, {z, c});
  check_same([&] { return fused(1); }, [&] { return composed(false); }, {z, c});
  check_same(
      [&] {
        auto y = pointwise(LstmGates{}, columns<4>(z), c);
        return y[0] * y[1];
      },
      [&] { return composed(true) * composed(false); }, {z, c});
}

TEST_CASE(
    "a result that does not depend on an input gives it gradient zero, and constants cost no "
    "gradient") {
  const Var a = weights({5}, 1);
  const Var b = weights({5}, 2);
  Tape tape;
  const std::array<Var, 3> y = pointwise(IgnoresSecond{}, a, b);
  const std::vector<Var> gradients = tape.gradient(sum(y[0] + y[1] + y[2]), {a, b});
  CHECK(distance(gradients[0].value(), (a.detach() * 2.0 + 3.0).value()) < 1e-15);
  CHECK(gradients[1].value().to_vector<double>() == Values(5, 0.0));
  const Var untouched = pointwise(Blend{}, a.detach(), b.detach());
  CHECK_FALSE(untouched.requires_grad());
}

TEST_CASE("seven inputs and two results, with gradients of both orders") {
  std::vector<Var> x;
  for (std::uint64_t i = 0; i < 7; ++i) x.push_back(weights({2, 3}, i));
  const auto f = [&] {
    auto [h, c] = pointwise(SevenIn{}, x[0], x[1], x[2], x[3], x[4], x[5], x[6]);
    return h + c * 0.5;
  };
  const GradcheckReport report = gradcheck(f, detail::numbered(x), {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE(
    "a formula with too many inputs for a second derivative has a first, and says what it lacks") {
  std::vector<Var> x;
  for (std::uint64_t i = 0; i < 14; ++i) x.push_back(weights({3}, i));
  const auto f = [&] {
    return pointwise(Fourteen{}, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10],
                     x[11], x[12], x[13]);
  };
  const GradcheckReport report = gradcheck(f, detail::numbered(x));
  CHECK_MESSAGE(report.ok, report.str());
  CHECK(
      throws_with("fourteen: this derivative is not compiled: a pointwise functor has first and "
                  "second derivatives only, of at most 40",
                  [&] { gradcheck(f, detail::numbered(x), {.second_order = true}); }));
}

TEST_CASE("a third derivative through one functor is refused by name") {
  const Var a = weights({3}, 1);
  const Var b = weights({3}, 2);
  Tape tape;
  const Var first = tape.gradient(sum(pointwise(Blend{}, a, b)), {a}, {.create_graph = true})[0];
  const Var second = tape.gradient(sum(first), {a}, {.create_graph = true})[0];
  CHECK(throws_with("blend: this derivative is not compiled",
                    [&] { tape.gradient(sum(second), {a}); }));
}

TEST_CASE("transform works in place, on strided parts, and with several results") {
  const Tensor x = random_tensor({4, 37}, 1, DType::float32);
  const Tensor m = random_tensor({4, 37}, 2, DType::float32);
  const Tensor dx = random_tensor({4, 37}, 3, DType::float32);
  const Tensor next_x = Tensor::empty({4, 37});
  const Tensor next_m = Tensor::empty({4, 37});
  transform(Update{}, {x, m, dx}, {next_x, next_m});
  for (const bool flipped : {false, true}) {
    const Tensor y = flipped ? x.transpose(0, 1).clone().transpose(0, 1) : x.clone();
    const Tensor n = flipped ? m.flip(1).clone().flip(1) : m.clone();
    transform(Update{}, {y, n, dx}, {y, n});
    CHECK(same_bits(y, next_x));
    CHECK(same_bits(n, next_m));
  }
  const Tensor part = x.clone();
  transform(Update{}, {part.slice(1, 0, 37, 3), m.slice(1, 0, 37, 3), dx.slice(1, 0, 37, 3)},
            {part.slice(1, 0, 37, 3), m.slice(1, 0, 37, 3)});
  CHECK(same_bits(part.slice(1, 0, 37, 3), next_x.slice(1, 0, 37, 3)));
  CHECK(same_bits(part.slice(1, 1, 37, 3), x.slice(1, 1, 37, 3)));
  CHECK(
      throws_with("Update: tensors must be of one shape, floating-point type and device, got "
                  "float32[4, 37] and float64[4, 37]",
                  [&] {
                    transform(Update{}, {x, m, dx.to(DType::float64)}, {x, m});
                  }));
  CHECK(throws_with("got float32[4, 37] and float32[37]", [&] {
    transform(Update{}, {x, m, dx.select(0, 0)}, {x, m});
  }));
  CHECK(throws_with("takes 3 inputs and 2 outputs, got 2 and 1", [&] {
    transform(Update{}, {x, m}, {x});
  }));
  CHECK(throws_with("takes 3 inputs and 2 outputs, got 3 and 0", [&] {
    transform(Update{}, {x, m, dx}, {});
  }));
  CHECK(throws_with("an undefined tensor", [&] { transform(Update{}, {x, m, Tensor()}, {x, m}); }));
}

TEST_CASE("errors carry the functor's name: shapes, types, columns") {
  const Var c = constant({2, 3});
  CHECK(throws_with(
      "lstm_gates: columns<4> needs a last axis whose size is a multiple of 4, got [2, 6]", [&] {
        pointwise(LstmGates{}, columns<4>(constant({2, 6})), c);
      }));
  CHECK(throws_with("lstm_gates: columns<4> needs a last axis",
                    [&] { pointwise(LstmGates{}, columns<4>(constant({})), c); }));
  CHECK(throws_with("lstm_gates: cannot broadcast [2, 2] with [2, 3]", [&] {
    pointwise(LstmGates{}, columns<4>(constant({2, 8})), c);
  }));
  CHECK(throws_with(
      "blend: inputs must be all float32 or all float64, got float64[2, 3] and float32[2]",
      [&] { pointwise(Blend{}, c, Var(Tensor::zeros({2}))); }));
  CHECK(throws_with("blend: works on float32 and float64, got int64[2]; convert it", [&] {
    pointwise(Blend{}, Var(Tensor::zeros({2}, DType::int64)),
              Var(Tensor::zeros({2}, DType::int64)));
  }));
  CHECK(throws_with("undefined variable", [&] { pointwise(Blend{}, c, Var()); }));
}

}  // namespace tapeloop::test
