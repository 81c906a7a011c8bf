// SPDX-License-Identifier: MIT
// Other programs: started, given a time limit, and what they wrote. Knows nothing of GPUs.
#pragma once

#include <string>
#include <vector>

namespace gpu_check {

struct Ended {
  int status =
      0;  // the exit code; 128 + the signal where one ended it; 127 where it could not be started
  bool stopped = false;  // ran past its limit
  double seconds = 0;
  std::string output;  // of both streams, in order
};

// Runs a program, found by PATH where its name has no slash, and everything it starts, for `limit` seconds at most. It works in
// `folder`; its output is kept in the file `log` as well, also while it runs.
Ended run(const std::vector<std::string>& command, const std::string& folder,
          const std::string& log, double limit);

// Where a program is by PATH; empty where it is not.
std::string find_program(const std::string& name);

std::vector<std::string> lines_of(const std::string& text);

}  // namespace gpu_check
