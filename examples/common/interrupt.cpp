// SPDX-License-Identifier: MIT
// The signal handler stores only the signal and the time: a handler may do little else.
#include "examples/common/interrupt.h"

#include <fmt/format.h>
#include <time.h>

#include <csignal>
#include <cstddef>

namespace common {

namespace {

constexpr std::array kStops = {SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t noted = 0;
timespec first_time = {};  // only the handler uses it; no other of these signals interrupts it

extern "C" void note_stop(int signal) {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  if (noted == 0) {
    noted = signal;
    first_time = now;
    return;
  }
  const double since = static_cast<double>(now.tv_sec - first_time.tv_sec) +
                       1e-9 * static_cast<double>(now.tv_nsec - first_time.tv_nsec);
  if (since < 1) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);  // acts when the handler returns
}

}  // namespace

StopSignals::StopSignals() {
  noted = 0;
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
}

int StopSignals::received() const { return noted; }

void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::string stopped_text(std::int64_t updates, std::int64_t of, const std::string& checkpoint) {
  return fmt::format(
      "stopped after update {} of {}, which is saved in {}; the same command with --resume goes on",
      updates, of, checkpoint);
}

}  // namespace common
