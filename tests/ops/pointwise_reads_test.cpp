// SPDX-License-Identifier: MIT
// Which inputs the gradient of a formula reads: an input that it does not read may be written after the forward pass.
// Numbers are the oracle: where an input changes a gradient, the gradient reads it.
#include <cmath>

#include "tapeloop/autograd/ops/formula.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

struct Affine {
  static constexpr const char* name = "affine";
  TL_HD auto operator()(auto a, auto b) const { return a * 2.0 - (3.0 - b) / 4.0; }
};
struct Product {
  static constexpr const char* name = "product";
  TL_HD auto operator()(auto a, auto b) const { return a * b; }
};
struct Quotient {
  static constexpr const char* name = "quotient";
  TL_HD auto operator()(auto a, auto b) const { return a / b; }
};
struct Window {
  static constexpr const char* name = "window";
  TL_HD auto operator()(auto x) const { return select((x > 10.0) & (x < 20.0), x * x, 0.0 * x); }
};
struct FarWindow {
  static constexpr const char* name = "far_window";
  TL_HD auto operator()(auto x, auto y) const { return select(x > 1e12, y * 2.0, y); }
};
struct Spike {
  static constexpr const char* name = "spike";
  TL_HD auto operator()(auto x, auto y) const { return select(x == 0.7182818, y * 2.0, y * 1.0); }
};
struct Sum {
  static constexpr const char* name = "sum";
  TL_HD auto operator()(auto a, auto b) const { return tanh(a) + b; }
};
struct Floor {
  static constexpr const char* name = "floor";
  TL_HD auto operator()(auto a, auto b) const { return floor(a) + sign(b) + b; }
};
struct FloorFactor {
  static constexpr const char* name = "floor_factor";
  TL_HD auto operator()(auto a, auto b) const { return floor(a) * b; }
};
struct Largest {
  static constexpr const char* name = "largest";
  TL_HD auto operator()(auto a, auto b) const { return max(a, b); }
};
struct Clamped {
  static constexpr const char* name = "clamped";
  TL_HD auto operator()(auto x, auto y) const { return clamp(x, -1.0, 1.0) + y; }
};
struct Square {
  static constexpr const char* name = "square";
  TL_HD auto operator()(auto x, auto y) const { return square(x) + y * 3.0; }
};
struct Power {
  static constexpr const char* name = "power";
  TL_HD auto operator()(auto x, auto y) const { return pow(x, 3.0) * y; }
};
struct Either {
  static constexpr const char* name = "either";
  TL_HD auto operator()(auto a, auto b, auto c) const { return select(a > 0.0, b, c); }
};
struct Same {
  static constexpr const char* name = "same";
  TL_HD auto operator()(auto a, auto b) const { return select(a > 0.0, b, b); }
};
struct Nothing {
  static constexpr const char* name = "nothing";
  TL_HD auto operator()(auto a, auto b) const { return a * 0.0 + 1.0 + b * 0.0; }
};
struct Two {
  static constexpr const char* name = "two";
  TL_HD auto operator()(auto a, auto b, auto c) const { return outputs(a * b, b + c); }
};
struct Optional {  // x, or x^2: its setting says what is calculated
  static constexpr const char* name = "optional";
  int power;
  template <class X>
  TL_HD X operator()(X x) const {
    return power == 1 ? x * x : x;
  }
};
struct Bent {
  static constexpr const char* name = "bent";
  float from;
  TL_HD auto operator()(auto x) const { return select(x < from, x * x, x); }
};

// Bit i: the gradients that are wanted read input i. Bit k of `wanted`: that of input k is.
template <class F>
unsigned reads(const PointwiseKernel& kernel, const F& functor, unsigned wanted) {
  const auto inputs = static_cast<std::size_t>(kernel.inputs);
  const std::vector<int> columns(inputs, 1);
  bool is_wanted[kMaxOperands];
  for (std::size_t i = 0; i < inputs; ++i) is_wanted[i] = (wanted >> i & 1) != 0;
  unsigned result = 0;
  for (std::size_t i = 0; i < inputs; ++i) {
    const bool found = detail::gradient_reads(kernel, detail::FormulaBytes(functor), i, columns,
                                              std::span<const bool>(is_wanted, inputs));
    result |= static_cast<unsigned>(found) << i;
  }
  return result;
}
template <class F>
unsigned reads(unsigned wanted, const F& functor = F{}) {
  return reads(pointwise_kernel<F>(), functor, wanted);
}
// Of the gradient of the gradient: the inputs, then the upstream gradients.
template <class F>
unsigned second(unsigned wanted, const F& functor = F{}) {
  return reads(*pointwise_kernel<F>().backward, functor, wanted);
}

