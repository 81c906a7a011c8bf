// SPDX-License-Identifier: MIT
// parallel_for: splits one loop over the threads of one process-wide pool; and the number of these
// threads. Has no task queue: the split is static, and each part runs on the same thread every
// time, unless that thread is late.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace tapeloop {

// The most threads that set_num_threads() takes.
inline constexpr int kMaxThreads = 1024;
// The number of threads that a loop may use, including the calling thread. Holds for the whole
// process and may be set at any time. The default is 1: a library must not take cores that it was
// not given, and several small runs side by side are faster than one run on all cores. No result
// depends on this number, not in a single bit. Throws Error unless 1 <= count <= kMaxThreads.
// Threads start when a loop first needs them.
void set_num_threads(int count);
int num_threads();  // the number that was set

namespace internal {

using RangeFunction = void (*)(void* body, std::int64_t begin, std::int64_t end);

// Splits [0, count) into `parts` >= 2 parts, the first for the calling thread. Returns when all are
// done.
void run_in_parts(std::int64_t count, int parts, RangeFunction function, void* body);

class Team;
class TeamStart;
using TeamFunction = void (*)(void* body, Team& team, int member);
void run_in_team(int most, TeamFunction function, void* body);

}  // namespace internal

// Calls body(begin, end) for contiguous ranges that together cover [0, count) once: at most
// num_threads() ranges of nearly equal length, each at least `grain` long (a single range may be
// shorter). Runs in the calling thread alone inside another parallel_for, or while another thread
// uses the pool. If a worker is late to start, the calling thread runs its part. If bodies throw,
// the exception of the lowest range is rethrown here after all ranges have ended. Allocates
// nothing. Costs about 1 us while the workers are awake; they sleep after some 30 us without work.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  const std::int64_t most = count / (grain < 1 ? 1 : grain);
  const std::int64_t allowed = most < 2 ? 1 : num_threads();
  const std::int64_t parts = most < allowed ? most : allowed;
  if (parts < 2) {
    body(std::int64_t{0}, count);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  const auto call = [](void* erased, std::int64_t begin, std::int64_t end) {
    (*static_cast<Plain*>(erased))(begin, end);
  };
  internal::run_in_parts(count, static_cast<int>(parts), call,
                         const_cast<void*>(static_cast<const void*>(&body)));
}

namespace internal {

// Threads that run one body at the same time and wait for each other at barriers.
class Team {
 public:
  int size() const { return size_; }
  // A barrier: returns when every member has called it. Each member then sees everything that the
  // others wrote before their call. Throws Abandoned if the body of a member has thrown.
  void wait();
  struct Abandoned {};

 private:
  friend void run_in_team(int most, TeamFunction function, void* body);
  friend class TeamStart;
  int size_ = 1;
  std::atomic<bool> abandoned_{false};
  alignas(64) std::atomic<int> waiting_{0};
  alignas(64) std::atomic<int> round_{0};
};

}  // namespace internal

// Calls body(team, member) once for each member of a team of at most `most` threads, all at the
// same time: members may wait for each other with team.wait(). Threads that do not start within a
// moment, because the system runs something else on their core, are left out. team.size() is the
// number of members; `member` counts from 0 to size() - 1. If bodies throw, the first exception is
// rethrown here after all members have ended. Allocates nothing. Costs about 1 us while the workers
// are awake.
template <class Body>
void parallel_team(int most, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  const auto call = [](void* erased, internal::Team& team, int member) {
    (*static_cast<Plain*>(erased))(team, member);
  };
  internal::run_in_team(most, call, const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace tapeloop
