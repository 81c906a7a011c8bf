// SPDX-License-Identifier: MIT
// recurrent() against the same steps unrolled on the tape: values, first and second gradients, over
// odd sizes, lengths, directions, types and threads; effects of overwriting zx; errors.
// recurrent_lengths_test.cpp tests the ends of sequences, recurrent_memory_test.cpp memory.
#include <random>
#include <thread>

#include "tests/sequence/recurrent_oracle.h"

namespace tapeloop::test {
namespace {

constexpr DType kTypes[] = {DType::float64, DType::float32};
constexpr std::int64_t kSteps[] = {1, 2, 17};
constexpr std::int64_t kBatches[] = {1, 2, 15, 17};
constexpr std::int64_t kHiddens[] = {1, 2, 15, 17, 63, 65};

void capture_and_compare(const Problem& p, int order) {
  CAPTURE(std::string(p.kind.name));
  CAPTURE(p.steps);
  CAPTURE(p.batch);
  CAPTURE(p.hidden);
  CAPTURE(std::string(name(p.dtype)));
  CAPTURE(p.reverse);
  CAPTURE(p.lengths.empty());
  CAPTURE(static_cast<int>(p.give));
  CAPTURE(static_cast<int>(p.use));
  check_same(p.run(fused, order), p.run(unrolled, order), allowed_error(p.dtype));
}

}  // namespace

TEST_CASE("a sequence as one operation gives what its steps give one by one, at every size") {
  std::mt19937_64 random(kSeed);  // draws options: each option meets each size
  for (const Kind& kind : kKinds) {
    for (const DType dtype : kTypes) {
      for (const std::int64_t steps : kSteps) {
        for (const std::int64_t batch : kBatches) {
          for (const std::int64_t hidden : kHiddens) {
            Problem p(kind, steps, batch, hidden, dtype);
            p.reverse = random() % 2 == 0;
            if (random() % 2 == 0) p.set_lengths(random);
            p.give = kGives[random() % 3];
            p.use = kUses[random() % 5];
            const Threads scope(1 + static_cast<int>(random() % 2));
            capture_and_compare(p, 1);
          }
        }
      }
    }
  }
}

TEST_CASE("every way to give zx, to use the results, and to run, at one size") {
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : kKinds) {
    for (const bool reverse : {false, true}) {
      for (const bool lengths : {false, true}) {
        for (const Give give : kGives) {
          for (const Use use : kUses) {
            Problem p(kind, 3, 3, 9);
            p.reverse = reverse;
            if (lengths) p.set_lengths(random);
            p.give = give;
            p.use = use;
            capture_and_compare(p, 1);
          }
        }
      }
    }
  }
}

TEST_CASE("the gradient of the gradient is that of the steps, also after zx was overwritten") {
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : kKinds) {
    for (const DType dtype : kTypes) {
      for (const std::int64_t steps : {1, 2, 5}) {
        for (const std::int64_t hidden : {1, 2, 15, 17}) {
          Problem p(kind, steps, 1 + static_cast<std::int64_t>(random() % 4), hidden, dtype);
          p.reverse = random() % 2 == 0;
          if (random() % 2 == 0) p.set_lengths(random);
          p.give = kGives[random() % 3];
          p.use = kUses[random() % 5];
          const Threads scope(1 + static_cast<int>(random() % 2));
          capture_and_compare(p, 2);
        }
      }
    }
  }
}

TEST_CASE("gradcheck of first and second order, with zx overwritten and with zx held") {
  for (const Kind& kind : kKinds) {
    for (const Give give : kGives) {
      for (const bool lengths : {false, true}) {
        Problem p(kind, 3, 2, 2);
        p.give = give;
        p.reverse = lengths;
        if (lengths) p.lengths = {1, 3};
        ParameterList list;
        for (const Var& x : p.parameters()) {
          list.push_back({"parameter " + std::to_string(list.size()), x});
        }
        const GradcheckReport report = gradcheck(
            [&] {
              const RecurrentResult result = p.forward(fused);
              std::vector<Var> all = {result.hs};
              all.insert(all.end(), result.last.begin(), result.last.end());
              return all;
            },
            list, {.second_order = true});
        CAPTURE(std::string(kind.name));
        INFO(report.str());
        CHECK(report.ok);
        CHECK(report.failures == 0);
      }
    }
  }
}

