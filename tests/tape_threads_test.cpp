// SPDX-License-Identifier: MIT
// Tapes in several threads: each thread records on its own tape, also where parameters are shared for reading. Results are
// compared bit by bit with those of one thread alone.
#include "support.h"

#include <thread>

namespace tapeloop::test {
namespace {

Var loss_of(const Var& w, const Tensor& x, int steps) {
  Var h(Tensor::zeros({x.dim(0), w.dim(0)}, w.dtype()));
  for (int t = 0; t < steps; ++t) h = tanh(linear(h + Var(x), w));
  return mean(square(h));
}

// A model trained by gradient descent; its weights at the end.
Tensor trained(std::uint64_t seed) {
  const Var w = parameter(random_tensor({8, 8}, seed));
  const Tensor x = random_tensor({4, 8}, seed + 1);
  for (int i = 0; i < 30; ++i) {
    Tape tape;
    tape.backward(loss_of(w, x, 5));
    add_in_place(w.value(), (w.grad() * -0.1).value());
    w.zero_grad();
  }
  return w.value();
}

template <class Work>
void in_threads(int count, Work work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("a tape records in the thread that made it, and in no other") {
  const Var x = parameter(Tensor::full({}, 2, DType::float64));
  Tape tape;
  const Var y = x * x;
  bool seen = true;
  bool recorded = true;
  std::string message;
  std::thread other([&] {
    seen = Tape::current() != nullptr;
    recorded = (x * x).requires_grad();
    message = message_of([&] { tape.backward(y); });
  });
  other.join();
  CHECK_FALSE(seen);
  CHECK_FALSE(recorded);
  CHECK(message.find("not the innermost one in this thread") != std::string::npos);
  CHECK(tape.size() == 1);
  tape.backward(y);
  CHECK(x.grad().item() == 4);
}

TEST_CASE("two threads train two models at once and get the bits that each gets alone") {
  for (const int pool : {1, 2}) {
    const Threads scope(pool);
    Tensor alone[2] = {trained(1), trained(2)};
    Tensor together[2];
    in_threads(2, [&](int i) { together[i] = trained(static_cast<std::uint64_t>(i) + 1); });
    CHECK(same_bits(alone[0], together[0]));
    CHECK(same_bits(alone[1], together[1]));
  }
}

TEST_CASE(
    "threads that share parameters for reading get the same gradients, without touching grad()") {
  const Var w = parameter(random_tensor({8, 8}, 3));
  const auto gradient = [&](int i) {
    const Tensor x = random_tensor({4, 8}, static_cast<std::uint64_t>(i));
    Tape tape;
    return tape.gradient(loss_of(w, x, 20), {w})[0].value();
  };
  std::vector<Tensor> alone;
  for (int i = 0; i < 4; ++i) alone.push_back(gradient(i));
  std::vector<Tensor> together(4);
  in_threads(4, [&](int i) {
    for (int n = 0; n < 10; ++n) together[static_cast<std::size_t>(i)] = gradient(i);
  });
  for (std::size_t i = 0; i < 4; ++i) CHECK(same_bits(alone[i], together[i]));
  CHECK_FALSE(w.grad().defined());
}

TEST_CASE(
    "tensors and variables may be handed to another thread, which may be the last to hold them") {
  std::vector<Var> vars;
  in_threads(1, [&](int) {
    for (int i = 0; i < 100; ++i) vars.push_back(Var(Tensor::full({100}, i, DType::float64)) * 2.0);
  });
  double total = 0;
  for (const Var& x : vars) total += x.value().at({99});
  CHECK(total == 2 * 99 * 100 / 2);
  in_threads(2, [&](int i) {
    for (std::size_t n = static_cast<std::size_t>(i); n < vars.size(); n += 2) vars[n] = Var();
  });
}

}  // namespace tapeloop::test
