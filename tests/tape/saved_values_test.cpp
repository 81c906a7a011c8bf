// SPDX-License-Identifier: MIT
// A backward function must read the values of the forward pass. If a value was overwritten in
// between, the error names the operation and the argument. Values that no gradient reads may be
// overwritten.
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/autograd/tape/recompute.h"
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

using Build = std::function<Var()>;

// Returns the error of a backward pass after `write` changed something; "nothing was thrown" if
// there is none.
std::string after_write(const Build& forward, const std::function<void()>& write) {
  Tape tape;
  const Var loss = sum(forward());
  write();
  return message_of([&] { tape.backward(loss); });
}

const char* const kNothing = "nothing was thrown";

bool names(const std::string& message, const std::string& argument, const std::string& operation) {
  const bool found =
      message.find(argument + " of \"" + operation + "\"") != std::string::npos &&
      message.find("was written after the operation saved it") != std::string::npos &&
      message.find("call backward() before") != std::string::npos;
  if (!found) FAIL_CHECK("expected " << argument << " of " << operation << ", got: " << message);
  return found;
}

bool is_saved(const Tensor& x) {
  return (detail::storage_of(x)->writes.load() & detail::kSaved) != 0;
}

Var weight(const Shape& shape, std::uint64_t seed = 1) {
  return parameter(random_tensor(shape, seed));
}

struct Gate {
  static constexpr const char* name = "gate";
  TL_HD auto operator()(auto z, auto h) const { return tanh(z) * h; }
};

}  // namespace

TEST_CASE("an input that is refilled between forward and backward stops the backward pass") {
  const Var w = weight({4, 3});
  const Tensor x = random_tensor({5, 3}, 2);
  const auto refill = [&] { x.fill(7); };
  CHECK(names(after_write([&] { return linear(Var(x), w); }, refill), "argument 0", "linear"));
  CHECK(names(after_write([&] { return matmul(Var(x), transpose(w)); }, refill), "argument 0",
              "matmul"));
  const Var row = weight({3});
  CHECK(names(after_write([&] { return Var(x) * row; }, refill), "argument 0", "mul"));
  CHECK(names(after_write([&] { return row * Var(x); }, refill), "argument 1", "mul"));
  CHECK(names(after_write([&] { return mse(row * 1.0 + Var(x) * 0.0, Var(x)); }, refill),
              "argument 1", "squared_error"));
  const Var each = weight({5, 4, 3});
  CHECK(names(after_write([&] { return linear_each(Var(x), each); }, refill), "argument 0",
              "linear_each"));
}

TEST_CASE("an index that is refilled between forward and backward stops the backward pass") {
  const Var table = weight({6, 3});
  const Tensor tokens = index_tensor({4}, 6);
  const Tensor columns = index_tensor({6, 2}, 3);
  const auto refill = [&] {
    tokens.copy_from(Tensor::from<std::int64_t>({4}, {0, 0, 0, 0}));
    columns.fill(1);
  };
  CHECK(names(after_write([&] { return embedding(table, tokens); }, refill), "the index",
              "embedding"));
  CHECK(names(after_write([&] { return take(table, tokens, 0); }, refill), "the index", "take"));
  CHECK(
      names(after_write([&] { return gather(table, columns, 1); }, refill), "the index", "gather"));
}

TEST_CASE("a computed value that is written after its use stops the backward pass") {
  const Var w = weight({3, 3});
  Var h;
  const auto fill = [&] { h.value().fill(9); };
  const auto make = [&] { return h = tanh(w); };
  CHECK(names(after_write([&] { return matmul(w, make()); }, fill), "argument 1", "matmul"));
  CHECK(names(after_write([&] { return square(make()); }, fill), "argument 0", "square"));
  // Results that the gradient of the same operation reads.
  CHECK(names(after_write([&] { return h = softmax(w, -1); }, fill), "the result", "softmax"));
  CHECK(names(after_write([&] { return h = log_softmax(w, -1); }, fill), "the result",
              "log_softmax"));
  CHECK(names(after_write([&] { return h = max(w, {1}, true); }, fill), "the result", "max"));
  CHECK(names(after_write([&] { return max(make(), {1}); }, fill), "argument 0", "max"));
  CHECK(
      names(after_write([&] { return logsumexp(make(), {1}); }, fill), "argument 0", "logsumexp"));
}

