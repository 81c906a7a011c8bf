// SPDX-License-Identifier: MIT
// RMSprop: checks its options, and chooses one of its four rules.
#include "tapeloop/optim/rmsprop.h"

#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

RmsProp::RmsProp(const ParameterList& parameters, const RmsPropOptions& options)
    : RmsProp(std::vector<Group<RmsPropOptions>>{{parameters, options}}) {}

RmsProp::RmsProp(const std::vector<Group<RmsPropOptions>>& groups) : Optimizer("rmsprop") {
  require_groups(groups.size());
  for (const Group<RmsPropOptions>& group : groups) {
    const RmsPropOptions& o = group.options;
    require_fraction("alpha", o.alpha);
    require_not_negative("epsilon", o.epsilon);
    require_not_negative("momentum", o.momentum);
    require_not_negative("weight_decay", o.weight_decay);
    std::vector<State> states = {{"square_avg"}};
    if (o.centered) states.push_back({"grad_avg"});
    if (o.momentum > 0) states.push_back({"momentum_buffer"});
    add_group(group.parameters, o.learning_rate, states);
    options_.push_back(o);
  }
}

void RmsProp::update(const Turn& turn) const {
  const RmsPropOptions& o = options_[turn.group];
  const Tensor& p = turn.value;
  const Tensor& g = turn.gradient;
  const Tensor& v = turn.state[0];
  const rule::Descent descent{turn.learning_rate, o.weight_decay, o.maximize ? -1.0 : 1.0};
  const rule::RunningMean mean{o.alpha, o.epsilon};
  if (o.centered && o.momentum > 0) {
    const Tensor& m = turn.state[1];
    const Tensor& b = turn.state[2];
    turn.all->add(rule::RmsPropCenteredMomentum{descent, mean, o.momentum}, {p, g, v, m, b},
                  {p, v, m, b});
  } else if (o.centered) {
    const Tensor& m = turn.state[1];
    turn.all->add(rule::RmsPropCentered{descent, mean}, {p, g, v, m}, {p, v, m});
  } else if (o.momentum > 0) {
    const Tensor& b = turn.state[1];
    turn.all->add(rule::RmsPropMomentum{descent, mean, o.momentum}, {p, g, v, b}, {p, v, b});
  } else {
    turn.all->add(rule::RmsProp{descent, mean}, {p, g, v}, {p, v});
  }
}

}  // namespace tapeloop::optim
