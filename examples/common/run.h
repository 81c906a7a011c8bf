// SPDX-License-Identifier: MIT
// The loop of every training: progress, validations, checkpoints, and a signal that stops it.
// The training itself is behind an interface; the loop knows no model and no data.
#pragma once

#include <cstdint>
#include <string>

#include "examples/common/interrupt.h"
#include "examples/common/saver.h"
#include "examples/common/training.h"

namespace common {

// The interface between the loop and a training.
class Training {
 public:
  virtual ~Training() = default;
  // Makes one update of the weights. Returns its loss.
  virtual double update() = 0;
  virtual std::int64_t updates() const = 0;  // those of earlier runs included
  virtual double units() const = 0;          // what these updates read, in RunOptions::unit
  virtual bool finished() const = 0;
  // Called after every `validate_every` updates and at the end. Returns a line for the user; "":
  // none.
  virtual std::string validate() = 0;
  virtual const History& history() const = 0;

  // checkpoint() returns the whole state, and restore() sets it.
  virtual tapeloop::nn::Checkpoint checkpoint() const = 0;
  virtual void restore(const tapeloop::nn::Checkpoint& saved, const std::string& path) = 0;
  // Throws Error if the checkpoint is of another program, or of other settings or data than this
  // training.
  virtual void check(const tapeloop::nn::Checkpoint& saved, const std::string& path) const = 0;
};

struct RunOptions {
  std::string folder;               // of the checkpoints
  const char* only_file = nullptr;  // a checkpoint that also holds the best weights; else two files
  std::int64_t updates = 0;
  std::int64_t validate_every = 1;
  const char* unit = "symbols";     // of the speed that the progress line shows
  bool prints_validations = false;  // on standard output too, not only on a terminal
};

// One run of a training. While it exists, a signal (interrupt.h) ends the training after the
// current update, and the run saves the state.
class Run {
 public:
  // The training must outlive this object.
  Run(Training& training, const RunOptions& options);

  const std::string& last() const { return files_.last(); }  // the file to resume from
  // Goes on from a checkpoint of last(). Throws Error if it does not fit.
  void resume(const tapeloop::nn::Checkpoint& saved);

  // The work of this run. Times are those of the updates alone.
  struct Result {
    std::int64_t updates = 0;
    double units = 0;
    double seconds = 0, cpu_seconds = 0;
    double units_per_second() const { return seconds > 0 ? units / seconds : 0; }
    double units_per_cpu_second() const { return cpu_seconds > 0 ? units / cpu_seconds : 0; }
  };
  // Trains to the end. Throws Interrupted after a signal.
  Result train();

 private:
  Training& training_;
  RunOptions options_;
  RunFiles files_;
  bool resumed_ = false;
  StopSignals signals_;
};

}  // namespace common
