// SPDX-License-Identifier: MIT
// Adam (Kingma & Ba 2015, arXiv:1412.6980), AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) and
// AMSGrad (Reddi et al. 2018).
#pragma once

#include "tapeloop/optim/optimizer.h"

namespace tapeloop::optim {

struct AdamOptions {
  double learning_rate = 1e-3;  // lr; set_learning_rate() and schedules change it
  double beta1 = 0.9;           // decay rate of the mean gradient
  double beta2 = 0.999;         // decay rate of the mean squared gradient
  double epsilon = 1e-8;        // added after the bias correction, outside the square root
  double weight_decay = 0;      // lambda
  // AdamW: the decay shrinks the parameter instead of changing the gradient.
  bool decoupled_decay = false;
  bool amsgrad = false;   // divides by the largest mean squared gradient so far
  bool maximize = false;  // gradient ascent
};

// g' = g + lambda p   (-g + lambda p to maximize)
// with decoupled decay g' = g (or -g), and first p *= 1 - lr lambda
// m = beta1 m + (1 - beta1) g';   v = beta2 v + (1 - beta2) g'^2
// AMSGrad: w = max(w, v), else w = v
// p -= lr / (1 - beta1^t) * m / (sqrt(w / (1 - beta2^t)) + epsilon),  t = 1, 2, ...
// Each parameter has its own t.
// State: "exp_avg" (m), "exp_avg_sq" (v), and "max_exp_avg_sq" (w) with AMSGrad.
class Adam : public Optimizer {
 public:
  explicit Adam(const ParameterList& parameters, const AdamOptions& options = {});
  explicit Adam(const std::vector<Group<AdamOptions>>& groups);

 protected:
  Adam(const char* name, const std::vector<Group<AdamOptions>>& groups);

 private:
  void update(const Turn& turn) const override;
  std::vector<AdamOptions> options_;  // one for each group
};

// As in AdamOptions, with another default of weight_decay.
struct AdamWOptions {
  // --- as in AdamOptions ---
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;
};

// Adam with decoupled decay, with PyTorch's name and default decay.
class AdamW : public Adam {
 public:
  explicit AdamW(const ParameterList& parameters, const AdamWOptions& options = {});
  explicit AdamW(const std::vector<Group<AdamWOptions>>& groups);
};

}  // namespace tapeloop::optim
