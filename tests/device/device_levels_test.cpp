// SPDX-License-Identifier: MIT
// recurrent() with every kind of step on every kind of order on Device::cuda, against the CPU:
// values, first and second gradients. Runs on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/).
#include "tests/device/device.h"
#include "tests/device/device_cell.h"
#include "tests/sequence/step_kinds.h"

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

}  // namespace tapeloop::test
