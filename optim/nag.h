// SPDX-License-Identifier: MIT
// Nesterov's accelerated gradient. Sutskever et al. 2013, in the form of PyTorch's SGD with
// nesterov=True. Classical momentum is in sgd.h.
#pragma once

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

struct NagOptions {
  double learning_rate = 1e-3;  // lr; set_learning_rate() and schedules change it
  double momentum = 0.9;        // mu, above 0; PyTorch has no default for it
  double weight_decay = 0;      // lambda of an L2 penalty, added to the gradient
  bool maximize = false;        // gradient ascent
};

// g' = g + lambda p   (-g + lambda p to maximize)
// b_1 = g',  b_t = mu b_{t-1} + g';   p -= lr (g' + mu b_t).
// State: "momentum_buffer".
class Nag : public Optimizer {
 public:
  explicit Nag(const ParameterList& parameters, const NagOptions& options = {});
  explicit Nag(const std::vector<Group<NagOptions>>& groups);

 private:
  void update(const Turn& turn) const override;
  std::vector<NagOptions> options_;  // one for each group
};

}  // namespace tapeloop::optim
