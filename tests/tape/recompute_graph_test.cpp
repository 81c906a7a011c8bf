// SPDX-License-Identifier: MIT
// recompute() as part of any graph: results, captured values and derivatives of its function, in
// first and second order. The stored run gives the expected results.
#include <functional>

#include "tapeloop/nn/nn.h"
#include "tests/ops/derivatives.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::derivatives;
using test::random_tensor;
using test::same_bits;
using test::throws_with;

using Inputs = std::span<const Var>;
using Results = PoolVector<Var>;
using Function = std::function<Results(Inputs)>;

// inputs() computes f's inputs on the current tape.
void check_like_stored(const std::vector<Var>& parameters, const std::function<Results()>& inputs,
                       const Function& f, double tolerance = 0) {
  const std::vector<Tensor> stored = derivatives(parameters, [&] { return f(inputs()); });
  const std::vector<Tensor> again = derivatives(parameters, [&] { return recompute(inputs(), f); });
  const std::vector<Tensor> nested = derivatives(
      parameters, [&] { return recompute(inputs(), [&](Inputs in) { return recompute(in, f); }); });
  REQUIRE(stored.size() == 3 * parameters.size());
  for (std::size_t i = 0; i < stored.size(); ++i) {
    CAPTURE(i);
    CHECK(test::distance(stored[i], again[i]) <= tolerance);
    CHECK(test::distance(stored[i], nested[i]) <= tolerance);
  }
}

}  // namespace

TEST_CASE("recompute() may return anything, in first and second order") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Var w = parameter(random_tensor({4, 4}, 2));
  const auto one = [&] { return Results{a * 2.0}; };
  const auto layer = [&](const Var& x) { return tanh(linear(x, w)); };
  const double rounding = 1e-12;  // second derivatives add up in another order
  SUBCASE("one Var twice") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          const Var y = layer(in[0]);
          return Results{y, y};
        },
        rounding);
  }
  SUBCASE("one Var three times, and a function of it") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          const Var y = layer(in[0]);
          return Results{y, y * y, y, y};
        },
        rounding);
  }
  SUBCASE("an input unchanged") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{layer(in[0]), in[0]};
        },
        rounding);
  }
  SUBCASE("an input twice, nothing else") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{in[0], in[0]};
        },
        rounding);
  }
  SUBCASE("a constant, between two others") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{layer(in[0]), Var(random_tensor({2}, 7)), in[0] * in[0]};
        },
        rounding);
  }
  SUBCASE("a parameter that no operation uses") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{tanh(in[0]), w};
        },
        rounding);
  }
  SUBCASE("a parameter that operations use, twice") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{w, layer(in[0]), w};
        },
        rounding);
  }
  SUBCASE("views of an input") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{slice(in[0], 0, 0, 2), transpose(in[0]), layer(in[0]),
                         reshape(in[0], Shape{12})};
        },
        rounding);
  }
  SUBCASE("tensors without elements") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          const Var none = slice(layer(in[0]), 0, 0, 0);
          return Results{none, layer(in[0]), none};
        },
        rounding);
  }
  SUBCASE("undefined variables and symbols") {
    check_like_stored(
        {a, w}, one,
        [&](Inputs in) {
          return Results{Var(), Var(Tensor::zeros({2}, DType::int64)), layer(in[0])};
        },
        rounding);
  }
  SUBCASE("nothing that needs a gradient") {
    Tape tape;
    const Results ys = recompute(one(), [](Inputs in) { return Results{in[0].detach()}; });
    CHECK_FALSE(ys[0].requires_grad());
    CHECK(recompute(one(), [](Inputs) { return Results{}; }).empty());
    CHECK(throws_with("recompute|returned no result|float64[3]", [&] {
      recompute(
          one(), [](Inputs) { return Results{}; }, Tensor::zeros({3}, DType::float64));
    }));
  }
}

