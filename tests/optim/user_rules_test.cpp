// SPDX-License-Identifier: MIT
// Optimizers that a user derives from optim::Optimizer.
#include "tapeloop/optim/optimizer.h"
#include "tapeloop/optim/updates.h"
#include "tests/optim/optimizers.h"

namespace tapeloop::optim {

TEST_CASE("a rule that throws: no parameter is updated, and nothing is counted") {
  class Choosy final : public Optimizer {
   public:
    explicit Choosy(const ParameterList& parameters) : Optimizer("choosy") {
      add_group(parameters, 1, {});
    }

   private:
    void update(const Turn& turn) const override {
      if (turn.value.numel() == 3) fail("choosy", "not three");
      turn.all->add(rule::Sgd{{.learning_rate = 1}}, {turn.value, turn.gradient}, {turn.value});
    }
  };
  ParameterList parameters = parameters_of({{2}, {3}, {4}}, DType::float32);
  set_gradients(parameters, 1);
  const Tensor before = parameters[0].var.value().clone();
  Choosy choosy(parameters);
  CHECK(message_of([&] { choosy.step(); }) == "choosy: not three");
  CHECK(same_bits(parameters[0].var.value(), before));
  const StateDict state = choosy.state_dict();
  CHECK(state[0].tensor.item() == 0);
  CHECK(state[1].tensor.item() == 0);
  CHECK(state[2].tensor.item() == 0);
  CHECK(choosy.steps() == 0);
}

TEST_CASE("a rule may use tensors of its own, and the model before the step ends") {
  class Own final : public Optimizer {
   public:
    explicit Own(const ParameterList& parameters) : Optimizer("own") {
      add_group(parameters, 1, {});
    }
    mutable std::vector<Tensor> seen;

   private:
    void update(const Turn& turn) const override {
      const Tensor twice = (Var(turn.gradient) * 2.0).value();  // ends before the step does
      turn.all->add(rule::Sgd{{.learning_rate = 1}}, {turn.value, twice}, {turn.value});
      seen.push_back(linear(Var(Tensor::full({4, 64}, 1)), Var(turn.value)).value());
    }
  };
  const Var a = parameter(Tensor::full({64, 64}, 2)), b = parameter(Tensor::full({64, 64}, 4));
  a.set_grad(Tensor::full({64, 64}, 1));
  b.set_grad(Tensor::full({64, 64}, 2));
  Own own({{"a", a}, {"b", b}});
  own.step();
  CHECK(own.seen[0].at({0, 0}) == 128);  // the values before the step
  CHECK(own.seen[1].at({0, 0}) == 256);
  for (const Var& weight : {a, b}) {
    CHECK(weight.value().at({3, 5}) == 0);
    CHECK(linear(Var(Tensor::full({4, 64}, 1)), weight).value().at({0, 0}) == 0);
  }
}

}  // namespace tapeloop::optim