// The inputs that change a gradient that is wanted, for some numbers.
unsigned changes(const PointwiseKernel& kernel, const void* functor, unsigned wanted) {
  const PointwiseKernel& gradient = *kernel.backward;
  const auto in = static_cast<std::size_t>(gradient.inputs);
  const auto out = static_cast<std::size_t>(gradient.outputs);
  constexpr std::size_t kCount = 64;
  std::vector<std::vector<double>> numbers;
  for (std::size_t k = 0; k < in + out; ++k) numbers.push_back(random_values(kCount, -3, 3, k + 1));
  std::vector<std::int64_t> step(in + out, 1);
  const auto run = [&] {
    std::vector<void*> data;
    for (auto& list : numbers) data.push_back(list.data());
    gradient.cpu[1](functor, data.data(), step.data(), kCount);
    std::vector<std::vector<double>> result;
    for (std::size_t k = 0; k < out; ++k) {
      if ((wanted >> k & 1) != 0) result.push_back(numbers[in + k]);
    }
    return result;
  };
  const auto before = run();
  unsigned result = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(kernel.inputs); ++i) {
    const std::vector<double> kept = numbers[i];
    numbers[i] = random_values(kCount, -3, 3, 77);
    if (run() != before) result |= 1u << i;
    numbers[i] = kept;
  }
  return result;
}

template <class F>
void check_covers(const F& functor = F{}) {
  CAPTURE(std::string(functor_name<F>()));
  for (const PointwiseKernel* kernel = &pointwise_kernel<F>(); kernel->backward != nullptr;
       kernel = kernel->backward) {
    for (unsigned wanted = 1; wanted < 1u << kernel->inputs; ++wanted) {
      const unsigned found = reads(*kernel, functor, wanted);
      CHECK((changes(*kernel, &functor, wanted) & ~found) == 0);
    }
  }
}

}  // namespace

TEST_CASE("sums read nothing, products the other factor, functions their argument") {
  CHECK(reads<Affine>(0b11) == 0);
  CHECK(reads<Product>(0b01) == 0b10);
  CHECK(reads<Product>(0b10) == 0b01);
  CHECK(reads<Quotient>(0b01) == 0b10);
  CHECK(reads<Quotient>(0b10) == 0b11);
  CHECK(reads<Sum>(0b01) == 0b01);
  CHECK(reads<Sum>(0b10) == 0);
  CHECK(reads<Floor>(0b11) == 0);
  CHECK(reads<FloorFactor>(0b10) == 0b01);
  CHECK(reads<FloorFactor>(0b01) == 0);
  CHECK(reads<Square>(0b01) == 0b01);
  CHECK(reads<Square>(0b10) == 0);
  CHECK(reads<Power>(0b10) == 0b01);
  CHECK(reads<Power>(0b01) == 0b11);
  CHECK(reads<Nothing>(0b11) == 0);
  CHECK(reads<Two>(0b001) == 0b010);
  CHECK(reads<Two>(0b010) == 0b001);
  CHECK(reads<Two>(0b100) == 0);
}

TEST_CASE("a choice reads its condition, wherever the branches differ") {
  CHECK(reads<Window>(0b1) == 0b1);
  CHECK(reads<FarWindow>(0b10) == 0b01);
  CHECK(reads<Spike>(0b10) == 0b01);
  CHECK(reads<Largest>(0b01) == 0b11);
  CHECK(reads<Clamped>(0b01) == 0b01);
  CHECK(reads<Clamped>(0b10) == 0);
  CHECK(reads<Either>(0b010) == 0b001);
  CHECK(reads<Either>(0b001) == 0);
  CHECK(reads<Bent>(0b1, Bent{1e30f}) == 0b1);
}

