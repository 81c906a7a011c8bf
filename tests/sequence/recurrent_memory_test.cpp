// SPDX-License-Identifier: MIT
// The memory of recurrent(): it overwrites zx if no one else holds it, keeps no sequence for a
// carried state, and allocates nothing on the heap in the steady state. Counts calls of operator
// new; measures no time.
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/sgd.h"
#include "tests/allocations.h"
#include "tests/sequence/recurrent_oracle.h"

namespace tapeloop::test {
namespace {

std::int64_t live() { return memory::stats().live_bytes; }

constexpr std::int64_t kT = 50, kN = 8, kH = 32;
constexpr std::int64_t kPart = kN * kH * 8;  // bytes of one part of a state, float64

// Bytes that a forward pass adds while a tape records.
std::int64_t kept_by(const Kind& kind, Give give) {
  Problem p(kind, kT, kN, kH);
  p.give = give;
  Tape tape;
  p.forward(unrolled);  // grows the tape's lists and packs the weights
  p.forward(fused);
  const std::int64_t before = live();
  const RecurrentResult result = p.forward(fused);
  return live() - before;
}

// True if the formula takes the input itself, apart from the product.
bool reads_input(const StepLayout& layout) {
  for (const StepLayout::Columns& c : layout.operations.back().arguments) {
    if (layout.values[static_cast<std::size_t>(c.value)].from == StepLayout::From::input)
      return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a record holds pre-activations and states, and zx only where somebody else has it") {
  for (const Kind& kind : kKinds) {
    CAPTURE(std::string(kind.name));
    const bool apart = reads_input(kind.make(Var(Tensor::zeros({kind.gates, 1})), Var()).layout());
    const std::int64_t z = kT * kind.gates * kPart;
    const std::int64_t states = kT * kind.parts * kPart + kind.parts * kPart;
    const std::int64_t slack = (z + states) / 8 + 16384;  // blocks are rounded up by at most 1/8
    const std::int64_t moved = kept_by(kind, Give::moved);
    CHECK(moved >= z + states);
    CHECK(moved <= z + states + (apart ? z + z / 8 : 0) + slack);
    CHECK(kept_by(kind, Give::held) >= 2 * z + states);
    CHECK(kept_by(kind, Give::itself) <= z + states + slack);
  }
}

TEST_CASE("without a tape only h is kept over time, and a moved zx serves as its own scratch") {
  for (const Kind& kind : kKinds) {
    CAPTURE(std::string(kind.name));
    Problem p(kind, kT, kN, kH);
    p.forward(fused);
    const std::int64_t before = live();
    memory::reset_peak();
    const RecurrentResult result = p.forward(fused);
    const std::int64_t zx = kT * kind.gates * kPart, hs = kT * kPart;
    CHECK(memory::stats().peak_bytes - before <= (zx + hs) * 9 / 8 + 16 * kind.gates * kPart);
    CHECK(live() - before <= hs * 9 / 8 + 2 * kind.parts * kPart + 8192);
  }
}

TEST_CASE("a carried state does not keep its sequence's memory") {
  for (const Kind& kind : kKinds) {
    CAPTURE(std::string(kind.name));
    Problem p(kind, kT, kN, kH);
    p.run(fused);  // packs the weights for both passes
    const std::int64_t before = live();
    PoolVector<Var> carried;
    {
      Tape tape;
      RecurrentResult result = p.forward(fused);
      carried = std::move(result.last);
      tape.backward(sum(carried[0]));
    }
    for (const Var& x : p.parameters()) x.zero_grad();
    CHECK(live() - before <= 2 * kind.parts * kPart + 8192);
    // A chain of chunks: each starts with the last state of the one before.
    std::int64_t first = 0;
    for (int chunk = 0; chunk < 10; ++chunk) {
      Tape tape;
      std::vector<Var> start;
      for (const Var& part : carried) start.push_back(part.detach());
      RecurrentResult result = recurrent(p.recurrence(), p.x * 0.5, start, {});
      carried = std::move(result.last);
      tape.backward(sum(result.hs));
      if (chunk == 2) first = live();
      if (chunk > 2) CHECK(live() <= first);
    }
  }
}

TEST_CASE("what a tape recorded of sequences goes with it, played back or not") {
  for (const Kind& kind : kKinds) {
    CAPTURE(std::string(kind.name));
    Problem p(kind, 5, 3, 17);
    p.run(fused, 2);
    p.run(fused, 2);
    const std::int64_t before = live();
    for (int i = 0; i < 3; ++i) {
      p.run(fused, 1);
      p.run(fused, 2);
      const Tape unplayed;
      p.forward(fused);
    }
    CHECK(live() == before);
  }
}

template <class Stack>
void train_without_allocations() {
  for (const int threads : {1, 2}) {
    const Threads scope(threads);
    Random random(1);
    Stack model({.input = 5, .hidden = 33, .layers = 2}, random);
    optim::Sgd sgd(nn::parameters(model), {.learning_rate = 0.01});
    const Tensor xs = random_tensor({12, 9, 5}, 1, DType::float32);
    typename Stack::State carry;
    const auto train = [&] {
      {
        Tape tape;
        auto [ys, last] = model(Var(xs), carry);
        tape.backward(mean(square(ys)));
        carry = last.detach();
      }
      sgd.step();
      sgd.zero_grad();
    };
    const auto infer = [&] { carry = model(Var(xs.slice(0, 0, 1)), carry).last; };
    for (int i = 0; i < 4; ++i) train(), infer();
    const std::int64_t before = allocations();
    const std::int64_t heap_calls = memory::stats().heap_calls;
    for (int i = 0; i < 10; ++i) train(), infer();
    CHECK(allocations() == before);
    CHECK(memory::stats().heap_calls == heap_calls);
  }
}

TEST_CASE("training and inference make no heap allocation in the steady state") {
  if (!can_count_allocations()) return;
  const std::int64_t at_first = allocations();
  // Called by name: a compiler may leave out an expression with `new`.
  ::operator delete(::operator new(1));
  CHECK(allocations() > at_first);  // the counter counts
  train_without_allocations<nn::Lstm>();
  train_without_allocations<nn::Gru>();
  train_without_allocations<nn::Rnn>();
}

}  // namespace tapeloop::test
