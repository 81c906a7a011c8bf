// SPDX-License-Identifier: MIT
// RandomLog: the random numbers that a function took, so that a second run takes the same ones.
#pragma once

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::detail {

// Lists the random numbers that a function took, in order, by their positions in the streams. The
// second run takes the numbers at these positions, wherever its Random states are by then. Logs
// nest: a logged function may call another logged function.
class RandomLog {
 public:
  class Scope {  // while it lives, this thread takes random numbers through the log
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { thread_context.random_log = log_.outer_; }

   protected:
    enum class Mode { note, replay, peek };
    Scope(RandomLog& log, Mode mode);

   private:
    friend class RandomLog;
    RandomLog& log_;
  };
  struct Noting : Scope {  // takes numbers and logs them
    explicit Noting(RandomLog& log) : Scope(log, Mode::note) {}
  };
  struct Replaying : Scope {  // takes the logged numbers; advances no Random
    explicit Replaying(RandomLog& log) : Scope(log, Mode::replay) {}
  };
  struct Peeking : Scope {  // takes the next numbers; advances no Random
    explicit Peeking(RandomLog& log) : Scope(log, Mode::peek) {}
  };
  std::uint64_t take(Random& random, std::uint64_t count);
  bool replayed_all() const { return replayed_ == entries_.size(); }
  // Whether this run, or one around it, does not count: it is the second one, or only tries.
  bool repeats() const {
    return mode_ != Scope::Mode::note || (outer_ != nullptr && outer_->repeats());
  }

 private:
  struct Entry {
    std::uint64_t seed, first, count;
  };
  PoolVector<Entry> entries_;
  std::size_t replayed_ = 0;
  Scope::Mode mode_{};
  RandomLog* outer_ = nullptr;
};

// Whether this thread is in a function that runs again, or runs for its memory only: recompute().
// State that a run changes, such as running statistics, then stays as it is.
inline bool repeats_a_run() {
  return thread_context.random_log != nullptr && thread_context.random_log->repeats();
}

}  // namespace tapeloop::detail
