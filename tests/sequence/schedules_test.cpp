// SPDX-License-Identifier: MIT
// recurrent() with every kind of step on every kind of order, against the same steps node by node
// on the tape: values, first and second gradients, types, threads; and gradcheck.
#include <set>

#include "tests/sequence/step_kinds.h"

namespace tapeloop::test {

TEST_CASE("every step on every order gives what its nodes give one by one") {
  each_step_and_order([](const StepKind& step, const Order& order) {
    CAPTURE(std::string(step.name));
    CAPTURE(std::string(order.name));
    for (const std::int64_t hidden : {1, 5, 17}) {
      CAPTURE(hidden);
      const bool moved = hidden != 5;
      const StepTask exact(step, order, hidden, DType::float64);
      CHECK(worst(exact.outcome(true, moved, 1), exact.outcome(false, moved, 1)) <= 1e-12);
      const StepTask single(step, order, hidden, DType::float32);
      CHECK(worst(single.outcome(true, moved, 1), single.outcome(false, moved, 1)) <= 2e-5);
    }
    const StepTask small(step, order, 3, DType::float64);
    CHECK(worst(small.outcome(true, true, 2), small.outcome(false, true, 2)) <= 1e-11);
  });
}

TEST_CASE("2 and 3 threads give the same bits for every step and order") {
  each_step_and_order([](const StepKind& step, const Order& order) {
    CAPTURE(std::string(step.name));
    CAPTURE(std::string(order.name));
    const StepTask task(step, order, 300, DType::float32);  // work for several threads
    const std::vector<Tensor> alone = task.outcome(true, true, 1);
    for (const int threads : {2, 3}) {
      const Threads scope(threads);
      const std::vector<Tensor> together = task.outcome(true, true, 1);
      for (std::size_t i = 0; i < alone.size(); ++i) CHECK(same_bits(together[i], alone[i]));
    }
  });
}

TEST_CASE("gradcheck of every step on a chain and on an order with tables") {
  const std::set<std::string> chosen = {"a chain", "resets and lengths, reverse", "trees",
                                        "trees by parents", "joined graphs"};
  each_step_and_order([&](const StepKind& step, const Order& order) {
    if (!chosen.contains(order.name)) return;
    CAPTURE(std::string(step.name));
    CAPTURE(std::string(order.name));
    const StepTask task(step, order, 2, DType::float64);
    ParameterList list;
    for (const Var& x : task.parameters)
      list.push_back({"parameter " + std::to_string(list.size()), x});
    const GradcheckReport report = gradcheck(
        [&] {
          const RecurrentResult result = task.run(true, true);
          return std::vector<Var>(result.states.begin(), result.states.end());
        },
        list, {.second_order = true});
    INFO(report.str());
    CHECK(report.ok);
  });
}

TEST_CASE("without a tape the results are the same") {
  each_step_and_order([](const StepKind& step, const Order& order) {
    CAPTURE(std::string(step.name));
    CAPTURE(std::string(order.name));
    const StepTask task(step, order, 9, DType::float32);
    const std::vector<Tensor> taped = task.outcome(true, true, 1);
    const RecurrentResult bare =
        recurrent(task.recurrence, task.x, task.initial, task.sizes, order.schedule);
    CHECK(worst({bare.hs.value()}, {(StepTask(task).run(true, false)).hs.value()}) == 0);
    for (std::size_t k = 0; k < bare.last.size(); ++k) {
      CHECK(worst({bare.last[k].value()}, {task.run(false, false).last[k].value()}) <= 2e-5);
    }
  });
}

}  // namespace tapeloop::test
