// SPDX-License-Identifier: MIT
// recurrent() with every kind of step on every kind of order on Device::cuda, against the CPU:
// values, first and second gradients. Runs on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/).
#include "tests/device/device.h"
#include "tests/device/device_cell.h"
#include "tests/sequence/step_kinds.h"

#include <random>

#include "tapeloop/nn/nn.h"

namespace tapeloop::test {

TEST_CASE("every step on every order gives on the GPU what it gives on the CPU") {
  if (!have_gpu() || !register_cells()) return;
  const Bounds bounds;
  each_step_and_order([](const StepKind& step, const Order& order) {
    CAPTURE(std::string(step.name));
    CAPTURE(std::string(order.name));
    for (const std::int64_t hidden : {1, 7}) {
      const StepTask exact(step, order, hidden, DType::float64);
      const StepTask on_gpu(step, order, hidden, DType::float64, Device::cuda);
      CHECK(worst(on_gpu.outcome(true, true, 1), exact.outcome(true, true, 1)) <= 1e-12);
    }
    const StepTask single(step, order, 5, DType::float32);
    const StepTask single_on_gpu(step, order, 5, DType::float32, Device::cuda);
    CHECK(worst(single_on_gpu.outcome(true, false, 1), single.outcome(true, false, 1)) <= 2e-5);
    const StepTask small(step, order, 2, DType::float64);
    const StepTask small_on_gpu(step, order, 2, DType::float64, Device::cuda);
    CHECK(worst(small_on_gpu.outcome(true, true, 2), small.outcome(true, true, 2)) <= 1e-11);
  });
}

namespace {

// Runs a structure on both devices: h of all nodes, and the gradients of x and of the weights.
template <class Model, class Options>
void check_structure(const Options& options, const Schedule& schedule) {
  const auto run = [&](Device device) {
    Random random(1);
    Model model(options, random);
    nn::move(model, device);
    Tape tape;
    const Tensor values = random_tensor({schedule.nodes(), options.input}, 5, options.dtype);
    const Var x = parameter(values.to(device));
    const auto result = model(x, schedule);
    Var h;
    if constexpr (requires { result.y; }) {
      h = result.y;
    } else {
      h = result.h();
    }
    std::vector<Var> leaves{x};
    for (const auto& named : nn::parameters(model)) leaves.push_back(named.var);
    std::vector<Tensor> results{h.value().to(Device::cpu)};
    for (const Var& d : tape.gradient(sum(h * h), leaves)) {
      results.push_back(d.value().to(Device::cpu));
    }
    return results;
  };
  const std::vector<Tensor> expected = run(Device::cpu), found = run(Device::cuda);
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(distance(found[i], expected[i]) <= 1e-10);
  }
}

}  // namespace

TEST_CASE("large levels whose tables name a row many times: rows are divided among threads") {
  if (!have_gpu()) return;
  const Bounds bounds;
  constexpr std::int64_t kNodes = 300;
  std::vector<std::int64_t> parents(kNodes, kNodes - 1), begins{0}, neighbours;
  parents.back() = -1;
  std::mt19937_64 random(7);
  for (std::int64_t v = 0; v < kNodes; ++v) {  // node 0 is the neighbour of all others
    if (v > 0) neighbours.push_back(0);
    for (int i = 0; i < 3; ++i) {
      const auto other = static_cast<std::int64_t>(random() % kNodes);
      if (other != v) neighbours.push_back(other);
    }
    begins.push_back(static_cast<std::int64_t>(neighbours.size()));
  }
  check_structure<nn::ChildSumTreeLstm>(
      nn::TreeLstmOptions{.input = 3, .hidden = 5, .dtype = DType::float64},
      Schedule::trees_by_parent(parents));
  check_structure<nn::GraphLstm>(
      nn::GraphLstmOptions{.input = 3, .hidden = 5, .dtype = DType::float64},
      Schedule::graph({begins, neighbours}));
}

TEST_CASE("a sequence of many steps, and a tree of many nodes in two levels") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Random random(1);
  const auto check = [](auto& model, const Tensor& x, auto h_of, double most) {
    const Tensor expected = h_of(Var(x)).value();
    nn::move(model, Device::cuda);
    const Tensor found = h_of(Var(x.to(Device::cuda))).value().to(Device::cpu);
    CHECK(distance(found, expected) <= most);
  };
  // The emulation runs one thread after the other.
  const std::int64_t steps = emulation::present() ? 5000 : 100000;
  const std::int64_t nodes = emulation::present() ? 100000 : 1000000;
  nn::Lstm lstm({.input = 1, .hidden = 2}, random);  // in one launch
  check(
      lstm, random_tensor({steps, 1, 1}, 3, DType::float32),
      [&](const Var& x) { return lstm(x).ys; }, 1e-5);
  std::vector<std::int64_t> parents(static_cast<std::size_t>(nodes), nodes - 1);
  parents.back() = -1;
  const Schedule schedule = Schedule::trees_by_parent(parents);
  nn::ChildSumTreeLstm tree({.input = 1, .hidden = 1, .dtype = DType::float64}, random);
  check(
      tree, random_tensor({nodes, 1}, 3, DType::float64),
      [&](const Var& x) { return tree(x, schedule).h(); }, 1e-8);
}

}  // namespace tapeloop::test