TEST_CASE("1, 2 and 3 threads give the same bits") {
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : kKinds) {
    for (const DType dtype : kTypes) {
      for (const std::int64_t hidden : {130, 65}) {
        // Work for three threads: more than 4e5 flops for each of them in a step.
        const std::int64_t batch = 1 + 1000000 / (kind.gates * hidden * hidden);
        Problem p(kind, 6, batch, hidden, dtype);
        p.reverse = random() % 2 == 0;
        if (random() % 2 == 0) p.set_lengths(random);
        p.give = kGives[random() % 3];
        CAPTURE(std::string(kind.name));
        CAPTURE(hidden);
        const Outcome alone = p.run(fused);
        for (const int threads : {2, 3, 2, 3}) {
          const Threads scope(threads);
          CHECK(same_bits(p.run(fused), alone));
        }
      }
    }
  }
}

TEST_CASE("two threads of a program run sequences of their own with weights that both read") {
  const Threads scope(2);
  Problem p(kKinds[0], 5, 17, 65);
  const Outcome expected = p.run(fused);
  std::atomic<int> wrong{0};
  const auto work = [&] {
    Problem own(p.kind, p.steps, p.batch, p.hidden);
    own.w = parameter(p.w.value());  // another variable on the same memory
    for (int i = 0; i < 10; ++i) {
      if (!same_bits(own.run(fused), expected)) ++wrong;
    }
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(wrong == 0);
}

TEST_CASE("without a tape the results have the same bits as with one") {
  std::mt19937_64 random(kSeed);
  for (const Kind& kind : kKinds) {
    for (const DType dtype : kTypes) {
      for (const Give give : kGives) {
        Problem p(kind, 17, 3, 17, dtype);
        p.reverse = random() % 2 == 0;
        p.set_lengths(random);
        p.give = give;
        CAPTURE(std::string(kind.name));
        const Outcome taped = p.run(fused);
        const RecurrentResult bare = p.forward(fused);
        CHECK_FALSE(bare.hs.requires_grad());
        CHECK(same_bits(bare.hs.value(), taped.values[0]));
        for (std::size_t k = 0; k < bare.last.size(); ++k)
          CHECK(same_bits(bare.last[k].value(), taped.values[1 + k]));
      }
    }
  }
}

TEST_CASE("played back twice, a record gives the same bits and adds up to the double") {
  for (const Kind& kind : kKinds) {
    for (const Give give : kGives) {
      Problem p(kind, 4, 3, 17, DType::float32);
      p.give = give;
      CAPTURE(std::string(kind.name));
      Tape tape;
      const Var loss = p.loss(p.forward(fused));
      const std::vector<Var> asked = tape.gradient(loss, p.parameters(), {.retain = true});
      tape.backward(loss, {.retain = true});
      std::vector<Tensor> once;
      for (const Var& x : p.parameters()) once.push_back(x.grad().value().clone());
      tape.backward(loss);  // the last pass: it may overwrite kept values
      for (std::size_t i = 0; i < once.size(); ++i) {
        CAPTURE(i);
        CHECK(same_bits(asked[i].value(), once[i]));
        CHECK(same_bits(p.parameters()[i].grad().value(), (Var(once[i]) + Var(once[i])).value()));
      }
    }
  }
}

TEST_CASE("a recorded backward pass between two plain ones changes neither") {
  for (const Kind& kind : kKinds) {
    Problem p(kind, 4, 2, 5);
    p.lengths = {2, 4};
    CAPTURE(std::string(kind.name));
    Tape tape;
    const Var loss = p.loss(p.forward(fused));
    const std::vector<Var> before = tape.gradient(loss, p.parameters(), {.retain = true});
    const std::vector<Var> recorded = tape.gradient(loss, p.parameters(), {.create_graph = true});
    const std::vector<Var> after = tape.gradient(loss, p.parameters());
    for (std::size_t i = 0; i < before.size(); ++i) {
      CAPTURE(i);
      CHECK(error_of(recorded[i].value(), before[i].value()) <= 1e-12);
      CHECK(same_bits(after[i].value(), before[i].value()));
    }
  }
}

TEST_CASE("memory that others see is never overwritten: views, constants, expanded states") {
  const Kind& lstm = kKinds[0];
  const Problem p(lstm, 5, 3, 4);
  const Tensor whole = random_tensor({7, 3, 16}, 50);
  const Tensor before = whole.clone();
  const Recurrence r = p.recurrence();
  const RecurrentResult of_copy = recurrent(r, Var(whole.slice(0, 1, 6).clone()), p.state);
  const auto check = [&](Var zx) {
    const RecurrentResult result = recurrent(r, std::move(zx), p.state);
    CHECK(same_bits(result.hs.value(), of_copy.hs.value()));
    CHECK(same_bits(result.last[1].value(), of_copy.last[1].value()));
    CHECK(same_bits(whole, before));
  };
  check(Var(whole.slice(0, 1, 6)));
  check(slice(Var(whole), 0, 1, 6));
  const Tensor turned = whole.transpose(0, 1).clone();  // [N, T, G*H]
  check(Var(turned.transpose(0, 1).slice(0, 1, 6)));

  SUBCASE("one row for the whole batch as the state, and one variable as both parts") {
    const Var row(random_tensor({1, 4}, 51));
    const Var state[] = {expand(row, {3, 4}), Var(row.value().expand({3, 4}))};
    const Var same(random_tensor({1, 4}, 51).expand({3, 4}).clone());
    const Var both[] = {same, same};
    CHECK(same_bits(recurrent(r, p.x, state).hs.value(), recurrent(r, p.x, both).hs.value()));
    CHECK(same_bits(same.value(), row.value().expand({3, 4})));
  }
}

static Recurrence lstm_of(const Var& w) {
  return Recurrence(nn::LstmGates{}, of::input() + of::product(w), of::state(1));
}

TEST_CASE("gradients go through views of zx, transposed weights and a state used twice") {
  for (const Implementation f : {&fused, &unrolled}) {
    CAPTURE(f == &fused);
    static std::vector<Tensor> first;                       // of the fused run
    const Var x = parameter(random_tensor({3, 6, 8}, 60));  // [N, T, 2 * G*H]
    const Var w = parameter(random_tensor({4, 16}, 61, DType::float64, -0.5, 0.5));
    const Var h = parameter(random_tensor({3, 4}, 62));
    Tape tape;
    const Var zx = concat({transpose(x, 0, 1), transpose(x, 0, 1) * 0.5}, -1);
    const std::vector<Var> state = {h, h};
    const RecurrentResult a = f(lstm_of(transpose(w)), slice(zx, 0, 0, 6, 2), state, {});
    const RecurrentResult b = f(lstm_of(transpose(w)), zx, a.last, {.reverse = true});
    const Var loss = sum(square(a.hs)) + sum(b.hs * 0.3) + sum(square(b.last[1]));
    std::vector<Tensor> gradients;
    for (const Var& gradient : tape.gradient(loss, {x, w, h})) {
      gradients.push_back(gradient.value().clone());
    }
    if (f == &fused) {
      first = gradients;
      continue;
    }
    for (std::size_t i = 0; i < gradients.size(); ++i)
      CHECK(error_of(first[i], gradients[i]) <= 1e-12);
  }
}

TEST_CASE("mistakes are told before any work, with shapes and what was expected") {
  const Problem p(kKinds[0], 3, 2, 4);
  const Recurrence lstm = p.recurrence();
  const auto zeros = [](const Shape& shape, DType dtype = DType::float64) {
    return Var(Tensor::zeros(shape, dtype));
  };
  const auto call = [&](const Recurrence& r, const Var& zx, const std::vector<Var>& state,
                        const std::vector<std::int64_t>& lengths = {}) {
    return [=] { recurrent(r, zx, state, {.lengths = lengths}); };
  };
  const std::vector<Var> state = p.state;
  CHECK(throws_with("recurrence: the formula has 1 results, there is no result 2", [] {
    Recurrence r;
    r.next({r.stage(nn::ElmanTanh{}, of::input())[2]});
  }));
  CHECK(throws_with("recurrent: |the recurrence is undefined; build it from a formula and its",
                    call(Recurrence(), p.x, state)));
  CHECK(throws_with("the recurrence is undefined", [&] { Recurrence().step(p.x, state); }));
  // A value of another recurrence is refused, even if this one has a value of the same number.
  Recurrence one, two;
  const auto first = one.stage(nn::ElmanTanh{}, of::input());
  two.stage(nn::ElmanTanh{}, of::input());
  CHECK(throws_with("recurrence: |the value of another Recurrence; calculate it in this one",
                    [&] { two.next({first[0]}); }));
  one.next({first[0]});
  CHECK(throws_with("weight [16, 0], expected [G*H, H]", [&] { lstm_of(zeros({16, 0})); }));
  CHECK(throws_with("weight [16], expected [G*H, H]", [&] { lstm_of(zeros({16})); }));
  CHECK(throws_with("weight that is undefined, expected [G*H, H]", [&] { lstm_of(Var()); }));
  CHECK(throws_with(
      "recurrent: |lstm_gates|takes 5 arguments (i f g o c) of equal width, but is given 19 "
      "columns: 15 from a product, 4 from part 1 of the state",
      call(lstm_of(zeros({15, 4})), zeros({3, 2, 15}), state)));
  CHECK(throws_with(
      "gru_gates|takes 7 arguments (xr xz xn hr hz hn h) of equal width, but is given 20 columns: "
      "8 from the input, 8 from a product, 4 from part 0",
      call(Recurrence(nn::GruGates{}, of::input(), of::product(zeros({8, 4})), of::state(0)),
           zeros({3, 2, 8}), {state[0]})));
  CHECK(throws_with("the input zx has 15 columns, expected 16: those of the weight [16, 4]",
                    call(lstm, zeros({3, 2, 15}), state)));
  CHECK(throws_with("a weight is [16, 5], expected [16, 4]: it is multiplied with part 0",
                    call(lstm_of(zeros({16, 5})), p.x, state)));
  const auto in_groups = [](const Var& w, int groups) {
    return Recurrence(nn::LstmGates{}, of::input() + of::product(w, of::state(0), Var(), groups),
                      of::state(1));
  };
  CHECK(throws_with("recurrence: of::product() was given 0 groups, expected 1 or more", [&] {
    in_groups(zeros({16, 4}), 0);
  }));
  CHECK(throws_with("a product divides 4 columns of part 0 of the state into 3 groups",
                    call(in_groups(zeros({16, 1}), 3), p.x, state)));
  CHECK(throws_with("a weight of a product in 2 groups is [14, 2], expected a multiple of 4 rows",
                    call(in_groups(zeros({14, 2}), 2), p.x, state)));
  CHECK(
      throws_with("a weight is [16, 4], expected [16, 2]: it is multiplied with part 0 of the "
                  "state, which has 4 columns in 2 groups",
                  call(in_groups(zeros({16, 4}), 2), p.x, state)));
  CHECK(throws_with("zx is [3, 16], expected [T, N, columns]", call(lstm, zeros({3, 16}), state)));
  CHECK(throws_with("zx is undefined, expected [T, N, columns]", call(lstm, Var(), state)));
  CHECK(
      throws_with("1 parts of a state were given, the step makes 2", call(lstm, p.x, {state[0]})));
  CHECK(throws_with("takes 5 arguments (i f g o c) of equal width, but is given 21",
                    call(lstm, p.x, {state[0], zeros({2, 5})})));
  CHECK(throws_with("3 lengths were given for a batch of 2", call(lstm, p.x, state, {1, 2, 3})));
  CHECK(throws_with(
      "length 4 of sequence 1 is outside 0..3, the number of time steps; zx is [3, 2, 16]",
      call(lstm, p.x, state, {1, 4})));
  CHECK(throws_with("length -1 of sequence 0 is outside 0..3", call(lstm, p.x, state, {-1, 3})));
  CHECK(throws_with("zx is int64, expected float32 or float64",
                    call(lstm, zeros({3, 2, 16}, DType::int64), state)));
  CHECK(
      throws_with("zx is float32[3, 2, 16], another operand float64[16, 4]; all must be of one "
                  "type",
                  call(lstm, zeros({3, 2, 16}, DType::float32), state)));
  CHECK(throws_with("another operand float32[2, 4]",
                    call(lstm, p.x, {state[0], zeros({2, 4}, DType::float32)})));
  const Var w3 = zeros({12, 4});
  CHECK(throws_with("the bias of a product is [11], expected [12]",
                    call(Recurrence(nn::GruGates{}, of::input(),
                                    of::product(w3, of::state(0), zeros({11})), of::state(0)),
                         zeros({3, 2, 12}), {state[0]})));
  Var zx = p.x * 1.0;
  CHECK(throws_with("length 9", call(lstm, zx, state, {9, 0})));
  CHECK(same_bits(zx.value(), p.x.value()));
}

}  // namespace tapeloop::test
