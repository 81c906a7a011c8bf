// SPDX-License-Identifier: MIT
// Adam: checks its options, calculates the bias corrections, and chooses the rule.
#include "tapeloop/optim/adam.h"

#include <cmath>

#include "tapeloop/optim/updates.h"

namespace tapeloop::optim {

Adam::Adam(const ParameterList& parameters, const AdamOptions& options)
    : Adam(std::vector<Group<AdamOptions>>{{parameters, options}}) {}

Adam::Adam(const std::vector<Group<AdamOptions>>& groups) : Adam("adam", groups) {}

Adam::Adam(const char* name, const std::vector<Group<AdamOptions>>& groups) : Optimizer(name) {
  require_groups(groups.size());
  for (const Group<AdamOptions>& group : groups) {
    const AdamOptions& o = group.options;
    require_fraction("beta1", o.beta1);
    require_fraction("beta2", o.beta2);
    require_not_negative("epsilon", o.epsilon);
    require_not_negative("weight_decay", o.weight_decay);
    std::vector<State> states = {{"exp_avg"}, {"exp_avg_sq"}};
    if (o.amsgrad) states.push_back({"max_exp_avg_sq"});
    add_group(group.parameters, o.learning_rate, states);
    options_.push_back(o);
  }
}

void Adam::update(const Turn& turn) const {
  const AdamOptions& o = options_[turn.group];
  const double t = static_cast<double>(turn.step);
  const double rate = turn.learning_rate;
  const rule::Adam adam{
      .descent = {.learning_rate = rate / (1 - std::pow(o.beta1, t)),
                  .weight_decay = o.decoupled_decay ? 0 : o.weight_decay,
                  .sign = o.maximize ? -1.0 : 1.0},
      .beta1 = o.beta1,
      .beta2 = o.beta2,
      .scale = 1 / std::sqrt(1 - std::pow(o.beta2, t)),
      .epsilon = o.epsilon,
      .shrink = o.decoupled_decay ? rate * o.weight_decay : 0,
  };
  const Tensor& p = turn.value;
  const Tensor& g = turn.gradient;
  const Tensor& m = turn.state[0];
  const Tensor& v = turn.state[1];
  if (o.amsgrad) {
    const Tensor& w = turn.state[2];
    turn.all->add(rule::AmsGrad{adam}, {p, g, m, v, w}, {p, m, v, w});
  } else {
    turn.all->add(adam, {p, g, m, v}, {p, m, v});
  }
}

namespace {
std::vector<Group<AdamOptions>> with_decoupled_decay(
    const std::vector<Group<AdamWOptions>>& groups) {
  std::vector<Group<AdamOptions>> result;
  for (const Group<AdamWOptions>& group : groups) {
    const AdamWOptions& o = group.options;
    result.push_back({group.parameters,
                      {.learning_rate = o.learning_rate,
                       .beta1 = o.beta1,
                       .beta2 = o.beta2,
                       .epsilon = o.epsilon,
                       .weight_decay = o.weight_decay,
                       .decoupled_decay = true,
                       .amsgrad = o.amsgrad,
                       .maximize = o.maximize}});
  }
  return result;
}
}  // namespace

AdamW::AdamW(const ParameterList& parameters, const AdamWOptions& options)
    : AdamW(std::vector<Group<AdamWOptions>>{{parameters, options}}) {}

AdamW::AdamW(const std::vector<Group<AdamWOptions>>& groups)
    : Adam("adamw", with_decoupled_decay(groups)) {}

}  // namespace tapeloop::optim
