// SPDX-License-Identifier: MIT
// What recompute() refuses: forgotten values, and functions that compute something else when they
// run again.
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

}  // namespace

TEST_CASE("gradient() refuses a value that recompute() forgot, instead of giving zeros") {
  const Var w = parameter(random_tensor({3}, 2));
  Var inner;
  Tape tape;
  const Var y = recompute(Results{w * 2.0}, [&](Inputs in) {
    inner = in[0] * in[0];
    return Results{inner * in[0]};
  })[0];
  CHECK(throws_with(
      "gradient|an x float64[3] was computed within the function of recompute()|return it",
      [&] { tape.gradient(sum(y), {inner}); }));
}

TEST_CASE("recompute() refuses a function that does not compute the same when it is run again") {
  const Var w = parameter(random_tensor({3}, 1));
  const Var v = parameter(random_tensor({3}, 2));
  Random random(3);
  for (const bool graph : {false, true}) {
    CAPTURE(graph);
    const auto throws = [&](const char* text, const auto& second) {
      int calls = 0;
      Tape tape;
      const Var y = recompute(Results{w * 2.0}, [&, calls](Inputs in) mutable {
        if (calls++ > 0) return Results{Var(second(in[0]))};
        return Results{dropout(in[0] * w, 0.5, random)};
      })[0];
      return throws_with(text, [&] { tape.gradient(sum(y), {w}, {.create_graph = graph}); });
    };
    CHECK(throws("recompute|result 0 is a constant [3]|a computed value [3]",
                 [&](const Var& x) { return dropout(x * w, 0.5, random).detach(); }));
    CHECK(throws("recompute|result 0 is a computed value []|a computed value [3]",
                 [&](const Var& x) { return sum(dropout(x * w, 0.5, random)); }));
    CHECK(throws("recompute|fewer random numbers", [&](const Var& x) { return x * w; }));
    CHECK(throws("recompute|uses a parameter float64[3] that it did not use the first time",
                 [&](const Var& x) { return dropout(x * v, 0.5, random); }));
    CHECK(throws("recompute|result 0, float64[3], has other values than in the first run|written",
                 [&](const Var& x) { return dropout(x * w * 2.0, 0.5, random); }));
  }
}

TEST_CASE("recompute() notices that a tensor which its function holds was refilled") {
  const Var w = parameter(random_tensor({5, 2}, 1));
  const Tensor index = Tensor::from<std::int64_t>({2}, {0, 1});
  const Tensor mask = Tensor::full({2, 2}, 1, DType::float64);
  const auto run = [&](const auto& write) {
    Tape tape;
    const Var y =
        recompute(Results{}, [&](Inputs) { return Results{embedding(w, index) * Var(mask)}; })[0];
    write();
    return test::message_of([&] { tape.backward(sum(y)); });
  };
  const char* const refused = "result 0, float64[2, 2], has other values than in the first run";
  CHECK(run([] {}) == test::message_of([] {}));
  CHECK(run([&] {
          index.copy_from(Tensor::from<std::int64_t>({2}, {3, 4}));
        }).find(refused) != std::string::npos);
  CHECK(run([&] { mask.fill(0.5); }).find(refused) != std::string::npos);
  CHECK(run([&] { mask.data<double>()[3] = 7; }).find(refused) != std::string::npos);
}

}  // namespace tapeloop::nn
