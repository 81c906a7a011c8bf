// SPDX-License-Identifier: MIT
// Signals that ask a training to stop: Ctrl-C (SIGINT), SIGTERM, SIGHUP. The run ends after the update at hand, and
// what it learned is saved. This file saves nothing; elsewhere these signals end a program at once.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace common {

// While one exists, the first of these signals is noted. Another one, a second or more later, ends the program at
// once; before that it counts as the same request, as `timeout` and terminals send a signal twice. A signal that the
// caller has the program ignore (nohup, a shell's background) stays ignored. Not more than one at a time.
// A noted signal is never lost: an exception (Interrupted) ends the run for it, or else the destructor raises it again
// when it has restored what the signal did before.
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
  int exceptions_;  // in flight when this was made
};

// Thrown where a signal ended a run; run_main() prints the text and ends the process by the signal.
class Interrupted : public std::runtime_error {
 public:
  Interrupted(const std::string& text, int by) : std::runtime_error(text), signal(by) {}
  int signal;
};

// Ends the process by the default action of this signal, so that a shell sees 128 + signal. Returns
// where the signal is ignored or blocked.
void end_by(int signal);

// How the run goes on that was saved in this file.
std::string stopped_text(std::int64_t updates, std::int64_t of, const std::string& checkpoint);

}  // namespace common