TEST_CASE("states and inputs of recurrent() that are written stop the backward pass") {
  const Var w = weight({2, 2});
  const Tensor z = random_tensor({3, 2, 2}, 3);
  const Tensor start = random_tensor({2, 2}, 4);
  Var hs;
  const auto run = [&] {
    const Var h0(start);
    hs = recurrent(Recurrence(Gate{}, of::input() + of::product(w), of::state(0)), Var(z) + 0.0,
                   {h0})
             .hs;
    return hs;
  };
  CHECK(after_write(run, [&] { start.fill(1); }) == kNothing);  // it was copied
  CHECK(names(after_write(run, [&] { hs.value().fill(1); }), "the result", "recurrent"));
  CHECK(after_write(run, [&] { z.fill(1); }) == kNothing);
  const auto again = [&] {
    const Var parts[] = {Var(z)};
    return recompute(parts,
                     [&](std::span<const Var> xs) { return PoolVector<Var>{matmul(xs[0], w)}; })[0];
  };
  CHECK(names(after_write(again, [&] { z.fill(1); }), "argument 0", "recompute"));
}

TEST_CASE("a value that no gradient reads may be written") {
  const Var w = weight({4, 3}), bias = weight({3}, 5);
  const Tensor x = random_tensor({4, 3}, 2);
  const Tensor table = random_tensor({4, 3}, 6);
  const auto refill = [&] { x.fill(7); };
  CHECK(after_write([&] { return w + Var(x); }, refill) == kNothing);
  CHECK(after_write([&] { return Var(x) - w; }, refill) == kNothing);
  CHECK(after_write([&] { return (Var(x) * 2.0 + 1.0) * 3.0 + w; }, refill) == kNothing);
  CHECK(after_write([&] { return concat({Var(x), w}, 0); }, refill) == kNothing);
  CHECK(after_write([&] { return sum(w * 2.0) + sum(Var(x)); }, refill) == kNothing);
  Var h;
  CHECK(after_write([&] { return h = exp(w); }, [&] { h.value().fill(0); }) == kNothing);
  CHECK(after_write([&] { return h = linear(Var(table), w, Var()); }, [&] { h.value().fill(0); }) ==
        kNothing);
  // Only the gradient of w reads the value of x.
  CHECK(after_write([&] { return Var(x) * tanh(Var(table)) + w; }, refill) == kNothing);
}

TEST_CASE("a write through a pointer that was taken earlier is found, an equal value is not") {
  const Var w = weight({4, 3});
  const Tensor x = random_tensor({5, 3}, 2);
  double* const elements = x.data<double>();
  const auto run = [&] { return linear(Var(x), w); };
  CHECK(after_write(run, [] {}) == kNothing);
  CHECK(names(after_write(run, [&] { elements[14] += 1; }), "argument 0", "linear"));
  CHECK(after_write(run, [&] { elements[0] = elements[0] + 0; }) == kNothing);
  CHECK(names(after_write(run, [&] { std::swap(elements[0], elements[7]); }), "argument 0",
              "linear"));
  const Tensor tokens = index_tensor({4}, 4);
  std::int64_t* const token = tokens.data<std::int64_t>();
  CHECK(names(after_write([&] { return embedding(w, tokens); }, [&] { token[3] ^= 1; }),
              "the index", "embedding"));
}

