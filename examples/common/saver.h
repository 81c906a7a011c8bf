// SPDX-License-Identifier: MIT
// Saving a run again and again, without ending it where a save fails, and reading its best weights back.
// What is in a checkpoint is the trainer's; when to save is the loop's.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "examples/common/training.h"
#include "nn/checkpoint.h"

namespace common {

// A failed save of a checkpoint is a warning on standard error; the run goes on, and the next save tries again. What is
// still not saved at the end makes run_main() end with 1: see unsaved(). The file that was there stays.
class Saver {
 public:
  // `saved`: the update of this run that the file holds; -1: none.
  explicit Saver(std::string path, std::int64_t saved = -1)
      : path_(std::move(path)), saved_(saved) {}
  const std::string& path() const { return path_; }
  // False, after the warning, where it failed.
  bool save(const tapeloop::nn::Checkpoint& now);
  // The same for a run that a signal ends now: throws FileError where it failed.
  void save_or_throw(const tapeloop::nn::Checkpoint& now);

 private:
  std::string path_;
  std::int64_t saved_;
};

// What this process could not save: a line for each file, "" where all is saved.
std::string unsaved();

// FOLDER/last.safetensors, to go on from, and FOLDER/best.safetensors, with the weights of the best validation alone.
// The first holds those too, in its section "best", and the second is made from it: both are always of one run.
class RunFiles {
 public:
  explicit RunFiles(const std::string& folder);
  const std::string& last() const { return last_.path(); }
  const std::string& best() const { return best_.path(); }

  // Saves the run, and its best weights where they are new. Before the first validation there are none, and a
  // best.safetensors of an earlier run stays.
  void save(const tapeloop::nn::Checkpoint& now, const History& history);
  // The run is stopped now, by a signal. Throws FileError where it cannot be saved.
  void save_stopped(const tapeloop::nn::Checkpoint& now) { last_.save_or_throw(now); }
  // The run goes on from `saved`: makes best.safetensors again where it is absent, damaged or of another run.
  void resume(const tapeloop::nn::Checkpoint& saved, const History& history);
  // At the end of the training: tries again to save what could not be saved.
  void retry(const tapeloop::nn::Checkpoint& now, const History& history);

 private:
  void save_best(const tapeloop::nn::Checkpoint& now, const History& history);
  Saver last_, best_;
  bool last_saved_ = true;
  std::int64_t best_saved_ = -2;  // the update of the weights in best.safetensors; -2: not known
};

// The history of the run in this checkpoint, with the best weights. Where the checkpoint has none, as in files of earlier
// versions, they come from best.safetensors beside `path`. Throws FileError where that is not of the same run.
History history_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);

// The best weights of a run, in section "model". `path` is its best.safetensors; any other checkpoint is read as it
// is. Where last.safetensors beside it holds other best weights, as after a kill between both files, those are
// taken, and a line on standard error says so. Throws FileError that names `option` where there is no such file.
tapeloop::nn::Checkpoint read_best(const std::string& path, const char* option);

}  // namespace common
