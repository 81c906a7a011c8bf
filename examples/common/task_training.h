// SPDX-License-Identifier: MIT
// Training of a model on a task that draws new samples for each update, for the loop of
// examples/common. It knows no model and no task.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "examples/common/options.h"
#include "examples/common/progress.h"
#include "examples/common/run.h"
#include "examples/common/settings.h"
#include "examples/common/training.h"

namespace common {

struct TrainingSettings {
  std::int64_t batch = 32;
  std::int64_t updates = 2000;  // at most, over all runs
  std::int64_t validate_every = 100;
  double learning_rate = 1e-3;
  double clip = 5;     // largest global norm of the gradient; 0: no clipping
  double goal = 0.99;  // the training ends when this share of the validation is right
};

// --batch, --updates, --validate-every, --lr, --clip, --goal
SettingsTable table_of(TrainingSettings& settings);

// A validation: the mean loss, and the share of samples that are wholly right.
struct Score {
  double nats = 0, right = 0;
  std::string remark = {};  // printed behind them
};

struct Task {
  std::function<void()> draw;                // draws the samples of the next update
  std::function<tapeloop::Var()> loss;       // of these samples
  std::function<Score()> validate;           // always of the same samples
  std::map<std::string, std::string> notes;  // of checkpoints; "program" is the program's name
};

class TaskTraining : public Training {
 public:
  // The model must outlive this object. Its visit() also visits the random stream of draw().
  template <tapeloop::nn::Module M>
  TaskTraining(const M& model, const TrainingSettings& settings, Task task)
      : settings_(settings),
        task_(std::move(task)),
        learner_(model,
                 {.adam = {.learning_rate = settings.learning_rate}, .clip = settings.clip}) {}

  double update() override;
  std::int64_t updates() const override { return learner_.updates(); }
  double units() const override { return static_cast<double>(updates() * settings_.batch); }
  bool finished() const override;
  std::string validate() override;
  const History& history() const override { return learner_.history; }
  tapeloop::nn::Checkpoint checkpoint() const override { return learner_.checkpoint(task_.notes); }
  void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) override {
    learner_.restore(saved, path);
  }
  void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const override;
  // The last validation; validates now if this run has none.
  Score score();
  const TrainingSettings& settings() const { return settings_; }

 private:
  TrainingSettings settings_;
  Task task_;
  Learner learner_;
  std::optional<Score> score_;
};

// The share of columns n of the logits [T, N, V] that have the largest logit at target[t, n] for
// all t with a target; and the mean loss. A target of -100 is none.
Score score_of(const tapeloop::Var& logits, const tapeloop::Tensor& target);

// The row of --resume.
Setting resume_setting(bool& resume);
// Notes the checkpoints in the folder of --out, and that --resume needs this folder.
void note_run(CommonOptions& options, bool resume);

// Trains with checkpoints in `folder`; with `resume` it goes on from the last one. Afterwards
// signals act as before. `unit`: what a sample is, such as "images".
Run::Result train(TaskTraining& training, const std::string& folder, const char* unit, bool resume);
// The same; prints the result, and writes --json.
void train_and_report(TaskTraining& training, const CommonOptions& options, const char* unit,
                      bool resume);

// Trains a model for comparison, without validations and checkpoints.
template <tapeloop::nn::Module M>
void train_beside(const M& model, const TrainingSettings& settings, const Task& task,
                  const char* unit) {
  Learner learner(model,
                  {.adam = {.learning_rate = settings.learning_rate}, .clip = settings.clip});
  Progress progress(0, settings.updates, unit);
  for (std::int64_t done = 1; done <= settings.updates; ++done) {
    task.draw();
    const double nats = learner.update(task.loss);
    progress.update(done, nats, static_cast<double>(done * settings.batch));
  }
}

}  // namespace common
