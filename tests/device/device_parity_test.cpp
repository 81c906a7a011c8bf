// SPDX-License-Identifier: MIT
// Device::cuda against the CPU: every row of the table of operations, forward and both orders of
// backward, in float32 and float64. Runs on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/). device_models_test.cpp tests models and errors.
#include "tapeloop/autograd/device/backend.h"
#include "tests/device/device.h"
#include "tests/ops/op_table.h"

namespace tapeloop::test {
namespace {

std::vector<Tensor> inputs_for(const OpCase& row, std::int64_t n, DType dtype) {
  std::vector<Tensor> result;
  for (std::vector<std::int64_t> sizes : row.shapes) {
    for (std::int64_t& size : sizes) size = size == N ? n : size;
    result.push_back(random_tensor(Shape(sizes), kSeed + result.size(), dtype, row.settings.low,
                                   row.settings.high));
  }
  return result;
}

// The value, the gradients with respect to every input, and the gradients of their weighted sum.
std::vector<Tensor> all_orders(const OpCase& row, std::int64_t n, DType dtype, Device device) {
  std::vector<Var> inputs;
  for (const Tensor& input : inputs_for(row, n, dtype))
    inputs.push_back(parameter(input.to(device)));
  Tape tape;
  const Var y = row.op(inputs);
  std::vector<Tensor> result = {y.value().to(Device::cpu)};
  CHECK(y.device() == device);
  if (!y.requires_grad()) return result;  // a constant: a product of nothing
  const Var dy(random_tensor(y.shape(), 5, dtype, 0.5, 1.5).to(device));
  const std::vector<Var> first = tape.gradient(y, dy, inputs, {.create_graph = true});
  Var weighted;
  for (std::size_t i = 0; i < first.size(); ++i) {
    result.push_back(first[i].value().to(Device::cpu));
    const Var weights(random_tensor(first[i].shape(), 20 + i, dtype, 0.5, 1.5).to(device));
    const Var term = sum(first[i] * weights) + sum(square(inputs[i]));  // depends on each input
    weighted = weighted.defined() ? weighted + term : term;
  }
  for (const Var& second : tape.gradient(weighted, inputs)) {
    result.push_back(second.value().to(Device::cpu));
  }
  return result;
}

}  // namespace

TEST_CASE("every operation gives on cuda what it gives on the cpu, with gradients of both orders") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const OpCase& row : op_table()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      for (const std::int64_t n : {0, 1, 3, 17}) {
        if (n == 0 && !row.settings.empty) continue;
        CAPTURE(row.name);
        CAPTURE(n);
        CAPTURE(name(dtype));
        const std::vector<Tensor> here = all_orders(row, n, dtype, Device::cpu);
        const std::vector<Tensor> there = all_orders(row, n, dtype, Device::cuda);
        REQUIRE(here.size() == there.size());
        for (std::size_t i = 0; i < here.size(); ++i) {
          CHECK(distance(there[i], here[i]) < tolerance(dtype));
        }
      }
    }
  }
}

// Longer than one chunk of the kernel.
TEST_CASE("a long scan gives on cuda what it gives on the cpu") {
  if (!have_gpu()) return;
  const auto run = [](ScanKind kind, bool reverse, Device device) {
    const auto numbers = [&](const Shape& shape, std::uint64_t seed) {
      return parameter(random_tensor(shape, seed, DType::float64, -1, 1).to(device));
    };
    const Var a = numbers({150, 2, 6}, 1), b = numbers({150, 2, 6}, 2), h0 = numbers({2, 6}, 3);
    Tape tape;
    const Var h = linear_scan(a, b, h0, {.kind = kind, .reverse = reverse});
    std::vector<Tensor> result{h.value().to(Device::cpu)};
    const Var dy(random_tensor(h.shape(), 4, DType::float64, -1, 1).to(device));
    for (const Var& g : tape.gradient(h, dy, std::vector<Var>{a, b, h0})) {
      result.push_back(g.value().to(Device::cpu));
    }
    return result;
  };
  for (const ScanKind kind : {ScanKind::real, ScanKind::complex, ScanKind::log}) {
    for (const bool reverse : {false, true}) {
      const auto here = run(kind, reverse, Device::cpu), there = run(kind, reverse, Device::cuda);
      for (std::size_t i = 0; i < here.size(); ++i) CHECK(distance(there[i], here[i]) < 1e-12);
    }
  }
}

