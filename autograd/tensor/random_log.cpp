// SPDX-License-Identifier: MIT
// Logs the positions of random numbers in their streams, and returns the same ones in a second run.
#include "tapeloop/autograd/tensor/random_log.h"

#include <utility>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

RandomLog::Scope::Scope(RandomLog& log, Mode mode) : log_(log) {
  log.mode_ = mode;
  log.replayed_ = 0;
  log.outer_ = std::exchange(thread_context.random_log, &log);
}

std::uint64_t RandomLog::take(Random& random, std::uint64_t count) {
  if (mode_ == Scope::Mode::peek) return random.next;
  if (mode_ == Scope::Mode::note) {
    const std::uint64_t first =
        outer_ != nullptr ? outer_->take(random, count) : random.advance(count);
    entries_.push_back({random.seed, first, count});
    return first;
  }
  if (replayed_ == entries_.size() || entries_[replayed_].seed != random.seed ||
      entries_[replayed_].count != count) {
    fail("recompute",
         "in the second run the function draws other random numbers than in the first run; it must "
         "compute the same, with Random states of the same seeds");
  }
  return entries_[replayed_++].first;
}

}  // namespace tapeloop::detail
