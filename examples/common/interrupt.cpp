// SPDX-License-Identifier: MIT
// The signal handler: it notes, and nothing else is allowed there.
#include "examples/common/interrupt.h"

#include <fmt/format.h>

#include <csignal>

namespace common {

namespace {

volatile std::sig_atomic_t noted = 0;

extern "C" void note_ctrl_c(int) {
  noted = 1;
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace

CtrlC::CtrlC() {
  noted = 0;
  before_ = std::signal(SIGINT, note_ctrl_c);
  // A shell that starts a program in the background has it ignore Ctrl-C, which is for another one.
  if (before_ == SIG_IGN) std::signal(SIGINT, SIG_IGN);
}

CtrlC::~CtrlC() {
  if (before_ != SIG_ERR) std::signal(SIGINT, before_);
}

bool CtrlC::pressed() const { return noted != 0; }

std::string stopped_text(std::int64_t updates, std::int64_t of, const std::string& checkpoint) {
  return fmt::format(
      "stopped after update {} of {}, which is saved in {}; the same command with --resume goes on",
      updates, of, checkpoint);
}

}  // namespace common
