// SPDX-License-Identifier: MIT
// What the tape costs: heap allocations of a training step, memory of long unrolled loops, and the drawing of a tape. Counts
// calls of operator new; measures no time.
#include "tests/support.h"

#include <regex>
#include <set>
#include <sstream>

#include "tests/allocations.h"

namespace tapeloop::test {
namespace {

struct Gates {
  static constexpr const char* name = "lstm \"gates\"";  // quotes, to be escaped where it is drawn
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c) const {
    auto next = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return outputs(sigmoid(o) * tanh(next), next);
  }
};

struct Descend {
  static constexpr const char* name = "descend";
  static constexpr bool differentiable = false;
  double rate = 0.1;
  TL_HD auto operator()(auto x, auto dx) const { return x - rate * dx; }
};

struct Model {
  static constexpr std::int64_t kVocabulary = 7, kHidden = 5, kBatch = 3;
  Random random{5};
  Var table = parameter(random_tensor({kVocabulary, kHidden}, 1, DType::float32));
  Var w = parameter(random_tensor({4 * kHidden, kHidden}, 2, DType::float32));
  Var u = parameter(random_tensor({4 * kHidden, kHidden}, 3, DType::float32));
  Var bias = parameter(Tensor::zeros({4 * kHidden}));
  Var head = parameter(random_tensor({kVocabulary, kHidden}, 4, DType::float32));
  Tensor tokens = index_tensor({kBatch}, kVocabulary, 8);
  Var h{Tensor::zeros({kBatch, kHidden})};
  Var c{Tensor::zeros({kBatch, kHidden})};

  void step(const Var& x) {
    std::array<Var, 2> next = pointwise(Gates{}, columns<4>(linear(h, u, linear(x, w, bias))), c);
    h = next[0];
    c = next[1];
  }
  Var loss() { return cross_entropy(linear(dropout(h, 0.25, random), head), tokens); }
  void train(int steps) {
    {
      Tape tape;
      for (int t = 0; t < steps; ++t) step(embedding(table, tokens));
      tape.backward(loss());
      h = h.detach();
      c = c.detach();
    }
    for (const Var* p : {&table, &w, &u, &bias, &head}) {
      transform(Descend{}, {p->value(), p->grad().value()}, {p->value()});
      p->zero_grad();
    }
  }
};

// Peak bytes while a loop of `steps` over select_index(xs, 0, t) is recorded and played back.
struct Cost {
  std::int64_t peak_bytes;
  std::size_t operations;
};
Cost unrolled(std::int64_t steps, std::int64_t detach_every, const Var& xs) {
  Model model;
  Cost cost{0, 0};
  const std::int64_t before = memory::stats().live_bytes;
  memory::reset_peak();
  for (std::int64_t t = 0; t < steps;) {
    Tape tape;
    for (std::int64_t end = std::min(steps, t + detach_every); t < end; ++t)
      model.step(select_index(xs, 0, t));
    tape.backward(model.loss());
    cost.operations += tape.size();
    model.h = model.h.detach();
    model.c = model.c.detach();
  }
  cost.peak_bytes = memory::stats().peak_bytes - before;
  return cost;
}

}  // namespace

TEST_CASE("after two steps a training step makes no heap allocation at all") {
  if (!can_count_allocations()) return;
  for (const int threads : {1, 2}) {
    const Threads scope(threads);
    const std::int64_t at_first = allocations();
    Model model;
    CHECK(allocations() > at_first);  // the counter counts
    model.train(20);
    model.train(20);
    const std::int64_t before = allocations();
    const std::int64_t heap_calls = memory::stats().heap_calls;
    for (int i = 0; i < 10; ++i) model.train(20);
    CHECK(allocations() == before);
    CHECK(memory::stats().heap_calls == heap_calls);
  }
}

TEST_CASE("an inference step without a tape makes no heap allocation after the first ones") {
  if (!can_count_allocations()) return;
  Model model;
  const auto infer = [&] {
    model.step(embedding(model.table, model.tokens));
    return softmax(linear(model.h, model.head));
  };
  infer();
  infer();
  const std::int64_t before = allocations();
  for (int i = 0; i < 20; ++i) infer();
  CHECK(allocations() == before);
}

