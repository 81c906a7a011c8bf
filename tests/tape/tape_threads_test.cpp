// SPDX-License-Identifier: MIT
// Tapes in several threads: each thread records on its own tape, also if threads share parameters
// for reading. Compares results bit by bit with those of one thread alone.
#include "tests/support.h"

#include <atomic>
#include <memory>
#include <thread>

#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/sgd.h"

namespace tapeloop::test {
namespace {

Var loss_of(const Var& w, const Tensor& x, int steps) {
  Var h(Tensor::zeros({x.dim(0), w.dim(0)}, w.dtype()));
  for (int t = 0; t < steps; ++t) h = tanh(linear(h + Var(x), w));
  return mean(square(h));
}

// Trains a model by gradient descent. Returns its final weights.
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
  CHECK(message.find("another thread made this tape") != std::string::npos);
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

TEST_CASE("backward() of one model from several threads loses no part of grad()") {
  const Var w = parameter(random_tensor({64, 64}, 3)), b = parameter(random_tensor({64}, 4));
  const auto pass = [&](std::uint64_t seed) {
    Tape tape;
    tape.backward(sum(linear(Var(random_tensor({3, 64}, seed)), w, b)));
  };
  constexpr int kThreads = 4, kPasses = 200;
  const auto number = [](int thread, int n) {
    return static_cast<std::uint64_t>(thread * kPasses + n);
  };
  for (int i = 0; i < kThreads; ++i) {
    for (int n = 0; n < kPasses; ++n) pass(number(i, n));
  }
  const Tensor dw = w.grad().value().clone(), db = b.grad().value().clone();
  CHECK(db.at({5}) == 3.0 * kThreads * kPasses);
  w.zero_grad();
  b.zero_grad();
  in_threads(kThreads, [&](int i) {
    for (int n = 0; n < kPasses; ++n) pass(number(i, n));
  });
  CHECK(same_bits(b.grad().value(), db));  // whole numbers: exact in any order
  CHECK(distance(w.grad().value(), dw) < 1e-12);
}

TEST_CASE("grad() is whole whenever another thread reads, sets or forgets it") {
  const Var w = parameter(Tensor::zeros({1000}, DType::float64));
  std::atomic<bool> done{false};
  std::atomic<int> torn{0};
  in_threads(3, [&](int i) {
    if (i == 0) {
      for (int n = 0; n < 300; ++n) {
        Tape tape;
        tape.backward(sum(w * 1.0));
      }
      done = true;
      return;
    }
    while (!done) {
      if (i == 1) {
        const Var grad = w.grad();
        if (!grad.defined()) continue;
        const std::vector<double> values = grad.value().to_vector<double>();
        if (values.front() != values.back()) ++torn;
      } else {
        w.zero_grad();
        w.set_grad(Var(Tensor::zeros({1000}, DType::float64)));
      }
    }
  });
  CHECK(torn == 0);
}

TEST_CASE("two threads that step one optimizer take turns") {
  const Var w = parameter(Tensor::zeros({100}, DType::float64));
  w.set_grad(Var(Tensor::full({100}, 1.0, DType::float64)));
  optim::Sgd sgd({NamedVar{"w", w}}, {.learning_rate = 1.0});
  in_threads(2, [&](int) {
    for (int n = 0; n < 100; ++n) sgd.step();
  });
  CHECK(sgd.steps() == 200);
  CHECK(w.value().to_vector<double>() == std::vector<double>(100, -200.0));
}

TEST_CASE("threads that share a Random take no number twice") {
  Random random(1);
  std::vector<std::uint64_t> taken[3];
  in_threads(3, [&](int i) {
    for (int n = 0; n < 2000; ++n) taken[i].push_back(random.take(8));
  });
  std::vector<std::uint64_t> all;
  for (const std::vector<std::uint64_t>& list : taken) {
    all.insert(all.end(), list.begin(), list.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t n = 0; n < all.size(); ++n) CHECK(all[n] == 8 * n);
  CHECK(random.next == 8 * all.size());
}

TEST_CASE("threads pack one weight at the same time and get the same product") {
  for (int round = 0; round < 20; ++round) {
    const Var w = parameter(random_tensor({70, 33}, static_cast<std::uint64_t>(round)));
    const Var x(random_tensor({5, 33}, 2));
    std::vector<Tensor> products(4);
    in_threads(4, [&](int i) { products[static_cast<std::size_t>(i)] = linear(x, w).value(); });
    for (const Tensor& product : products) CHECK(same_bits(product, products[0]));
  }
}

TEST_CASE("a tape that ends in another thread leaves its own thread without one") {
  const Var x = parameter(Tensor::full({}, 3, DType::float64));
  Tape outer;
  auto tape = std::make_unique<Tape>();
  Var y = x * x;
  CHECK(tape->size() == 1);
  in_threads(1, [&](int) {
    tape.reset();
    CHECK(Tape::current() == nullptr);
  });
  CHECK(Tape::current() == &outer);
  CHECK(message_of([&] { y* y; }).find("recorded on another tape") != std::string::npos);
  y = x * x;
  CHECK(outer.size() == 1);
  outer.backward(y);
  CHECK(x.grad().item() == 6);
}

TEST_CASE("a tape outlives the thread that made it, also below others") {
  std::unique_ptr<Tape> first, second;
  Var y;
  const Var x = parameter(Tensor::full({}, 3, DType::float64));
  in_threads(1, [&](int) {
    first = std::make_unique<Tape>();
    second = std::make_unique<Tape>();
    y = x * x;
    const Tape third;
    x* x;
  });
  CHECK(Tape::current() == nullptr);
  CHECK(second->size() == 1);
  CHECK(message_of([&] { second->backward(y); }).find("another thread made this tape") !=
        std::string::npos);
  first.reset();
  second.reset();
  Tape tape;
  tape.backward(x * x);
  CHECK(x.grad().item() == 6);
}

TEST_CASE("tapes end in any order and any thread while others record") {
  const Var x = parameter(Tensor::full({4}, 3, DType::float64));
  std::vector<std::unique_ptr<Tape>> tapes(60);
  in_threads(3, [&](int i) {
    for (std::size_t n = static_cast<std::size_t>(i); n < tapes.size(); n += 3) {
      tapes[n] = std::make_unique<Tape>();
      sum(x * x);
      if (n % 2 == 0) tapes[n].reset();
    }
  });
  in_threads(3, [&](int i) {
    Tape tape;
    for (std::size_t n = static_cast<std::size_t>(i + 1) % 3; n < tapes.size(); n += 3) {
      tapes[n].reset();
      sum(x * x);
    }
    CHECK(tape.size() == 40);
  });
}

TEST_CASE("live_bytes is what a thread took and nobody has released") {
  const auto live = [] { return memory::stats().live_bytes; };
  const std::int64_t before = live();
  std::vector<Var> vars;
  std::int64_t in_other = -1, after_release = -1;
  for (int i = 0; i < 50; ++i) vars.emplace_back(Tensor::zeros({1000}));
  PoolVector<double> list(100);
  const std::int64_t with = live();
  CHECK(with - before >= 50 * 4000 + 800);
  in_threads(1, [&](int) {
    in_other = live();
    vars.clear();
    PoolVector<double>().swap(list);
    after_release = live();
  });
  CHECK(in_other == 0);
  CHECK(after_release == 0);
  CHECK(live() == before);
  // The reverse: blocks of a thread that has ended.
  in_threads(1, [&](int) {
    for (int i = 0; i < 50; ++i) vars.emplace_back(Tensor::zeros({1000}));
  });
  CHECK(live() == before);
  vars.clear();
  CHECK(live() == before);
  memory::reset_peak();
  CHECK(memory::stats().peak_bytes == before);
}

TEST_CASE("threads that hand blocks to each other drift nowhere") {
  std::vector<Var> given[2];
  const std::int64_t before = memory::stats().live_bytes;
  for (int round = 0; round < 20; ++round) {
    in_threads(2, [&](int i) {
      for (int n = 0; n < 20; ++n) given[i].emplace_back(Tensor::zeros({100 * n + 1}));
    });
    in_threads(2, [&](int i) {
      given[1 - i].clear();
      CHECK(memory::stats().live_bytes == 0);
    });
  }
  CHECK(memory::stats().live_bytes == before);
}

TEST_CASE("a thread counts its own blocks also if it took none from the heap") {
  Tensor a = Tensor::zeros({100}), b = Tensor::zeros({100});
  std::vector<std::int64_t> live;
  std::thread([&] {
    a = Tensor();
    b = Tensor();
    for (int i = 0; i < 3; ++i) {
      const Tensor reused = Tensor::empty({100});
      live.push_back(memory::stats().live_bytes);
    }
    live.push_back(memory::stats().live_bytes);
  }).join();
  CHECK(live[0] > 0);
  CHECK(live[1] == live[0]);
  CHECK(live[2] == live[0]);
  CHECK(live[3] == 0);
}

}  // namespace tapeloop::test
