// SPDX-License-Identifier: MIT
// Checks parallel_team: members run at once and meet at wait(), nested and concurrent teams, uneven work, more members than
// cores, idle workers. Speed is not checked here.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tapeloop/autograd/device/cpu/threads.h"

using tapeloop::parallel_for;
using tapeloop::parallel_team;
using tapeloop::internal::Team;

namespace {

struct Threads {
  explicit Threads(int count) { tapeloop::set_num_threads(count); }
  ~Threads() { tapeloop::set_num_threads(1); }
};

constexpr int kMost = 16;

// Each member writes a number for the round, all meet, each adds up what all wrote, all meet again. Returns the team's size;
// `wrong` counts sums that a member could not have seen if wait() kept its promise.
int meet(int most, int rounds, std::atomic<int>& wrong, int slow_member = -1) {
  const int wanted = std::min(most, tapeloop::num_threads());
  std::int64_t written[kMost] =
      {};  // plain memory: the thread sanitizer sees a wait() that does not order
  int size = 0;
  std::atomic<int> runs{0};
  parallel_team(most, [&](Team& team, int member) {
    ++runs;
    if (member == 0) size = team.size();
    const int all = team.size() == wanted ? rounds : 1;  // a team too small is tried again
    for (int round = 0; round < all; ++round) {
      if (member == slow_member) {
        volatile int busy = 0;
        for (int i = 0; i < 200; ++i) busy = busy + 1;
      }
      written[member] = round * 100 + member;
      team.wait();
      std::int64_t sum = 0, expected = 0;
      for (int i = 0; i < team.size(); ++i) {
        sum += written[i];
        expected += round * 100 + i;
      }
      if (sum != expected) ++wrong;
      team.wait();
    }
  });
  CHECK(runs == size);
  CHECK(size >= 1);
  CHECK(size <= most);
  return size;
}

// A team of the wanted size: on a busy machine workers may come too late, so it is tried again.
template <class Try>
bool once_with_size(int wanted, Try attempt) {
  for (int i = 0; i < 2000; ++i) {
    if (attempt() == wanted) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return false;
}

}  // namespace

TEST_CASE("members meet at wait() thousands of times, and each sees what all wrote before") {
  for (const int threads : {2, 3}) {
    const Threads scope(threads);
    std::atomic<int> wrong{0};
    // Three members may have to share two cores: each meeting then takes a turn of the scheduler.
    const int rounds = threads == 2 ? 5000 : 200;
    CHECK(once_with_size(threads, [&] { return meet(threads, rounds, wrong); }));
    CHECK(wrong == 0);
  }
}

TEST_CASE("many short teams in a row lose no member and no wake-up") {
  const Threads scope(2);
  std::atomic<int> wrong{0};
  int of_two = 0;
  for (int i = 0; i < 2000; ++i) of_two += meet(2, 2, wrong) == 2 ? 1 : 0;
  CHECK(wrong == 0);
  CHECK(of_two > 0);
}

TEST_CASE("one thread, or a team of at most one, runs in the caller alone") {
  const auto caller = std::this_thread::get_id();
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    for (const int most : {-1, 0, 1}) {
      int calls = 0;
      parallel_team(most, [&](Team& team, int member) {
        ++calls;
        CHECK(member == 0);
        CHECK(team.size() == 1);
        CHECK(std::this_thread::get_id() == caller);
        team.wait();  // nobody to wait for
        team.wait();
      });
      CHECK(calls == 1);
    }
  }
  parallel_team(4, [&](Team& team, int) { CHECK(team.size() == 1); });  // one thread is allowed
}

TEST_CASE("a team has at most as many members as asked for and as there are threads") {
  const Threads scope(3);
  std::atomic<int> wrong{0};
  for (int i = 0; i < 50; ++i) {
    CHECK(meet(2, 3, wrong) <= 2);
    CHECK(meet(kMost, 3, wrong) <= 3);
  }
  CHECK(wrong == 0);
}

TEST_CASE("members are numbered from 0, each number once, the caller is member 0") {
  const Threads scope(3);
  const auto caller = std::this_thread::get_id();
  CHECK(once_with_size(3, [&] {
    std::atomic<int> seen[3] = {};
    std::atomic<bool> caller_is_first{false};
    int size = 0;
    parallel_team(3, [&](Team& team, int member) {
      ++seen[member];
      if (member == 0) {
        size = team.size();
        caller_is_first = std::this_thread::get_id() == caller;
      }
    });
    CHECK(caller_is_first);
    for (int i = 0; i < 3; ++i) CHECK(seen[i] == (i < size ? 1 : 0));
    return size;
  }));
}