TEST_CASE(
    "a loop over select_index unrolled twice as long costs twice the memory and operations, not "
    "four times") {
  const Var xs = parameter(random_tensor({2000, Model::kBatch, Model::kHidden}, 9, DType::float32));
  unrolled(2000, 2000, xs);  // the tape's lists have their size now
  xs.zero_grad();
  const Cost once = unrolled(1000, 1000, xs);
  xs.zero_grad();
  const Cost twice = unrolled(2000, 2000, xs);
  CHECK(twice.operations - once.operations == 1000 * ((once.operations - 10) / 1000));
  CHECK(static_cast<double>(twice.peak_bytes) < 2.1 * static_cast<double>(once.peak_bytes));
}

TEST_CASE("a loop unrolled 1000 steps keeps memory constant when detached every 50") {
  memory::release_cached();  // frees the lists of earlier, larger tapes
  const Var xs = parameter(random_tensor({1000, Model::kBatch, Model::kHidden}, 9, DType::float32));
  xs.set_grad(Var(Tensor::zeros(xs.shape())));
  unrolled(1000, 50, xs);
  const std::int64_t some = unrolled(200, 50, xs).peak_bytes;
  const std::int64_t many = unrolled(1000, 50, xs).peak_bytes;
  const std::int64_t whole = unrolled(1000, 1000, xs).peak_bytes;
  CHECK(many == some);
  CHECK(whole > 5 * many);
}

TEST_CASE("a tape that ends gives back all that it kept, used or not") {
  const Var w = parameter(random_tensor({100, 100}));
  const auto use = [&](bool play) {
    Tape tape;
    Var y = w;
    for (int i = 0; i < 10; ++i) y = tanh(matmul(y, w));
    if (play) tape.backward(sum(y));
  };
  use(true);
  w.zero_grad();
  const std::int64_t before = memory::stats().live_bytes;
  use(false);
  CHECK(memory::stats().live_bytes == before);
  use(true);
  w.zero_grad();
  CHECK(memory::stats().live_bytes == before);
}

TEST_CASE(
    "backward frees each record as it is played: its peak is far below record and gradients "
    "together") {
  const Var w = parameter(random_tensor({200, 200}));
  Tape tape;
  const std::int64_t start = memory::stats().live_bytes;
  Var loss;
  {
    Var y = w;
    for (int i = 0; i < 50; ++i) y = tanh(y);
    loss = sum(y);
  }
  const std::int64_t record = memory::stats().live_bytes - start;
  memory::reset_peak();
  tape.backward(loss);
  CHECK(memory::stats().peak_bytes - start < record + record / 8);
  CHECK(memory::stats().live_bytes - start < record / 8);
}

TEST_CASE("values made on a tape stay valid after it has ended") {
  Var y;
  {
    Tape tape;
    y = tanh(parameter(Tensor::full({1000}, 0.5)));
  }
  memory::release_cached();
  CHECK(y.value().at({999}) == doctest::Approx(std::tanh(0.5)).epsilon(1e-6));
}

namespace {
// Returns the bytes that this thread keeps or uses after a tape of this many operations.
std::int64_t after_tape(int operations) {
  const Var x = parameter(Tensor::zeros({}));
  {
    Tape tape;
    Var y = x;
    for (int i = 0; i < operations; ++i) y = y + 1.0;
  }
  return memory::stats().live_bytes;
}
}  // namespace

TEST_CASE("release_cached() frees the memory of ended tapes too") {
  memory::release_cached();
  const std::int64_t before = memory::stats().live_bytes;
  const std::int64_t kept = after_tape(100000);
  CHECK(kept - before > 100000 * 100);
  memory::release_cached();
  CHECK(memory::stats().live_bytes <= before);
  CHECK(memory::stats().cached_bytes == 0);
  CHECK(after_tape(100) < before + (std::int64_t{1} << 20));
}

TEST_CASE("the memory of one large tape is freed when 16 small ones have followed") {
  memory::release_cached();
  const std::int64_t before = memory::stats().live_bytes;
  const std::int64_t kept = after_tape(100000) - before;
  for (int i = 0; i < 14; ++i) CHECK(after_tape(100) - before > kept - 1000000);
  for (int i = 0; i < 32; ++i) after_tape(100);
  CHECK(memory::stats().live_bytes - before < kept / 50);
  // Tapes of one size keep their memory, also with small tapes among them.
  const std::int64_t again = after_tape(100000) - before;
  for (int i = 0; i < 40; ++i) {
    const std::int64_t now = after_tape(i % 4 == 0 ? 100000 : 10) - before;
    CHECK(now > again - 1000000);
    CHECK(now < again + 1000000);
  }
}

