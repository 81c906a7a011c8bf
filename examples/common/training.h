// SPDX-License-Identifier: MIT
// Shared by the trainers of several examples: an update by Adam that stops if numbers are not
// finite, and the history of a run.
// It prints nothing, opens no file and knows no model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/optim/adam.h"

namespace common {

// Makes one update along the gradient of `loss`, clipped to the global norm `clip` (0: no
// clipping). Returns the loss. Throws Error if the loss or its gradient's norm is not finite, with
// the number of the update and the text of explain(), which says where that began. Then the weights
// stay unchanged.
double descend(tapeloop::Tape& tape, const tapeloop::Var& loss, tapeloop::optim::Adam& adam,
               double clip, std::int64_t update, const std::function<std::string()>& explain);

// Throws if a validation's loss is NaN: NaN is neither better nor worse than another loss.
void check_validation(double nats, std::int64_t updates);

// The losses of the last updates, and the best validation.
struct History {
  double best_nats = 0;
  std::int64_t best_update = -1;     // -1: none yet
  std::int64_t since_best = 0;       // validations since the best one
  std::vector<double> recent;        // losses of the last updates, 100 at most
  tapeloop::StateDict best_weights;  // copies, on the CPU; empty before the first validation

  void note_loss(double nats);
  double recent_mean() const;
  // Notes a validation after this many updates. If it is the best so far, copies the weights and
  // returns true. Throws if the loss is NaN.
  bool note_validation(double nats, std::int64_t updates, const tapeloop::StateDict& weights);

  // Everything except the weights: a checkpoint has them as its own section "best".
  tapeloop::StateDict state_dict() const;
  // Throws Error, and changes nothing, if no History could have saved this state.
  void load_state_dict(const tapeloop::StateDict& state);
};

// CPU time of this process so far, of all threads.
double cpu_seconds();

}  // namespace common
