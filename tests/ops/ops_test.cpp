// SPDX-License-Identifier: MIT
// Every operation, by one table (op_table.h): values against plain loops, gradients of first and
// second order, float against double, views as inputs, inputs used twice, odd and empty sizes,
// numbers of threads. op_errors_test.cpp tests errors.
#include "tests/ops/op_table.h"

namespace tapeloop::test {
namespace {

std::vector<Shape> shapes_for(const OpCase& row, std::int64_t n) {
  std::vector<Shape> result;
  for (std::vector<std::int64_t> sizes : row.shapes) {
    for (std::int64_t& size : sizes) size = size == N ? n : size;
    result.emplace_back(sizes);
  }
  return result;
}

std::vector<Tensor> inputs_for(const OpCase& row, std::int64_t n, DType dtype = DType::float64) {
  std::vector<Tensor> result;
  for (const Shape& shape : shapes_for(row, n)) {
    result.push_back(
        random_tensor(shape, kSeed + result.size(), dtype, row.settings.low, row.settings.high));
  }
  return result;
}

std::vector<Var> parameters_for(const OpCase& row, std::int64_t n, DType dtype = DType::float64) {
  std::vector<Var> result;
  for (const Tensor& input : inputs_for(row, n, dtype)) result.push_back(parameter(input));
  return result;
}

ParameterList named(const std::vector<Var>& vars) { return detail::numbered(vars); }

// The value and the gradients with respect to every input, with a fixed random upstream gradient.
std::vector<Tensor> value_and_gradients(const OpCase& row, const std::vector<Var>& leaves,
                                        const std::function<Var(const Var&)>& view = nullptr) {
  Tape tape;
  std::vector<Var> inputs;
  for (const Var& leaf : leaves) inputs.push_back(view ? view(leaf) : leaf);
  const Var y = row.op(inputs);
  std::vector<Tensor> result = {y.value()};
  const Var dy(random_tensor(y.shape(), 5, y.dtype(), 0.5, 1.5));
  for (const Var& gradient : tape.gradient(y, dy, inputs)) result.push_back(gradient.value());
  return result;
}

// The same elements as `x`, in memory such that `kind` of view sees them:
// contiguous(view(behind(x))) == x.
Tensor behind(const Tensor& x, const std::string& kind) {
  if (kind == "transposed") return x.transpose(0, -1).clone();
  if (kind == "flipped") return x.flip(0).clone();
  // For the view "every second".
  Tensor wide = Tensor::full(x.shape().with(-1, 2 * x.dim(-1) + 1), 7, x.dtype());
  wide.slice(-1, 1, wide.dim(-1), 2).copy_from(x);
  return wide;
}
Var seen(const Var& x, const std::string& kind) {
  if (kind == "transposed") return transpose(x, 0, -1);
  if (kind == "flipped") return flip(x, 0);
  return slice(x, -1, 1, x.dim(-1), 2);
}

}  // namespace

TEST_CASE("every operation gives what plain loops give, for odd, single and empty sizes") {
  for (const OpCase& row : op_table()) {
    for (const std::int64_t n : {0, 1, 2, 3, 15, 17}) {
      if (n == 0 && !row.settings.empty) continue;
      CAPTURE(row.name);
      CAPTURE(n);
      CAPTURE(kSeed);
      std::vector<Var> inputs;
      std::vector<Array> arrays;
      for (const Tensor& input : inputs_for(row, n)) {
        inputs.emplace_back(input);
        arrays.push_back(array_of(input));
      }
      const Array expected = row.loops(arrays);
      const Var y = row.op(inputs);
      CHECK(y.shape().str() == expected.shape.str());
      CHECK(distance(y.value().to_vector<double>(), expected.values) < 1e-13);
    }
  }
}

TEST_CASE("every gradient agrees with differences, and so does the gradient of the gradient") {
  for (const OpCase& row : op_table()) {
    CAPTURE(row.name);
    CAPTURE(kSeed);
    const std::vector<Var> inputs = parameters_for(row, 3);
    const GradcheckReport report =
        gradcheck([&] { return row.op(inputs); }, named(inputs), {.second_order = true});
    CHECK_MESSAGE(report.ok, report.str());
    CHECK(report.kinks == 0);
  }
}

TEST_CASE(
    "every operation has gradients of its inputs' shapes for odd and empty sizes, and they are "
    "right") {
  for (const OpCase& row : op_table()) {
    for (const std::int64_t n : {0, 1, 5}) {
      if (n == 0 && !row.settings.empty) continue;
      CAPTURE(row.name);
      CAPTURE(n);
      const std::vector<Var> inputs = parameters_for(row, n);
      const GradcheckReport report = gradcheck([&] { return row.op(inputs); }, named(inputs));
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("every operation in float32 agrees with its float64 twin") {
  for (const OpCase& row : op_table()) {
    for (const std::int64_t n : {3, 17}) {
      CAPTURE(row.name);
      CAPTURE(n);
      const std::vector<Var> inputs = parameters_for(row, n, DType::float32);
      const GradcheckReport report = replay_in_float64([&] { return row.op(inputs); },
                                                       named(inputs), row.settings.float_error);
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("the gradients of two uses of the same inputs add up") {
  for (const OpCase& row : op_table()) {
    CAPTURE(row.name);
    const std::vector<Var> inputs = parameters_for(row, 3);
    const auto gradients_of = [&](bool first, bool second) {
      Tape tape;
      const Var y = row.op(inputs);
      const Var z = row.op(inputs);
      const Var a(random_tensor(y.shape(), 11));
      const Var b(random_tensor(y.shape(), 12));
      Var loss = first && second ? sum(y * a) + sum(z * b) : first ? sum(y * a) : sum(z * b);
      return tape.gradient(loss, inputs);
    };
    const std::vector<Var> both = gradients_of(true, true);
    const std::vector<Var> first = gradients_of(true, false);
    const std::vector<Var> second = gradients_of(false, true);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      CHECK(distance(both[i].value(), (first[i] + second[i]).value()) < 1e-14);
    }
  }
}

TEST_CASE(
    "backward adds to grad() what gradient() returns, and nothing is shared between the two") {
  for (const OpCase& row : op_table()) {
    CAPTURE(row.name);
    const std::vector<Var> inputs = parameters_for(row, 3);
    const std::vector<Tensor> expected = value_and_gradients(row, inputs);
    {
      Tape tape;
      const Var y = row.op(inputs);
      const Var dy(random_tensor(y.shape(), 5, y.dtype(), 0.5, 1.5));
      tape.backward(y, dy);
      for (const Var& input : inputs) {
        if (!input.grad().defined()) continue;
        CHECK_FALSE(input.grad().is(dy));
        CHECK_FALSE(input.grad().value().shares_memory_with_others());
      }
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      REQUIRE(inputs[i].grad().defined());
      CHECK(same_bits(inputs[i].grad().value().contiguous(), expected[i + 1].contiguous()));
    }
  }
}

TEST_CASE(
    "every operation takes transposed, flipped and strided views as inputs, forward and backward") {
  for (const OpCase& row : op_table()) {
    for (const std::string kind : {"transposed", "flipped", "every second"}) {
      CAPTURE(row.name);
      CAPTURE(kind);
      bool scalars = false;
      std::vector<Var> leaves;
      for (const Tensor& input : inputs_for(row, 3)) {
        scalars = scalars || input.rank() == 0;
        if (!scalars) leaves.push_back(parameter(behind(input, kind)));
      }
      if (scalars) continue;
      const auto plain = value_and_gradients(row, parameters_for(row, 3));
      const auto viewed =
          value_and_gradients(row, leaves, [&](const Var& leaf) { return seen(leaf, kind); });
      REQUIRE(plain.size() == viewed.size());
      for (std::size_t i = 0; i < plain.size(); ++i) CHECK(distance(viewed[i], plain[i]) < 1e-13);
    }
  }
}

TEST_CASE("one thread and two give the same bits, forward and backward") {
  int compared = 0;
  for (const OpCase& row : op_table()) {
    if (row.settings.large == 0) continue;
    for (const DType dtype : {DType::float32, DType::float64}) {
      CAPTURE(row.name);
      const std::vector<Var> inputs = parameters_for(row, row.settings.large, dtype);
      const auto one = value_and_gradients(row, inputs);
      const Threads two_threads(2);
      const auto two = value_and_gradients(row, inputs);
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], two[i]));
      ++compared;
    }
  }
  CHECK(compared >= 40);
}

}  // namespace tapeloop::test