TEST_CASE(
    "the drawing of a tape names operations and shapes, and every edge joins two nodes that are "
    "declared") {
  Model model;
  Tape tape;
  for (int t = 0; t < 2; ++t) model.step(embedding(model.table, model.tokens));
  const Var loss = model.loss();
  const std::string dot = tape.to_dot();
  std::istringstream lines(dot);
  std::string line;
  std::getline(lines, line);
  CHECK(line == "digraph tape {");
  const std::string quoted = R"("(?:[^"\\]|\\.)*")";
  const std::regex setting(R"(  (?:rankdir=BT|node \[.*\]);)");
  const std::regex node(R"(  ([np]\d+) \[label=)" + quoted +
                        R"re((?:, style=filled, fillcolor="#[0-9a-f]{6}")?\];)re");
  const std::regex edge(R"(  ([np]\d+) -> (n\d+);)");
  std::set<std::string> declared;
  int edges = 0;
  bool closed = false;
  while (std::getline(lines, line)) {
    CAPTURE(line);
    CHECK_FALSE(closed);
    std::smatch match;
    if (line == "}") {
      closed = true;
    } else if (std::regex_match(line, match, node)) {
      CHECK(declared.insert(match[1]).second);
    } else if (std::regex_match(line, match, edge)) {
      CHECK(declared.count(match[1]) == 1);
      CHECK(declared.count(match[2]) == 1);
      ++edges;
    } else {
      CHECK(std::regex_match(line, setting));
    }
  }
  CHECK(closed);
  CHECK(edges >= static_cast<int>(tape.size()));
  CHECK(declared.size() == tape.size() + 5);
  for (const char* text : {"parameter\\n[20, 5]", "linear\\n[3, 20]",
                           "lstm \\\"gates\\\"\\n[3, 5] [3, 5]", "dropout\\n[3, 5]"}) {
    CHECK_MESSAGE(dot.find(text) != std::string::npos, text);
  }
  CHECK(loss.requires_grad());
}

TEST_CASE("a backward pass that runs out of memory at its end changes no grad()") {
  const std::int64_t n = 1 << 16;
  // small is used first, so its gradient is added first. It needs no large block; the others are copies of dy.
  const Var small = parameter(random_tensor({8}, 3));
  const Var a = parameter(random_tensor({n}, 1)), b = parameter(random_tensor({n}, 2));
  const Var all[] = {small, a, b};
  const Var dy = Var(random_tensor({n}, 4)), dsmall = Var(random_tensor({8}, 5));
  const Var expected[] = {dsmall, dy, dy};
  for (const bool held : {false, true}) {
    std::vector<Var> before;  // somebody else holds these grad()s: they cannot be added to in place
    for (const Var& p : all) {
      before.emplace_back(held ? random_tensor(p.shape(), 6) : Tensor::zeros(p.shape(), p.dtype()));
      p.zero_grad();
      if (held) p.set_grad(before.back());
    }
    int failures = 0;
    for (std::int64_t count = 1;; ++count) {
      REQUIRE(count < 100);
      Tape tape;
      const Var y =
          record("sum_of_all", {&small, &a, &b}, Tensor((a.detach() + b.detach()).value()),
                 [dsmall](const Var& upstream, Grads& grads) {
                   grads.add(0, dsmall * 1.0);
                   grads.add(1, upstream);
                   grads.add(2, upstream);
                 });
      memory::release_cached();
      fail_allocations(count, sizeof(double) * static_cast<std::size_t>(n));
      const std::string message = message_of([&] { tape.backward(y, dy); });
      fail_allocations(0, 0);
      if (message == "nothing was thrown") break;
      ++failures;
      for (std::size_t k = 0; k < before.size(); ++k) {
        CHECK(all[k].grad().defined() == held);
        if (held) CHECK(distance(all[k].grad().value(), before[k].value()) == 0);
      }
    }
    CHECK(failures == 2);
    for (std::size_t k = 0; k < before.size(); ++k) {
      CHECK(distance(all[k].grad().value(), (before[k] + expected[k]).value()) == 0);
    }
  }
}

}  // namespace tapeloop::test
