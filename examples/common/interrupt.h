// SPDX-License-Identifier: MIT
// Signals that ask a training to stop: Ctrl-C (SIGINT), SIGTERM, SIGHUP. The run finishes the
// current update and saves its state; this file saves nothing. Outside of a training these signals
// end a program at once.
#pragma once

#include <signal.h>

#include <array>
#include <stdexcept>
#include <string>

namespace common {

// While a StopSignals exists, it remembers the first of these signals. Another signal, one second
// or more later, ends the program at once. Before that, it counts as the same request, because
// `timeout` and terminals send a signal twice. If the caller made the program ignore a
// signal (nohup, background jobs of a shell), the program still ignores it. At most one StopSignals
// may exist at a time.
// No remembered signal is lost: an exception (Interrupted) ends the run, or else the destructor
// restores the former actions and raises the signal again.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  ~StopSignals();

  // The number of the signal that came first; 0: none.
  int received() const;

 private:
  std::array<struct sigaction, 3> before_;
  int exceptions_;  // exceptions in flight when this object was made
};

// Thrown if a signal ended a run. CommandLine::run() prints the text and ends the process by the
// signal.
class Interrupted : public std::runtime_error {
 public:
  Interrupted(const std::string& text, int by) : std::runtime_error(text), signal(by) {}
  int signal;
};

// Ends the process by the signal's default action, so that a shell sees 128 + signal. Returns if
// the signal is ignored or blocked.
void end_by(int signal);

}  // namespace common
