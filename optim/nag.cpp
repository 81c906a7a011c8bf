// SPDX-License-Identifier: MIT
// Nesterov's accelerated gradient: checks its options, and calls the rule.
#include "tapeloop/optim/nag.h"

#include <cmath>

#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

Nag::Nag(const ParameterList& parameters, const NagOptions& options)
    : Nag(std::vector<Group<NagOptions>>{{parameters, options}}) {}

Nag::Nag(const std::vector<Group<NagOptions>>& groups) : Optimizer("nag") {
  require_groups(groups.size());
  for (const Group<NagOptions>& group : groups) {
    const NagOptions& o = group.options;
    require(std::isfinite(o.momentum) && o.momentum > 0, "momentum", o.momentum,
            "a finite number above 0; without momentum use optim::Sgd");
    require_not_negative("weight_decay", o.weight_decay);
    add_group(group.parameters, o.learning_rate, {{"momentum_buffer"}});
    options_.push_back(o);
  }
}

void Nag::update(const Turn& turn) const {
  const NagOptions& o = options_[turn.group];
  const Tensor& p = turn.value;
  const Tensor& b = turn.state[0];
  const rule::Descent descent{turn.learning_rate, o.weight_decay, o.maximize ? -1.0 : 1.0};
  turn.all->add(rule::Nesterov{descent, o.momentum}, {p, turn.gradient, b}, {p, b});
}

}  // namespace tapeloop::optim
