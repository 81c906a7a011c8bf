// SPDX-License-Identifier: MIT
// The updates, validations and checkpoints of a task, and the report of a run.
#include "examples/common/task_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "tapeloop/autograd/ops/losses.h"

namespace common {

using namespace tapeloop;

SettingsTable table_of(TrainingSettings& s) {
  using namespace common;
  return {
      count("--batch", s.batch, 1, 1 << 20, "samples of an update").noted(),
      count("--updates", s.updates, 1, kAnyCount, "updates of the weights, at most"),
      count("--validate-every", s.validate_every, 1, kAnyCount,
            "updates from one validation to the next; each saves a checkpoint"),
      number("--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate").noted(),
      number("--clip", s.clip, 0, kAnyNumber, "largest global norm of the gradient; 0: no clipping")
          .noted(),
      number("--goal", s.goal, 0, 2,
             "the training ends when this share of the validation is right; above 1: never"),
  };
}

double TaskTraining::update() {
  task_.draw();
  const double nats = learner_.update(task_.loss);
  learner_.history.note_loss(nats);
  return nats;
}

bool TaskTraining::finished() const {
  const bool reached = score_ && score_->right >= settings_.goal;
  return reached || (updates() >= settings_.updates && history().best_update >= 0);
}

std::string TaskTraining::validate() {
  score_ = task_.validate();
  learner_.note_validation(score_->nats);
  return fmt::format("update {:>6}, {} samples: loss {:.4f}, right {:.4f}{}", updates(),
                     human_count(units()), score_->nats, score_->right, score_->remark);
}

void TaskTraining::check(const nn::Checkpoint& saved, const std::string& path) const {
  check_program(saved, task_.notes.at("program"), path);
  check_resumed_settings(saved, task_.notes, path, "data");
}

Score TaskTraining::score() {
  if (!score_) score_ = task_.validate();
  return *score_;
}

Score score_of(const Var& logits, const Tensor& target) {
  constexpr std::int64_t kNone = -100;
  const std::vector<std::int64_t> found = argmax(logits.value()).to_vector<std::int64_t>();
  const std::vector<std::int64_t> wanted = target.to_vector<std::int64_t>();
  std::vector<char> right(static_cast<std::size_t>(target.dim(1)), 1);  // of each column
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i] != kNone && wanted[i] != found[i]) right[i % right.size()] = 0;
  return {cross_entropy(logits, target, {.ignore_index = kNone}).item(),
          static_cast<double>(std::count(right.begin(), right.end(), 1)) /
              static_cast<double>(right.size()),
          {}};
}

Setting resume_setting(bool& resume) {
  return flag("--resume", resume, "continue the run from DIR/last.safetensors up to --updates");
}

void note_run(CommonOptions& options, bool resume) {
  for (const char* name : {"last", "best"}) {
    options.writes.push_back(
        {"the checkpoint", fmt::format("{}/{}.safetensors", options.out, name)});
  }
  if (resume) options.folder = OutFolder::continued;
}

Run::Result train(TaskTraining& training, const std::string& folder, const char* unit,
                  bool resume) {
  Run run(training, {.folder = folder,
                     .updates = training.settings().updates,
                     .validate_every = training.settings().validate_every,
                     .unit = unit,
                     .prints_validations = true});
  if (resume) run.resume(read_of_run(run.last(), "--resume"));
  return run.train();
}

void train_and_report(TaskTraining& training, const CommonOptions& options, const char* unit,
                      bool resume) {
  const Run::Result done = train(training, options.out, unit, resume);
  const Score score = training.score();
  print("after {} samples ({:.1f} s, {:.1f} s of CPU time): loss {:.4f}, right {:.4f}\n",
        static_cast<std::int64_t>(training.units()), done.seconds, done.cpu_seconds, score.nats,
        score.right);
  print("{}\n", score.right >= training.settings().goal ? "the goal is reached"
                                                        : "the goal is not reached");
  if (options.json.empty()) return;
  write_json(options.json, {{"samples", training.units()},
                            {"updates", training.updates()},
                            {"seconds", done.seconds},
                            {"cpu_seconds", done.cpu_seconds},
                            {"loss", score.nats},
                            {"right", score.right}});
}

}  // namespace common