TEST_CASE("recompute() takes any inputs, in first and second order") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Var w = parameter(random_tensor({4, 4}, 2));
  const double rounding = 1e-12;
  SUBCASE("one Var twice") {
    check_like_stored(
        {a, w},
        [&] {
          const Var x = a * 2.0;
          return Results{x, x};
        },
        [&](Inputs in) {
          return Results{tanh(linear(in[0], w)) * in[1], in[1]};
        },
        rounding);
  }
  SUBCASE("a parameter that the function uses too") {
    check_like_stored(
        {a, w},
        [&] {
          return Results{a, w};
        },
        [&](Inputs in) {
          return Results{tanh(linear(in[0], w)) * a, sum(in[1] * w)};
        },
        rounding);
  }
  SUBCASE("an undefined one, and constants") {
    check_like_stored(
        {a, w},
        [&] {
          return Results{Var(), Var(random_tensor({3, 4}, 9)), a};
        },
        [&](Inputs in) { return Results{tanh(linear(in[1] * in[2], w, in[0]))}; }, rounding);
  }
  SUBCASE("none") {
    check_like_stored(
        {w}, [] { return Results{}; },
        [&](Inputs) {
          return Results{tanh(w), tanh(w) * w};
        },
        rounding);
  }
}

TEST_CASE(
    "a function of recompute() holds computed values: their gradients are those of the stored "
    "run") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Var w = parameter(random_tensor({4, 4}, 2));
  const double rounding = 1e-12;
  Var scaled;  // computed on the outer tape, and held by reference
  const auto inputs = [&] {
    scaled = tanh(w) * 0.9;
    return Results{a * 2.0};
  };
  SUBCASE("as a weight, and otherwise") {
    check_like_stored(
        {a, w}, inputs,
        [&](Inputs in) { return Results{tanh(linear(in[0], scaled)) * slice(scaled, 0, 0, 3)}; },
        rounding);
  }
  SUBCASE("returned as it is") {
    check_like_stored(
        {a, w}, inputs,
        [&](Inputs in) {
          return Results{scaled, in[0] * in[0], scaled};
        },
        rounding);
  }
  SUBCASE("an input that is held too") {
    check_like_stored(
        {a, w},
        [&] {
          return Results{inputs()[0], scaled};
        },
        [&](Inputs in) {
          return Results{tanh(linear(in[0], scaled)), linear(in[0], in[1])};
        },
        rounding);
  }
  SUBCASE("values of two tapes further out") {
    check_like_stored(
        {a, w}, inputs,
        [&](Inputs in) {
          const Var twice = scaled * in[0].value().at({0, 0});
          return recompute(in, [&, twice](Inputs inner) {
            return Results{tanh(linear(inner[0], scaled)) + linear(inner[0], twice)};
          });
        },
        rounding);
  }
  SUBCASE("to the bit, where rows are whole groups") {
    const Var x(random_tensor({512, 4}, 3, DType::float32));
    const Var v = parameter(random_tensor({4, 4}, 4, DType::float32));
    const auto gradient = [&](bool again) {
      v.zero_grad();
      Tape tape;
      const Var weight = v * 0.9;
      const Function f = [&](Inputs in) { return Results{tanh(linear(in[0], weight))}; };
      Var y = linear(x, weight);
      for (int i = 0; i < 3; ++i) y = (again ? recompute(Results{y}, f) : f(Results{y}))[0];
      tape.backward(sum(square(linear(y, weight))));
      return v.grad().value().clone();
    };
    CHECK(same_bits(gradient(false), gradient(true)));
  }
  SUBCASE("a value of a tape that has ended is refused, and told the truth") {
    {
      Tape ended;
      inputs();
    }
    Tape tape;
    CHECK(throws_with(
        "linear|an input float64[4, 4] was recorded on another tape|compute it on this "
        "tape|no gradient goes through that",
        [&] { recompute(Results{a}, [&](Inputs in) { return Results{linear(in[0], scaled)}; }); }));
  }
}

