// SPDX-License-Identifier: MIT
// Adagrad. Duchi, Hazan & Singer 2011.
#pragma once

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

struct AdagradOptions {
  double learning_rate = 1e-2;     // lr; set_learning_rate() and schedules change it
  double learning_rate_decay = 0;  // at step t the rate is lr / (1 + (t - 1) decay)
  double initial_accumulator = 0;  // initial value of the sum of squares
  double epsilon = 1e-10;          // outside the square root
  double weight_decay = 0;         // lambda of an L2 penalty, added to the gradient
  bool maximize = false;           // gradient ascent
};

// g' = g + lambda p   (-g + lambda p to maximize)
// s += g'^2;   p -= lr / (1 + (t - 1) decay) * g' / (sqrt(s) + epsilon),  t = 1, 2, ...
// Each parameter has its own t.
// State: "sum" (s).
class Adagrad : public Optimizer {
 public:
  explicit Adagrad(const ParameterList& parameters, const AdagradOptions& options = {});
  explicit Adagrad(const std::vector<Group<AdagradOptions>>& groups);

 private:
  void update(const Turn& turn) const override;
  std::vector<AdagradOptions> options_;  // one for each group
};

}  // namespace tapeloop::optim
