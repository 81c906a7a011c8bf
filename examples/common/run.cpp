// SPDX-License-Identifier: MIT
// The loop.
#include "examples/common/run.h"

#include <algorithm>

#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "examples/common/progress.h"

namespace common {

Run::Run(Training& training, const RunOptions& options)
    : training_(training), options_(options), files_(options.folder, options.only_file) {}

void Run::resume(const tapeloop::nn::Checkpoint& saved) {
  training_.check(saved, last());
  training_.restore(saved, last());
  check_resumed_updates(training_.updates(), options_.updates, training_.history().best_update,
                        last());
  files_.resume(saved, training_.history());
  resumed_ = true;
}

Run::Result Run::train() {
  if (resumed_ && training_.updates() < options_.updates) {
    print("going on after update {}\n", training_.updates());
  } else if (resumed_) {
    print("nothing to train: {} updates are done, --updates is {}; a larger number goes on\n",
          training_.updates(), options_.updates);
  }
  std::fflush(stdout);
  const std::int64_t first = training_.updates();
  const double units = training_.units();
  Progress progress(first, options_.updates, options_.unit);
  const auto end_if_stopped = [&] {
    if (signals_.received() == 0) return;
    progress.clear();
    files_.save_stopped(training_.checkpoint());
    throw Interrupted(fmt::format("stopped after update {} of {}, which is saved in {}; the same "
                                  "command with --resume goes on",
                                  training_.updates(), options_.updates, last()),
                      signals_.received());
  };
  Result result;
  while (!training_.finished()) {
    const std::int64_t every = options_.validate_every;
    const std::int64_t stop = std::min(options_.updates, (training_.updates() / every + 1) * every);
    const double wall = progress.seconds(), cpu = cpu_seconds();
    while (training_.updates() < stop) {
      const double loss = training_.update();
      progress.update(training_.updates(), loss, training_.units() - units);
      end_if_stopped();
    }
    result.seconds += progress.seconds() - wall;
    result.cpu_seconds += cpu_seconds() - cpu;
    const std::string line = training_.validate();
    progress.clear();
    if (options_.prints_validations) {
      print("{}\n", line);
      std::fflush(stdout);
    } else if (!line.empty()) {
      progress.note(line);
    }
    files_.save(training_.checkpoint(), training_.history());
    end_if_stopped();
  }
  progress.clear();
  files_.retry(training_.checkpoint(), training_.history());
  result.updates = training_.updates() - first;
  result.units = training_.units() - units;
  return result;
}

}  // namespace common