TEST_CASE("a function of recompute() asks for gradients itself") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Var w = parameter(random_tensor({4, 4}, 2));
  Var scaled;
  // Only products, which have derivatives of any order.
  const auto energy = [&](const Var& x) {
    const Var z = linear(x, scaled);
    return sum(matmul(matmul(transpose(z), z), scaled));
  };
  const auto inputs = [&] {
    scaled = matmul(w, w);
    return Results{linear(a, w)};
  };
  check_like_stored(
      {a, w}, inputs,
      [&](Inputs in) {
        const Var y = energy(in[0]);
        const std::vector<Var> dx =
            Tape::current()->gradient(y, {in[0], scaled}, {.create_graph = true});
        return Results{dx[0] * in[0], sum(dx[1] * w)};
      },
      1e-12);
  check_like_stored(
      {a, w}, inputs,
      [&](Inputs in) {
        const Var y = energy(in[0]);
        const Var dx = Tape::current()->gradient(y, {in[0]}, {.retain = true})[0];
        return Results{dx * in[0] * y};
      },
      1e-12);
  Tape tape;
  CHECK(
      throws_with("gradient|a value float64[3, 4] that was computed outside depends on an x", [&] {
        recompute(inputs(), [&](Inputs in) {
          return recompute(in, [&](Inputs inner) {
            const Var y = sum(matmul(inner[0], w));
            return Results{Tape::current()->gradient(y, {w}, {.create_graph = true})[0]};
          });
        });
      }));
  CHECK(throws_with("recompute|freed what it recorded|retain", [&] {
    recompute(Results{a}, [&](Inputs in) {
      const Var y = sum(in[0] * in[0]);
      return Results{y * Tape::current()->gradient(y, {in[0]})[0]};
    });
  }));
  CHECK(throws_with("backward|within the function of recompute()|call it outside", [&] {
    recompute(Results{a}, [&](Inputs in) {
      Tape::current()->backward(sum(in[0] * in[0]), {.retain = true});
      return Results{in[0]};
    });
  }));
}

TEST_CASE("a backward function within recompute() asks its tape for a gradient") {
  const auto number = [](double value) { return parameter(Tensor::full({3}, value)); };
  const Var p = number(2), q = number(3), r = number(5), s = number(7);
  const Var one(Tensor::full({3}, 1));
  Tape tape;
  const Results inputs = {p * q};
  const Results ys = recompute(inputs, [&](Inputs in) {
    const Var h = in[0] * s;
    Tape* const inner = Tape::current();
    // The gradient of h by s is x.
    const Var y =
        record("times_x", {&h}, h.value().clone(), [=, &s, &one](const Var& dy, Grads& grads) {
          grads.add(0, dy * inner->gradient(h, one, {&s, 1}, {.retain = true})[0]);
        });
    return Results{y * r};
  });
  tape.backward(sum(ys[0]));
  // dL/dx = r x s at x = 6.
  CHECK(p.grad().value().to_vector<double>() == std::vector<double>(3, 5.0 * 6 * 7 * 3));
  CHECK(q.grad().value().to_vector<double>() == std::vector<double>(3, 5.0 * 6 * 7 * 2));
}

TEST_CASE("what recompute() returns unchanged is the same variable, with the stored run's bits") {
  const Var a = parameter(random_tensor({3, 4}, 1)), w = parameter(random_tensor({4, 4}, 2));
  const Function f = [&](Inputs in) {
    const Var y = tanh(linear(in[0], w));
    return Results{y, in[0], y, a, in[0], w, y};
  };
  const auto gradients = [&](bool stored, const Tensor& into) {
    Tape tape;
    const Var x = a * 2.0;
    const Results ys = stored ? f(Results{x}) : recompute(Results{x}, f, into);
    CHECK(ys[1].is(x));
    CHECK(ys[2].is(ys[0]));
    CHECK(ys[3].is(a));
    CHECK(ys[5].is(w));
    CHECK(ys[6].is(ys[0]));
    Var loss = sum(square(x)) * 0.3;
    for (std::size_t k = 0; k < ys.size(); ++k) {
      loss = loss + sum(ys[k] * Var(random_tensor(ys[k].shape(), 10 + k)));
    }
    return tape.gradient(loss + sum(square(w)) * 0.7, {a, w});
  };
  const std::vector<Var> stored = gradients(true, {});
  for (const Tensor& into : {Tensor(), Tensor::zeros({3, 4}, DType::float64)}) {
    const std::vector<Var> again = gradients(false, into);
    for (std::size_t i = 0; i < 2; ++i) CHECK(same_bits(stored[i].value(), again[i].value()));
  }
}

TEST_CASE("an input that recompute() moves into memory is a copy of it") {
  const Var a = parameter(random_tensor({3, 4}, 1));
  const Tensor memory = Tensor::zeros({3, 4}, DType::float64);
  Tape tape;
  const Results ys = recompute(
      Results{a},
      [](Inputs in) {
        return Results{in[0], in[0]};
      },
      memory);
  CHECK(ys[0].value().raw() == memory.raw());
  CHECK(ys[1].is(a));
  const Var da = tape.gradient(sum(ys[0] * 2.0) + sum(ys[1] * 3.0), {a})[0];
  CHECK(da.value().at({2, 3}) == 5);
}

}  // namespace tapeloop::nn
