// SPDX-License-Identifier: MIT
// Runs other programs with a time limit and collects their output. Knows nothing of GPUs.
#pragma once

#include <string>
#include <vector>

namespace gpu_check {

struct Ended {
  // The exit code; 128 + the signal that ended it; 127 if it could not be started.
  int status = 0;
  bool stopped = false;  // exceeded its time limit
  double seconds = 0;
  std::string output;  // of stdout and stderr, in order
};

// Runs a program for at most `limit` seconds, then ends it and everything it started. A name
// without a slash is searched in PATH. The program works in `folder`; its output also goes to the
// file `log` while it runs.
Ended run(const std::vector<std::string>& command, const std::string& folder,
          const std::string& log, double limit);

// Finds a program in PATH; "" if it is not there.
std::string find_program(const std::string& name);

std::vector<std::string> lines_of(const std::string& text);

}  // namespace gpu_check