TEST_CASE("a member that has more to do is waited for") {
  const Threads scope(2);
  std::atomic<int> wrong{0};
  for (const int slow : {0, 1}) {
    CHECK(once_with_size(2, [&] { return meet(2, 300, wrong, slow); }));
  }
  // Long enough for a waiting member to give its core away.
  for (int i = 0; i < 20; ++i) {
    std::int64_t value = 0;
    parallel_team(2, [&](Team& team, int member) {
      if (member == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        value = 7;
      }
      team.wait();
      if (value != 7) ++wrong;
    });
  }
  CHECK(wrong == 0);
}

TEST_CASE("more members than cores still meet") {
  const int members =
      std::min<int>(kMost, static_cast<int>(std::thread::hardware_concurrency()) + 3);
  const Threads scope(members);
  std::atomic<int> wrong{0};
  int largest = 0;
  for (int i = 0; i < 200 && largest < members; ++i)
    largest = std::max(largest, meet(members, 10, wrong));
  CHECK(wrong == 0);
  CHECK(largest >= 2);
}

TEST_CASE(
    "a team inside a loop, and a loop or a team inside a team, run in the thread that calls") {
  const Threads scope(2);
  std::atomic<int> wrong{0};
  std::atomic<std::int64_t> visited{0};
  parallel_for(2, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      parallel_team(2, [&](Team& team, int member) {
        if (team.size() != 1 || member != 0) ++wrong;
        team.wait();
        ++visited;
      });
    }
  });
  CHECK(visited == 2);
  visited = 0;
  int size = 0;
  parallel_team(2, [&](Team& team, int member) {
    if (member == 0) size = team.size();
    const auto self = std::this_thread::get_id();
    team.wait();
    parallel_for(10, 1, [&](std::int64_t begin, std::int64_t end) {
      if (std::this_thread::get_id() != self) ++wrong;
      visited += end - begin;
    });
    parallel_team(2, [&](Team& inner, int) {
      if (inner.size() != 1) ++wrong;
      inner.wait();
    });
    team.wait();
  });
  CHECK(visited == 10 * size);
  CHECK(wrong == 0);
}

TEST_CASE("two threads of a program can use teams and loops at the same time") {
  const Threads scope(2);
  std::atomic<int> wrong{0};
  const auto work = [&] {
    for (int i = 0; i < 300; ++i) {
      meet(2, 5, wrong);
      std::atomic<std::int64_t> sum{0};
      parallel_for(50, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t k = begin; k < end; ++k) sum += k;
      });
      if (sum != 1225) ++wrong;
    }
  };
  std::thread other(work);
  work();
  other.join();
  CHECK(wrong == 0);
}

TEST_CASE("loops and teams take turns, and an exception in a loop does not stay behind") {
  const Threads scope(3);
  std::atomic<int> wrong{0};
  for (int i = 0; i < 100; ++i) {
    meet(3, 3, wrong);
    CHECK_THROWS_AS(parallel_for(3, 1, [](std::int64_t, std::int64_t) { throw 5; }), int);
    meet(3, 3, wrong);
    int calls = 0;
    parallel_for(1, 1, [&](std::int64_t, std::int64_t) { ++calls; });
    CHECK(calls == 1);
  }
  CHECK(wrong == 0);
}

TEST_CASE("an exception in any member ends the team and reaches the caller") {
  for (const int threads : {1, 2, 3}) {
    const Threads scope(threads);
    for (int thrower = 0; thrower < threads; ++thrower) {
      for (int round = 0; round < 50; ++round) {
        int size = 0;
        std::string message;
        try {
          parallel_team(threads, [&](Team& team, int member) {
            if (member == 0) size = team.size();
            for (int step = 0; step < 5; ++step) {
              if (step == 3 && member == std::min(thrower, team.size() - 1)) {
                throw std::runtime_error("from " + std::to_string(member));
              }
              team.wait();
            }
          });
        } catch (const std::runtime_error& error) {
          message = error.what();
        }
        CHECK(message == "from " + std::to_string(std::min(thrower, size - 1)));
        std::atomic<int> sum{0};  // nothing is left over for the next loop
        parallel_for(10, 1, [&](std::int64_t begin, std::int64_t end) {
          sum += static_cast<int>(end - begin);
        });
        CHECK(sum == 10);
      }
    }
  }
}

TEST_CASE("workers sleep while nobody calls") {
  const Threads scope(3);
  std::atomic<int> wrong{0};
  CHECK(once_with_size(3, [&] { return meet(3, 10, wrong); }));
  // CPU time of the whole process: three idle spinning workers would use as long as the sleep, or (on fewer cores) most of
  // it. A stall of the machine adds none, but the first moments belong to workers going to sleep: the best of some.
  std::clock_t least = 1000000000;
  for (int attempt = 0; attempt < 10; ++attempt) {
    meet(3, 10, wrong);
    const std::clock_t before = std::clock();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    least = std::min(least, std::clock() - before);
    if (least < CLOCKS_PER_SEC / 100) break;
  }
  CHECK(least < CLOCKS_PER_SEC / 100);  // a tenth of the sleep
}