TEST_CASE("the gradient of a gradient reads what the second derivatives are made of") {
  // From (a, b, dy) to (dy b, dy a): the derivative by a is the upstream gradient of dy a times dy.
  CHECK(second<Product>(0b001) == 0b100);
  CHECK(second<Product>(0b010) == 0b100);
  CHECK(second<Product>(0b100) == 0b011);
  CHECK(second<Affine>(0b111) == 0);
  CHECK(second<Square>(0b001) == 0b100);  // 2 dy, whatever x is
  CHECK(second<Square>(0b100) == 0b001);
  CHECK(second<Sum>(0b0001) == 0b101);
  CHECK(second<Window>(0b01) == 0b11);
  CHECK(second<Quotient>(0b001) == 0b110);
}

TEST_CASE("an input that changes a gradient is read, in first and second order") {
  check_covers<Affine>();
  check_covers<Product>();
  check_covers<Quotient>();
  check_covers<Window>();
  check_covers<Sum>();
  check_covers<Floor>();
  check_covers<FloorFactor>();
  check_covers<Largest>();
  check_covers<Clamped>();
  check_covers<Square>();
  check_covers<Power>();
  check_covers<Either>();
  check_covers<Same>();
  check_covers<Nothing>();
  check_covers<Two>();
  check_covers(Bent{0.5f});
}

TEST_CASE("a value written where its formula is active elsewhere stops the backward pass") {
  const Var w = parameter(Tensor::from<double>({1}, {5.0}));
  for (const double filled : {1.0, 1e13, 15.5}) {
    Tape tape;
    const Var h = w * 3.0;
    const Var y = sum(pointwise(Window{}, h));
    h.value().fill(filled);
    CHECK(throws_with("argument 0 of \"window\"|was written after the operation saved it",
                      [&] { tape.backward(y); }));
    CHECK_FALSE(w.grad().defined());
  }
  Tape tape;
  const Var h = w * 3.0;
  tape.backward(sum(pointwise(Window{}, h)));
  CHECK(w.grad().item() == 90);
}

TEST_CASE("a value that somebody has a pointer to is compared only where the gradient reads it") {
  const Var w = parameter(random_tensor({4}, 1));
  const Tensor x = random_tensor({4}, 2);
  double* const elements = x.data<double>();
  const auto run = [&](const auto& forward) {
    Tape tape;
    const Var y = sum(forward());
    elements[2] += 1;
    return message_of([&] { tape.backward(y); });
  };
  const std::string nothing = "nothing was thrown";
  CHECK(run([&] { return w + Var(x); }) == nothing);
  CHECK(run([&] { return pointwise(Affine{}, Var(x), w); }) == nothing);
  CHECK(run([&] { return pointwise(Sum{}, w, Var(x)); }) == nothing);
  CHECK(run([&] { return w * Var(x); }).find("argument 1 of \"mul\"") != std::string::npos);
  CHECK(run([&] { return pointwise(FarWindow{}, Var(x), w); }).find("argument 0") !=
        std::string::npos);
}

TEST_CASE("what a formula reads follows its settings") {
  for (int turn = 0; turn < 40; ++turn) {
    CHECK(reads<Optional>(0b1, Optional{turn % 3}) == (turn % 3 == 1 ? 0b1u : 0b0u));
    CHECK(reads<Affine>(0b11) == 0);
    CHECK(reads<Product>(0b01) == 0b10);
  }
}

TEST_CASE("the gradient of x / b is dy * (1 / b), with 1 / b rounded") {
  const Tensor values = random_tensor({200}, 1), dy = random_tensor({200}, 2);
  const Var x = parameter(values);
  const Var b = parameter(Tensor::full({200}, 3.7, DType::float64));
  for (const bool number : {true, false}) {
    Tape tape;
    const Var dx = tape.gradient(number ? x / 3.7 : x / b, Var(dy), std::span<const Var>(&x, 1))[0];
    for (std::int64_t i = 0; i < 200; ++i) {
      CHECK(dx.value().at({i}) == dy.at({i}) * (1.0 / 3.7));
      CHECK(std::abs(dx.value().at({i}) - dy.at({i}) / 3.7) <= 2e-16 * std::abs(dy.at({i})));
    }
  }
}

}  // namespace tapeloop::test
