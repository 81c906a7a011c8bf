// SPDX-License-Identifier: MIT
// Stochastic gradient descent, with classical momentum as an option.
// Nesterov's momentum is in nag.h.
#pragma once

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

struct SgdOptions {
  double learning_rate = 1e-3;  // lr; set_learning_rate() and schedules change it
  double momentum = 0;          // mu; 0: none, and no buffer is kept
  double dampening = 0;         // the buffer adds (1 - dampening) g', but all of the first g'
  double weight_decay = 0;      // lambda of an L2 penalty, added to the gradient
  bool maximize = false;        // gradient ascent
};

// g' = g + lambda p   (-g + lambda p to maximize)
// b_1 = g',  b_t = mu b_{t-1} + (1 - dampening) g';   p -= lr b_t, or lr g' without momentum.
// State: "momentum_buffer" if mu > 0. The buffer does not include the learning rate, as in PyTorch.
class Sgd : public Optimizer {
 public:
  explicit Sgd(const ParameterList& parameters, const SgdOptions& options = {});
  explicit Sgd(const std::vector<Group<SgdOptions>>& groups);

 private:
  void update(const Turn& turn) const override;
  std::vector<SgdOptions> options_;  // one for each group
};

}  // namespace tapeloop::optim
