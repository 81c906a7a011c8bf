// SPDX-License-Identifier: MIT
// SGD: checks its options, and chooses the rule.
#include "tapeloop/optim/sgd.h"

#include <cmath>

#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

Sgd::Sgd(const ParameterList& parameters, const SgdOptions& options)
    : Sgd(std::vector<Group<SgdOptions>>{{parameters, options}}) {}

Sgd::Sgd(const std::vector<Group<SgdOptions>>& groups) : Optimizer("sgd") {
  require_groups(groups.size());
  for (const Group<SgdOptions>& group : groups) {
    const SgdOptions& o = group.options;
    require_not_negative("momentum", o.momentum);
    require(std::isfinite(o.dampening), "dampening", o.dampening, "a finite number");
    require_not_negative("weight_decay", o.weight_decay);
    std::vector<State> states;
    if (o.momentum > 0) states.push_back({"momentum_buffer"});
    add_group(group.parameters, o.learning_rate, states);
    options_.push_back(o);
  }
}

void Sgd::update(const Turn& turn) const {
  const SgdOptions& o = options_[turn.group];
  const Tensor& p = turn.value;
  const rule::Descent descent{turn.learning_rate, o.weight_decay, o.maximize ? -1.0 : 1.0};
  if (o.momentum > 0) {
    const Tensor& b = turn.state[0];
    double share = turn.step == 1 ? 1 : 1 - o.dampening;
    turn.all->add(rule::SgdMomentum{descent, o.momentum, share}, {p, turn.gradient, b}, {p, b});
  } else {
    turn.all->add(rule::Sgd{descent}, {p, turn.gradient}, {p});
  }
}

}  // namespace tapeloop::optim
