// SPDX-License-Identifier: MIT
// Saves a run again and again, without ending it if a save fails, and reads its best weights back.
// The trainer decides what a checkpoint contains; the training loop decides when to save.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "examples/common/training.h"
#include "tapeloop/nn/save/checkpoint.h"

namespace common {

// If a save fails, the saver prints a warning on standard error and the earlier file stays. The run
// goes on, and the next save tries again. If something is still unsaved at the end,
// CommandLine::run() returns 1: see unsaved().
class Saver {
 public:
  // `saved`: the update of this run that the file holds already; -1: none.
  explicit Saver(std::string path, std::int64_t saved = -1)
      : path_(std::move(path)), saved_(saved) {}
  const std::string& path() const { return path_; }
  // Returns false, after the warning, if the save failed.
  bool save(const tapeloop::nn::Checkpoint& now);
  // The same for a run that a signal is stopping. Throws FileError if the save failed.
  void save_or_throw(const tapeloop::nn::Checkpoint& now);

 private:
  std::string path_;
  std::int64_t saved_;
};

// The files that this process could not save, one line for each; "" if everything is saved.
std::string unsaved();

// A run resumes from FOLDER/last.safetensors. FOLDER/best.safetensors holds only the weights of the
// best validation. last.safetensors holds these weights too, in its section "best", and
// best.safetensors is made from them. Until a run's first validation, best.safetensors may be of an
// earlier run: read_best() and resume() compare the weights.
class RunFiles {
 public:
  // `only`: the name of the one file, where the run's checkpoint is also that of its best weights.
  explicit RunFiles(const std::string& folder, const char* only = nullptr);
  const std::string& last() const { return last_.path(); }
  const std::string& best() const { return best_.path(); }

  // Saves the run, and its best weights if they are new. Before the first validation there are no
  // best weights, and best.safetensors of an earlier run stays.
  void save(const tapeloop::nn::Checkpoint& now, const History& history);
  // Saves a run that a signal is stopping. Throws FileError if the save failed.
  void save_stopped(const tapeloop::nn::Checkpoint& now) { last_.save_or_throw(now); }
  // For a run that goes on from `saved`: makes best.safetensors again if the file is absent,
  // damaged or belongs to another run.
  void resume(const tapeloop::nn::Checkpoint& saved, const History& history);
  // At the end of the training: tries again to save what is still unsaved.
  void retry(const tapeloop::nn::Checkpoint& now, const History& history);

 private:
  void save_best(const tapeloop::nn::Checkpoint& now, const History& history);
  Saver last_, best_;
  bool last_saved_ = true;
  std::int64_t best_saved_ = -2;  // the update of the weights in best.safetensors; -2: unknown
};

// Reads the history of the run in this checkpoint, with the best weights. A file of an earlier
// version may have no best weights: then they are read from best.safetensors beside `path`. Throws
// FileError if that file is not of the same run.
History history_of(const tapeloop::nn::Checkpoint& saved, const std::string& path);

// Reads the best weights of a run, in section "model". `path` is the run's best.safetensors; any
// other checkpoint is read without further checks. If last.safetensors beside it holds other best
// weights, as after a kill between the two saves, those are used, and a line on standard error says
// so. Throws FileError that names `option` if there is no such file.
tapeloop::nn::Checkpoint read_best(const std::string& path, const char* option);

}  // namespace common
