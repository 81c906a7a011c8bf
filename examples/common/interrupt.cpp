// SPDX-License-Identifier: MIT
// The signal handler stores only the signal and the time: a handler may do little else.
#include "examples/common/interrupt.h"

#include <time.h>

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>

namespace common {

namespace {

constexpr std::array kStops = {SIGINT, SIGTERM, SIGHUP};

// Several threads may run the handler at once, for several signals: one of them sets the time.
std::atomic<std::int64_t> first_time = 0;  // nanoseconds; 0: no signal yet
std::atomic<int> noted = 0;                // set after first_time
static_assert(std::atomic<std::int64_t>::is_always_lock_free);
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void note_stop(int signal) {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t time = now.tv_sec * kSecond + now.tv_nsec;
  std::int64_t first = 0;
  if (first_time.compare_exchange_strong(first, time)) {
    noted = signal;
    return;
  }
  if (time - first < kSecond) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);  // the signal acts when the handler returns
}

}  // namespace

StopSignals::StopSignals() : exceptions_(std::uncaught_exceptions()) {
  noted = 0;
  first_time = 0;
  struct sigaction action = {};
  action.sa_handler = note_stop;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : kStops) sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    ::sigaction(kStops[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) ::sigaction(kStops[i], &action, nullptr);
  }
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kStops.size(); ++i) ::sigaction(kStops[i], &before_[i], nullptr);
  if (noted == 0 || std::uncaught_exceptions() > exceptions_) return;
  std::fflush(stdout);  // the signal may end the process
  std::raise(noted);
}

int StopSignals::received() const { return noted; }

void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace common
