// SPDX-License-Identifier: MIT
// Checks parallel_for: every index once, nested and concurrent loops, exceptions, bad thread counts.
// Speed is not checked here.
#include "tapeloop/autograd/device/cpu/threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"

using tapeloop::parallel_for;

namespace {

struct Threads {
  explicit Threads(int count) { tapeloop::set_num_threads(count); }
  ~Threads() { tapeloop::set_num_threads(1); }
};

std::int64_t sum_in_parallel(std::int64_t count) {
  std::atomic<std::int64_t> sum{0};
  parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) sum += i;
  });
  return sum;
}

}  // namespace

TEST_CASE("one thread is the default, and bad thread counts are refused by name") {
  CHECK(tapeloop::num_threads() == 1);
  for (const int count : {0, -3, tapeloop::kMaxThreads + 1}) {
    std::string message;
    try {
      tapeloop::set_num_threads(count);
    } catch (const tapeloop::Error& error) {
      message = error.what();
    }
    CHECK(message == "set_num_threads: got " + std::to_string(count) +
                         ", expected 1 to 1024; pass 1 to run everything in the calling thread");
  }
  CHECK(tapeloop::num_threads() == 1);
}

TEST_CASE("parallel_for visits every index once, in few and long enough ranges") {
  for (const int threads : {1, 2, 3, 7}) {
    const Threads scope(threads);
    CHECK(tapeloop::num_threads() == threads);
    for (const std::int64_t count : {0, 1, 2, 3, 10, 64, 1001}) {
      for (const std::int64_t grain : {0, 1, 4, 100, 5000}) {
        CAPTURE(threads);
        CAPTURE(count);
        CAPTURE(grain);
        std::vector<int> visits(static_cast<std::size_t>(count), 0);
        std::atomic<int> ranges{0};
        std::atomic<bool> too_short{false};
        parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          ++ranges;
          if (end - begin < grain && end - begin < count) too_short = true;
          for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
        });
        CHECK(visits == std::vector<int>(static_cast<std::size_t>(count), 1));
        CHECK(ranges <= threads);
        CHECK_FALSE(too_short);
      }
    }
  }
}

TEST_CASE("the calling thread always gets the first range, and other threads do help") {
  const Threads scope(2);
  const auto caller = std::this_thread::get_id();
  bool helped = false;
  // A range of 1 ms leaves a worker time to start, even on a busy machine once in many attempts.
  for (int attempt = 0; attempt < 500 && !helped; ++attempt) {
    std::thread::id ran[2];
    parallel_for(2, 1, [&](std::int64_t begin, std::int64_t) {
      ran[begin] = std::this_thread::get_id();
      if (begin == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    REQUIRE(ran[0] == caller);
    helped = ran[1] != caller;
  }
  CHECK(helped);
}

TEST_CASE("workers that have gone to sleep wake up for the next loop") {
  const Threads scope(3);
  for (int i = 0; i < 5; ++i) {
    CHECK(sum_in_parallel(100) == 4950);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TEST_CASE("many short loops in a row lose no wake-up") {
  const Threads scope(2);
  std::int64_t total = 0;
  for (int i = 0; i < 3000; ++i) total += sum_in_parallel(2);
  CHECK(total == 3000);
}

TEST_CASE("a nested parallel_for runs in the thread that calls it") {
  const Threads scope(3);
  std::atomic<std::int64_t> visited{0};
  std::atomic<bool> moved{false};
  parallel_for(3, 1, [&](std::int64_t, std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(10, 1, [&](std::int64_t begin, std::int64_t end) {
      if (std::this_thread::get_id() != self) moved = true;
      visited += end - begin;
    });
  });
  CHECK(visited == 30);
  CHECK_FALSE(moved);
}

TEST_CASE("two threads of a program can use parallel_for at the same time") {
  const Threads scope(2);
  std::int64_t totals[2] = {0, 0};
  const auto work = [](std::int64_t* total) {
    for (int i = 0; i < 500; ++i) *total += sum_in_parallel(50);
  };
  std::thread other(work, &totals[0]);
  work(&totals[1]);
  other.join();
  CHECK(totals[0] == 500 * 1225);
  CHECK(totals[1] == 500 * 1225);
}

TEST_CASE("an exception in a body reaches the caller once all ranges have ended") {
  const Threads scope(3);
  for (const std::int64_t thrower : {0, 1, 2}) {
    std::atomic<int> ended{0};
    std::string message;
    try {
      parallel_for(3, 1, [&](std::int64_t begin, std::int64_t) {
        ++ended;
        if (begin >= thrower) throw std::runtime_error("range " + std::to_string(begin));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(ended == 3);
    CHECK(message == "range " + std::to_string(thrower));
  }
  CHECK(sum_in_parallel(100) == 4950);
}

TEST_CASE("an exception leaves the pool usable after a loop in one thread too") {
  CHECK_THROWS_AS(
      parallel_for(5, 1, [](std::int64_t, std::int64_t) { throw std::logic_error("x"); }),
      std::logic_error);
  CHECK(sum_in_parallel(100) == 4950);
}

TEST_CASE("lowering the number of threads leaves the others asleep") {
  {
    const Threads scope(4);
    CHECK(sum_in_parallel(100) == 4950);
  }
  const Threads scope(2);
  std::atomic<int> ranges{0};
  parallel_for(100, 1, [&](std::int64_t, std::int64_t) { ++ranges; });
  CHECK(ranges == 2);
}
