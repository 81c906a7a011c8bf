// SPDX-License-Identifier: MIT
// Shared by the tests of recurrent() on schedules: every kind of step, every kind of order, and
// both as a task that runs as one operation or one node after the other.
#pragma once

#include <cstdint>
#include <vector>

#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::test {

// Draws the weights and parameters of a step with H hidden units.
struct StepWeights {
  std::int64_t hidden;
  DType dtype;
  Device device;
  std::vector<Var>& made;
  std::uint64_t seed = 100;
  Var operator()(const Shape& shape);
};

struct StepKind {
  const char* name;
  int input_gates;         // columns of the input, in H
  int predecessors;        // slots that it reads
  int edge_tables;         // tables of edges that it reads
  std::vector<int> sizes;  // of the parts of the state: 0: H; k: k; -k: k H
  Recurrence (*make)(StepWeights& weights, std::int64_t nodes);
};
const std::vector<StepKind>& step_kinds();       // without edges
const std::vector<StepKind>& edge_step_kinds();  // with edges

struct Order {
  const char* name;
  Schedule schedule;
};
const std::vector<Order>& orders();       // without edges
const std::vector<Order>& edge_orders();  // with edges

// Calls work(step, order) for all of them that fit together.
template <class Work>
void each_step_and_order(Work work) {
  const auto each = [&](const std::vector<StepKind>& steps, const std::vector<Order>& all) {
    for (const StepKind& step : steps) {
      for (const Order& order : all) {
        if (step.predecessors > order.schedule.slots()) continue;
        if (step.edge_tables <= order.schedule.edge_tables()) work(step, order);
      }
    }
  };
  each(step_kinds(), orders());
  each(edge_step_kinds(), edge_orders());
}

struct StepTask {
  const StepKind& step;
  const Order& order;
  DType dtype;
  Device device;
  std::vector<Var> parameters{};
  Recurrence recurrence{};
  Var x{};
  std::vector<Var> initial{};
  std::vector<std::int64_t> sizes{};

  StepTask(const StepKind& s, const Order& o, std::int64_t hidden, DType type,
           Device where = Device::cpu);
  // fused: as one operation; else one node after the other. moved: x belongs to the operation.
  RecurrentResult run(bool fused, bool moved) const;
  // The results, and the gradients of a loss of them; of the gradients if `derivative` is 2.
  std::vector<Tensor> outcome(bool fused, bool moved, int derivative) const;
};

// The largest error, relative to the largest magnitude of its tensor (or to 1).
double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b);

}  // namespace tapeloop::test
