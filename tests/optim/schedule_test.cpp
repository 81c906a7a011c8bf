// SPDX-License-Identifier: MIT
// Schedules of learning rates against their formulas, on groups, by a metric; errors.
#include "tapeloop/optim/schedule.h"

#include <cmath>
#include <numbers>

#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/sgd.h"
#include "tests/optim/optimizers.h"

namespace tapeloop::optim {

TEST_CASE("schedules follow their formulas") {
  auto near = [](double x) { return doctest::Approx(x).epsilon(1e-14).scale(0); };
  StepDecay step_decay({.every = 3, .factor = 0.5});
  CHECK(step_decay.at(2, 8) == 8);
  CHECK(step_decay.at(3, 8) == 4);
  CHECK(step_decay.at(8, 8) == 2);
  MultiStep multi({.milestones = {2, 5}, .factor = 0.5});
  CHECK(multi.at(1) == 1);
  CHECK(multi.at(2) == 0.5);
  CHECK(multi.at(4) == 0.5);
  CHECK(multi.at(100) == 0.25);
  CHECK(Exponential({.factor = 0.9}).at(7, 2) == near(2 * std::pow(0.9, 7)));

  Cosine cosine({.steps = 10, .minimum = 0.1});
  for (int t = 0; t <= 10; ++t) {
    CHECK(cosine.at(t, 2) == near(0.1 + 1.9 * (1 + std::cos(std::numbers::pi * t / 10)) / 2));
  }
  CHECK(cosine.at(10, 2) == 0.1);
  CHECK(cosine.at(1000, 2) == 0.1);
  Cosine again({.steps = 10, .restarts = true});
  CHECK(again.at(10) == 1);
  CHECK(again.at(23) == again.at(3));
  Cosine longer({.steps = 4, .restarts = true, .stretch = 2});  // curves of 4, 8, 16 ... steps
  CHECK(longer.at(4) == 1);
  CHECK(longer.at(8) == near(0.5));
  CHECK(longer.at(12) == 1);
  CHECK(longer.at(20) == near(0.5));
  CHECK(std::isfinite(longer.at(std::numeric_limits<std::int64_t>::max())));

  LinearWarmup warmup({.steps = 4, .start = 0.2}, cosine);
  CHECK(warmup.at(0, 2) == near(0.4));
  CHECK(warmup.at(3, 2) == near(2 * (0.2 + 0.8 * 0.75)));
  CHECK(warmup.at(4, 2) == 2);
  CHECK(warmup.at(9, 2) == cosine.at(5, 2));
  CHECK(LinearWarmup({.steps = 4}).at(50, 2) == 2);
}

TEST_CASE("a schedule sets each group by its own initial rate") {
  ParameterList p = parameters_of({{1}, {1}}, DType::float32);
  Sgd sgd({{{p[0]}, {.learning_rate = 1}}, {{p[1]}, {.learning_rate = 0.1}}});
  StepDecay schedule({.every = 1, .factor = 0.5});
  schedule.apply(sgd, 2);
  CHECK(sgd.learning_rate(0) == 0.25);
  CHECK(sgd.learning_rate(1) == 0.1 * 0.25);
  schedule.apply(sgd, 1);  // starts from the base rate, not from the last one
  CHECK(sgd.learning_rate(0) == 0.5);
}

TEST_CASE("settings that make no schedule are refused") {
  CHECK(message_of([] { StepDecay({}); }) ==
        "step_decay: every is 0; expected a number of steps, 1 or above");
  CHECK(has(message_of([] { StepDecay({.every = 1, .factor = kNan}); }),
            "step_decay: factor is nan"));
  CHECK(has(message_of([] { MultiStep({.milestones = {5, 5}}); }), "multi_step: a milestone is 5"));
  CHECK(has(message_of([] { Exponential({}); }), "exponential: factor is 0"));
  CHECK(has(message_of([] { Cosine({}); }), "cosine: steps is 0"));
  CHECK(has(message_of([] { Cosine({.steps = 3, .stretch = 0}); }), "cosine: stretch is 0"));
  CHECK(
      has(message_of([] { LinearWarmup({.steps = 3, .start = 0}); }), "linear_warmup: start is 0"));
  CHECK(has(message_of([] { ReduceOnPlateau({.factor = 1}); }), "reduce_on_plateau: factor is 1"));
  CHECK(message_of([] { (void)Exponential({.factor = 0.5}).at(-1); }) ==
        "schedule: step is -1; expected 0 or above");
}

TEST_CASE("the rate falls when a metric has not improved for more than `patience` updates") {
  ParameterList p = parameters_of({{1}}, DType::float32);
  Sgd sgd(p, {.learning_rate = 1});
  ReduceOnPlateau plateau(
      {.factor = 0.5, .patience = 2, .threshold = 0.1, .cooldown = 2, .minimum = 0.2});
  auto rates = [&](std::initializer_list<double> metrics) {
    std::vector<double> result;
    for (double metric : metrics) {
      plateau.update(sgd, metric);
      result.push_back(sgd.learning_rate());
    }
    return result;
  };
  CHECK(rates({10, 8, 7.5, 7.3}) == std::vector<double>{1, 1, 1, 1});  // 7.5 is not below 8 * 0.9
  CHECK(plateau.best() == 8);
  CHECK(rates({9}) == std::vector<double>{0.5});  // the third bad one
  // Two in the cooldown.
  CHECK(rates({9, 9, kNan, 9, 9}) == std::vector<double>{0.5, 0.5, 0.5, 0.5, 0.25});
  CHECK(rates({9, 9, 9, 9, 9}) == std::vector<double>{0.25, 0.25, 0.25, 0.25, 0.2});
  CHECK(rates({9, 9, 9, 9, 9}) == std::vector<double>{0.2, 0.2, 0.2, 0.2, 0.2});
}

TEST_CASE("a plateau is judged by the direction and threshold asked for") {
  ParameterList p = parameters_of({{1}}, DType::float32);
  Sgd sgd(p, {.learning_rate = 1});
  ReduceOnPlateau higher({.better = Better::higher,
                          .patience = 0,
                          .threshold = 0.5,
                          .threshold_mode = Threshold::absolute});
  CHECK(!higher.update(sgd, 1));
  CHECK(!higher.update(sgd, 2));
  CHECK(higher.update(sgd, 2.25));
  CHECK(higher.best() == 2);
  CHECK(sgd.learning_rate() == doctest::Approx(0.1));
}

TEST_CASE("a plateau schedule continues from its saved state") {
  ParameterList p = parameters_of({{1}}, DType::float32);
  Sgd sgd(p, {.learning_rate = 1});
  ReduceOnPlateau first({.patience = 2, .cooldown = 1});
  for (double metric : {5.0, 6.0, 6.0}) first.update(sgd, metric);
  ReduceOnPlateau second({.patience = 2, .cooldown = 1});
  second.load_state_dict(first.state_dict());
  CHECK(second.best() == 5);
  CHECK(second.update(sgd, 6));
  StateDict bad = first.state_dict();
  bad[0].name = "worst";
  bad[1].tensor = Tensor::from<double>({}, {1});
  bad.push_back(bad[2]);
  CHECK(message_of([&] { second.load_state_dict(bad); }) ==
        "reduce_on_plateau: load_state_dict: nothing was loaded; give the state that state_dict() "
        "returned:\n"
        "  the saved state has no \"best\" (float64[])\n"
        "  \"bad_updates\" is float64[], expected int64[]\n"
        "  the saved state has \"worst\", which a plateau schedule does not have\n"
        "  the saved state has \"cooldown_left\" twice\n"
        "  the saved state has \"cooldown_left\" twice");
  CHECK(second.best() == 5);
}

}  // namespace tapeloop::optim