TEST_CASE("a pointer that is taken after the forward pass: reading is no error, writing is") {
  const Var w = weight({4, 3});
  for (const bool write : {false, true}) {
    const Tensor x = random_tensor({5, 3}, 2);
    double seen = 0;
    const std::string message = after_write([&] { return linear(Var(x), w); },
                                            [&] {
                                              double* const elements = x.data<double>();
                                              seen = elements[3];
                                              if (write) elements[3] = 8;
                                            });
    if (write) {
      names(message, "argument 0", "linear");
    } else {
      CHECK(message == kNothing);
    }
    CHECK(seen != 8);
  }
}

TEST_CASE("a parameter written through a pointer taken earlier stops the backward pass") {
  const Var w = weight({4, 3}), unused = weight({4, 3}, 7);
  const Tensor x = random_tensor({5, 3}, 2);
  double* const elements = w.value().data<double>();
  const auto run = [&] { return linear(Var(x), w); };
  CHECK(after_write(run, [] {}) == kNothing);
  CHECK(after_write(run, [&] { unused.value().fill(1); }) == kNothing);
  const std::string message = after_write(run, [&] { elements[3] = 2; });
  CHECK(message.find("a parameter float64[4, 3] was written after this tape used it") !=
        std::string::npos);
}

TEST_CASE(
    "a parameter whose tensor was replaced stops the backward pass, whatever memory is reused") {
  for (int times = 1; times <= 3; ++times) {
    const Var w = parameter(Tensor::full({1000}, 2));
    Tape tape;
    const Var loss = sum(w * w);
    for (int i = 0; i < times; ++i) w.set_value(Tensor::full({1000}, 3 + i));
    CHECK(message_of([&] {
            tape.backward(loss);
          }).find("a parameter float32[1000] was written after this tape used it") !=
          std::string::npos);
    CHECK_FALSE(w.grad().defined());
  }
  // If the old value is restored in time, it is the one that the tape used.
  const Var w = parameter(Tensor::full({1000}, 2));
  const Tensor first = w.value();
  Tape tape;
  const Var loss = sum(w * w);
  w.set_value(Tensor::full({1000}, 3));
  w.set_value(first);
  CHECK(message_of([&] { tape.backward(loss); }) == kNothing);
  CHECK(w.grad().value().to_vector<double>() == std::vector<double>(1000, 4));
}

TEST_CASE("a write to one part of a buffer leaves its other parts usable") {
  const Var w = weight({4, 3});
  const Tensor buffer = Tensor::zeros({6, 5, 3}, DType::float64);
  const auto run = [&] {
    Var total;
    for (std::int64_t t = 0; t < buffer.dim(0); ++t) {
      buffer.select(0, t).copy_from(random_tensor({5, 3}, static_cast<std::uint64_t>(t)));
      const Var y = sum(linear(Var(buffer.select(0, t)), w));
      total = total.defined() ? total + y : y;
    }
    return total;
  };
  CHECK(after_write(run, [] {}) == kNothing);
  CHECK(after_write(run, [] {}) == kNothing);
  CHECK(names(after_write(run, [&] { buffer.select(0, 2).select(0, 4).fill(1); }), "argument 0",
              "linear"));
  CHECK(names(after_write(run, [&] { buffer.fill(1); }), "argument 0", "linear"));
  // After very many writes the library may take an old one for a write to the whole, but never
  // forgets it.
  CHECK(names(after_write(run,
                          [&] {
                            buffer.select(0, 0).fill(1);
                            for (int i = 0; i < 40000; ++i) buffer.select(0, 5).fill(2);
                          }),
              "argument 0", "linear"));
}

TEST_CASE("a refused backward pass leaves every grad() as it was") {
  const Var a = weight({3}), b = weight({3}, 2);
  const Tensor x = random_tensor({3}, 4);
  a.set_grad(Var(Tensor::full({3}, 5, DType::float64)));
  {
    Tape tape;
    Var early = b * Var(x);  // runs last in the backward pass
    Var late = sum(a * early);
    x.fill(2);
    CHECK(names(message_of([&] { tape.backward(late); }), "argument 1", "mul"));
  }
  CHECK(a.grad().value().to_vector<double>() == std::vector<double>{5, 5, 5});
  CHECK_FALSE(b.grad().defined());
}

