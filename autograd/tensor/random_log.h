// SPDX-License-Identifier: MIT
// RandomLog: which random numbers a function took, so that a second run of the function takes the same ones.
#pragma once

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::detail {

// The random numbers that a function took, by their places in the streams, in order: run again it takes the same ones,
// wherever its Random states are by then. Logs nest: a function that notes may call another one that does.
class RandomLog {
 public:
  class Scope {  // while it lives, what this thread takes goes by a log
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { random_log = log_.outer_; }

   protected:
    enum class Mode { note, replay, peek };
    Scope(RandomLog& log, Mode mode);

   private:
    friend class RandomLog;
    RandomLog& log_;
  };
  struct Noting : Scope {  // takes, and notes what
    explicit Noting(RandomLog& log) : Scope(log, Mode::note) {}
  };
  struct Replaying : Scope {  // takes what was noted, and moves no Random
    explicit Replaying(RandomLog& log) : Scope(log, Mode::replay) {}
  };
  struct Peeking : Scope {  // takes what would come next, and moves no Random
    explicit Peeking(RandomLog& log) : Scope(log, Mode::peek) {}
  };
  std::uint64_t take(Random& random, std::uint64_t count);
  bool replayed_all() const { return replayed_ == entries_.size(); }

 private:
  struct Entry {
    std::uint64_t seed, first, count;
  };
  PoolVector<Entry> entries_;
  std::size_t replayed_ = 0;
  Scope::Mode mode_{};
  RandomLog* outer_ = nullptr;
};

}  // namespace tapeloop::detail
