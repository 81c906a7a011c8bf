// SPDX-License-Identifier: MIT
// RMSprop (Tieleman & Hinton 2012), also centered (Graves 2013, arXiv:1308.0850) and with momentum.
#pragma once

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

struct RmsPropOptions {
  double learning_rate = 1e-2;  // lr; set_learning_rate() and schedules change it
  double alpha = 0.99;          // decay rate of the running averages
  double epsilon = 1e-8;        // outside the square root
  double momentum = 0;          // mu; 0: none
  bool centered = false;        // divides by the standard deviation, not by the root mean square
  double weight_decay = 0;      // lambda of an L2 penalty, added to the gradient
  bool maximize = false;        // gradient ascent
};

// g' = g + lambda p   (-g + lambda p to maximize)
// v = alpha v + (1 - alpha) g'^2;   centered: m = alpha m + (1 - alpha) g'
// d = sqrt(v) + epsilon;            centered: d = sqrt(v - m^2) + epsilon
// p -= lr g' / d;                   momentum: b = mu b + g' / d,  p -= lr b
// If rounding makes v - m^2 negative, it counts as 0.
// State: "square_avg" (v), then "grad_avg" (m) if centered, "momentum_buffer" (b) if mu > 0.
class RmsProp : public Optimizer {
 public:
  explicit RmsProp(const ParameterList& parameters, const RmsPropOptions& options = {});
  explicit RmsProp(const std::vector<Group<RmsPropOptions>>& groups);

 private:
  void update(const Turn& turn) const override;
  std::vector<RmsPropOptions> options_;  // one for each group
};

}  // namespace tapeloop::optim