TEST_CASE("second derivatives check what the first backward pass saved") {
  const Var w = weight({3});
  const Tensor x = random_tensor({3}, 4);
  Tape tape;
  const Var y = sum(square(square(w) * Var(x)));
  const Var dw = tape.gradient(y, {w}, {.create_graph = true})[0];
  const Var total = sum(square(dw));
  x.fill(2);
  CHECK(names(message_of([&] { tape.backward(total); }), "argument 1", "mul"));
}

TEST_CASE("what the first pass read, and the second does not read again, may be written") {
  const Var w = weight({3});
  const Tensor x = random_tensor({3}, 4), before = x.clone();
  Tape tape;
  // dw = 4 w^3 x. Its derivative reads the product of x and the upstream gradient, which is a
  // separate value: d(dw^2) = 2 * 4 w^3 x * 12 w^2 x.
  const Var y = sum(square(square(w)) * Var(x));
  const Var dw = tape.gradient(y, {w}, {.create_graph = true})[0];
  const Var total = sum(square(dw));
  x.fill(2);
  tape.backward(total);
  const Var v = w.detach();
  const Var expected = square(square(v)) * v * square(Var(before)) * 96.0;
  CHECK(distance(w.grad().value(), expected.value()) < 1e-12);
}

TEST_CASE(
    "an operation of one's own checks what it keeps by Saved, whatever the number of passes") {
  const Var w = weight({3});
  const Tensor x = random_tensor({3}, 4);
  const auto scale = [](const Var& a, const Var& b) {
    return record("scale", {&a, &b}, Tensor((a.detach() * b.detach()).value()),
                  [a = keep_if(b, a, 0), b = keep_if(a, b, 1)](const Var& dy, Grads& grads) {
                    grads.add(0, [&] { return dy * b; });
                    grads.add(1, [&] { return dy * a; });
                  });
  };
  Tape tape;
  const Var y = sum(scale(w, Var(x)));
  tape.backward(y, {.retain = true});
  tape.backward(y, {.retain = true});
  CHECK(distance(w.grad().value(), (Var(x) * 2.0).value()) < 1e-12);
  x.fill(0);
  CHECK(names(message_of([&] { tape.backward(y); }), "argument 1", "scale"));
}

TEST_CASE("without a tape nothing is saved: later writes are only counted") {
  const Var w = weight({4, 3});
  const Tensor x = random_tensor({5, 3}, 2), tokens = index_tensor({4}, 4);
  linear(Var(x), w);
  matmul(Var(x), transpose(w));
  embedding(w, tokens);
  CHECK_FALSE(is_saved(x));
  CHECK_FALSE(is_saved(tokens));
  Tape tape;
  linear(Var(x), w);
  embedding(w, tokens);
  CHECK(is_saved(x));
  CHECK(is_saved(tokens));
}

TEST_CASE("models with every kind of layer train with buffers that are refilled each step") {
  Random random(1);
  const nn::Embedding embed(7, 4, random);
  const nn::Lstm lstm({.input = 4, .hidden = 5, .layers = 2, .recompute = {.steps = 2}}, random);
  const nn::Linear head(5, 7, random);
  const Tensor tokens = Tensor::empty({6, 3}, DType::int64), next = tokens.clone();
  std::int64_t* const symbols = tokens.data<std::int64_t>();
  nn::Lstm::State carry;
  const ParameterList all = nn::parameters(embed, lstm, head);
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 18; ++i) symbols[i] = (i * i + step) % 7;
    next.copy_from(index_tensor({6, 3}, 7, static_cast<std::uint64_t>(step)));
    Tape tape;
    auto [ys, last] = lstm(dropout(embed(tokens), 0.2, random), carry);
    tape.backward(cross_entropy(head(ys), next));
    for (const NamedVar& p : all) {
      add_in_place(p.var.value(), (p.var.grad() * -0.1).value());
      p.var.zero_grad();
    }
    carry = last.detach();
  }
}

}  // namespace tapeloop::test