TEST_CASE("an exact zero ends the chain rule on cuda too, and zeros keep their signs") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Var x = parameter(
        Tensor::from(Shape{4}, std::vector<double>{-1, 4, 0, 16}).to(dtype).to(Device::cuda));
    const Var zero(Tensor::zeros({}, dtype, Device::cuda));
    Tape tape;
    for (const Var& y : {sqrt(relu(x)), sqrt(clamp(x, 0, 20)) - sqrt(max(x, zero)) * 2.0,
                         pow(select(less(zero, x), x, zero), 0.5)}) {
      const Var weights(
          Tensor::from(Shape{4}, std::vector<double>{1, 1, 0, 1}).to(dtype).to(Device::cuda));
      const Var dx = tape.gradient(sum(y * weights), {x}, {.create_graph = true})[0];
      const Var ddx = tape.gradient(sum(dx), {x}, {.retain = true})[0];
      const double sign = y.value().at({1}) < 0 ? -1 : 1;
      CHECK(distance(dx.value().to(Device::cpu).to_vector<double>(),
                     std::vector<double>{0, sign * 0.25, 0, sign * 0.125}) < 1e-7);
      CHECK(distance(ddx.value().to(Device::cpu).to_vector<double>(),
                     std::vector<double>{0, sign * -0.03125, 0, sign * -0.00390625}) < 1e-7);
    }
    const Var seventh(Tensor::full({}, 49, dtype, Device::cuda));
    CHECK((seventh / 49.0).value().to(Device::cpu).item() == 1);
    for (const Var& y : {-zero, -1.0 * zero, zero / -3.0, zero / -4.0}) {
      CHECK(std::signbit(y.value().to(Device::cpu).item()));
    }
  }
}

TEST_CASE("a tensor goes to cuda and back unchanged, whatever its type and strides") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64, DType::int64}) {
    const Tensor x = random_tensor({5, 7, 3}, 3, DType::float64, -9, 9).to(dtype);
    for (const Tensor& view :
         {x, x.transpose(0, 2), x.slice(1, 1, 6, 2), x.flip(0), x.select(1, 2)}) {
      const Tensor there = view.to(Device::cuda);
      CHECK(there.device() == Device::cuda);
      CHECK(same_bits(there.to(Device::cpu), view));
      CHECK(same_bits(there.transpose(0, -1).to(Device::cpu), view.transpose(0, -1)));
      CHECK(same_bits(there.to(DType::float64).to(Device::cpu), view.to(DType::float64)));
    }
  }
}

TEST_CASE("strided parts of a cuda tensor are filled and written, and nothing beside them") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Tensor here = random_tensor({6, 9});
  Tensor there = here.clone().to(Device::cuda);
  const Tensor part = random_tensor({3, 4}, 4, DType::float32);
  for (const Tensor& x : {here, there}) {
    x.slice(0, 1, 6, 2).slice(1, 0, 8, 2).copy_from(part);
    x.slice(1, 3, 4).fill(2.5);
    x.select(0, 0).copy_from(x.select(0, 5));
  }
  CHECK(same_bits(there.to(Device::cpu), here));
}

TEST_CASE("a contiguous copy within cuda starts no kernel") {
  if (!have_emulation()) return;
  const Bounds bounds;
  const Tensor x = random_tensor({5, 7}, 3, DType::float32).to(Device::cuda);
  const auto launches_of = [](auto&& work) {
    const std::int64_t before = emulation::launches();
    work();
    return emulation::launches() - before;
  };
  const Tensor to = Tensor::zeros({5, 7}, DType::float32, Device::cuda);
  CHECK(launches_of([&] { to.copy_from(x); }) == 0);
  CHECK(same_bits(to.to(Device::cpu), x.to(Device::cpu)));
  CHECK(launches_of([&] { to.slice(0, 1, 3).copy_from(x.slice(0, 3, 5)); }) == 0);
  CHECK(same_bits(to.slice(0, 1, 3).to(Device::cpu), x.slice(0, 3, 5).to(Device::cpu)));
  CHECK(same_bits(to.slice(0, 3, 5).to(Device::cpu), x.slice(0, 3, 5).to(Device::cpu)));
  CHECK(launches_of([&] { to.slice(1, 1, 3).copy_from(x.slice(1, 3, 5)); }) == 1);
  CHECK(launches_of([&] { to.copy_from(x.flip(0)); }) == 1);
  CHECK(launches_of([&] { x.to(DType::float64); }) == 1);
  const Tensor one = Tensor::zeros({1, 7}, DType::float32, Device::cuda);
  CHECK(launches_of([&] { one.copy_from(x.slice(0, 2, 3)); }) == 0);
  CHECK(launches_of([&] { one.copy_from(x.slice(0, 4, 5).flip(1)); }) == 1);
  CHECK(same_bits(one.to(Device::cpu), x.to(Device::cpu).slice(0, 4, 5).flip(1)));
}

