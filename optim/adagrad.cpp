// SPDX-License-Identifier: MIT
// Adagrad: checks its options, calculates the decayed rate, and calls the rule.
#include "tapeloop/optim/adagrad.h"

#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

Adagrad::Adagrad(const ParameterList& parameters, const AdagradOptions& options)
    : Adagrad(std::vector<Group<AdagradOptions>>{{parameters, options}}) {}

Adagrad::Adagrad(const std::vector<Group<AdagradOptions>>& groups) : Optimizer("adagrad") {
  require_groups(groups.size());
  for (const Group<AdagradOptions>& group : groups) {
    const AdagradOptions& o = group.options;
    require_not_negative("learning_rate_decay", o.learning_rate_decay);
    require_not_negative("initial_accumulator", o.initial_accumulator);
    require_not_negative("epsilon", o.epsilon);
    require_not_negative("weight_decay", o.weight_decay);
    add_group(group.parameters, o.learning_rate, {{"sum", o.initial_accumulator}});
    options_.push_back(o);
  }
}

void Adagrad::update(const Turn& turn) const {
  const AdagradOptions& o = options_[turn.group];
  const Tensor& p = turn.value;
  const Tensor& s = turn.state[0];
  double rate =
      turn.learning_rate / (1 + static_cast<double>(turn.step - 1) * o.learning_rate_decay);
  const rule::Descent descent{rate, o.weight_decay, o.maximize ? -1.0 : 1.0};
  turn.all->add(rule::Adagrad{descent, o.epsilon}, {p, turn.gradient, s}, {p, s});
}

}  // namespace tapeloop::optim
