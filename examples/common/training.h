// SPDX-License-Identifier: MIT
// A model in training: updates by Adam that stop if numbers are not finite, the history of a run,
// and the checkpoint of both.
// It prints nothing, opens no file and knows no model.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tapeloop/autograd/tape/named.h"
#include "tapeloop/nn/layers/module.h"
#include "tapeloop/nn/look/inspect.h"
#include "tapeloop/nn/save/checkpoint.h"
#include "tapeloop/optim/adam.h"

namespace common {

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
  // returns true. Throws Error if the loss is not finite.
  bool note_validation(double nats, std::int64_t updates, const tapeloop::StateDict& weights);

  // Everything except the weights: a checkpoint has them as its own section "best".
  tapeloop::StateDict state_dict() const;
  // Throws Error, and changes nothing, if no History could have saved this state.
  void load_state_dict(const tapeloop::StateDict& state);
};

struct LearnerOptions {
  tapeloop::optim::AdamOptions adam;
  double clip = 0;          // largest global norm of the gradient; 0: no clipping
  bool clip_option = true;  // the program has --clip: messages advise it
  char dot = '.';           // what names of random states have for a dot in checkpoints
};

// The optimizer of a model, and what its training keeps.
class Learner {
 public:
  // The model must outlive this object.
  template <tapeloop::nn::Module M>
  Learner(const M& model, const LearnerOptions& options);

  // Makes one update along the gradient of loss(), a mean in nats, and returns that loss. Throws
  // Error if the loss or its gradient's norm is not finite, with the number of the update and the
  // operation, layer, time step and gate where that began; then the weights stay unchanged. For
  // that it calls loss() again, which must compute the same.
  double update(const std::function<tapeloop::Var()>& loss);
  std::int64_t updates() const { return updates_; }  // those of earlier runs included
  tapeloop::optim::Adam& adam() { return adam_; }

  History history;
  // Notes a validation of the present weights. Returns true if it is the best so far.
  bool note_validation(double nats);
  // Gives the model the weights of the best validation, if there was one.
  void use_best();

  // The model, the optimizer, the random states and the number of updates.
  tapeloop::nn::Checkpoint state(const std::map<std::string, std::string>& notes) const;
  void restore_state(const tapeloop::nn::Checkpoint& saved, const std::string& path);
  // The same and the history, with the best weights.
  tapeloop::nn::Checkpoint checkpoint(const std::map<std::string, std::string>& notes) const;
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path);

 private:
  tapeloop::StateDict weights() const;  // of parameters and buffers; shares their memory
  std::string kept_name(std::string name) const;

  LearnerOptions options_;
  tapeloop::ParameterList parameters_;
  tapeloop::ParameterList values_;  // the parameters and the buffers
  std::vector<std::pair<std::string, tapeloop::Random*>> randoms_;
  std::function<std::string(const std::function<tapeloop::Var()>&)> find_non_finite_;
  tapeloop::nn::NotedRandoms noted_;
  tapeloop::optim::Adam adam_;
  std::int64_t updates_ = 0;
};

template <tapeloop::nn::Module M>
Learner::Learner(const M& model, const LearnerOptions& options)
    : options_(options),
      parameters_(tapeloop::nn::parameters(model)),
      values_(tapeloop::nn::parameters_and_buffers(model)),
      randoms_(tapeloop::nn::randoms(model)),
      find_non_finite_([&model](const std::function<tapeloop::Var()>& loss) {
        return tapeloop::nn::find_non_finite(model, loss).str();
      }),
      noted_(model),
      adam_(parameters_, options.adam) {}

// CPU time of this process so far, of all threads.
double cpu_seconds();

}  // namespace common