TEST_CASE("random numbers on cuda are those of the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tensor here = Tensor::empty({1001}, dtype);
    Tensor there = Tensor::empty({1001}, dtype, Device::cuda);
    backend(Device::cpu).uniform(here, 7, 5);
    backend(Device::cuda).uniform(there, 7, 5);
    CHECK(same_bits(there.to(Device::cpu), here));
    backend(Device::cpu).normal(here, 7, 5);
    backend(Device::cuda).normal(there, 7, 5);
    CHECK(distance(there, here) < 1e-14);
  }
}

TEST_CASE("on cuda NaN wins in argmax, max and min, as on the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t n : {1, 2, 33, 300}) {
      for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
        CAPTURE(n);
        CAPTURE(at);
        const Tensor x = random_tensor({2, n}, 5, dtype);
        x.slice(0, 1, 2).slice(1, at, at + 1).fill(NAN);
        x.slice(0, 1, 2).slice(1, n - 1, n).fill(NAN);
        const Tensor there = x.to(Device::cuda);
        CHECK(same_bits(argmax(there).to(Device::cpu), argmax(x)));
        CHECK(argmax(x).at({1}) == static_cast<double>(at));
        for (const auto& extreme : {max(Var(there), {1}), min(Var(there), {1})}) {
          CHECK(std::isnan(extreme.value().to(Device::cpu).at({1})));
          CHECK(std::isfinite(extreme.value().to(Device::cpu).at({0})));
        }
      }
    }
  }
}

TEST_CASE("a number that no int64 can hold is told when the host next waits for cuda") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Tensor x = Tensor::from<float>({2, 3}, {0, 1, 2, 3, NAN, 5});
  CHECK(throws_with("to(int64): element 4, in row-major order, of 6 on the GPU is NaN",
                    [&] { x.to(Device::cuda).to(DType::int64).to(Device::cpu); }));
  CHECK(throws_with("to(int64): element [1, 1] of float32[2, 3] is nan", [&] {
    Tensor::empty({2, 3}, DType::int64, Device::cuda).copy_from(x);
  }));
  CHECK(throws_with("to(int64): element [1, 1] of float32[2, 3] is nan", [&] {
    Tensor::empty({2, 3}, DType::int64).copy_from(x.to(Device::cuda));
  }));
  const Tensor good = Tensor::from<double>({2}, {-0x1p63, 3.9});
  CHECK(same_bits(good.to(Device::cuda).to(DType::int64).to(Device::cpu), good.to(DType::int64)));
}

TEST_CASE("long sums by index on cuda lose no digits") {
  if (!have_gpu()) return;
  const Bounds bounds;
  constexpr std::int64_t kRows = 5000;
  const double exact = static_cast<double>(0.1f) * static_cast<double>(kRows);
  const Var table = parameter(Tensor::full({3, 2}, 1.0).to(Device::cuda));
  const Var numbers = parameter(Tensor::full({3}, 1.0).to(Device::cuda));
  const Tensor index = Tensor::full({kRows}, 1, DType::int64).to(Device::cuda);
  Tape tape;
  tape.backward(sum(embedding(table, index)) * 0.1 + sum(gather(numbers, index, 0)) * 0.1);
  CHECK(std::abs(table.grad().value().to(Device::cpu).at({1, 1}) / exact - 1) < 1.2e-7);
  CHECK(std::abs(numbers.grad().value().to(Device::cpu).at({1}) / exact - 1) < 1.2e-7);
  const Tensor x = Tensor::full({kRows}, 0.1).to(Device::cuda);
  const Tensor sums = cumsum(Var(x), 0).value().to(Device::cpu);
  CHECK(std::abs(sums.at({kRows - 1}) / exact - 1) < 1.2e-7);
}

}  // namespace tapeloop::test
