// SPDX-License-Identifier: MIT
// Ctrl-C while a model is trained: the run ends after the update at hand, and what it learned is saved.
// It saves nothing itself; elsewhere Ctrl-C ends a program at once, as ever.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace common {

// While one exists, the first Ctrl-C is noted; the second ends the program. Not more than one at a time.
class CtrlC {
 public:
  CtrlC();
  CtrlC(const CtrlC&) = delete;
  CtrlC& operator=(const CtrlC&) = delete;
  ~CtrlC();

  bool pressed() const;

 private:
  void (*before_)(int);
};

// Thrown where a run ends by Ctrl-C; run_main() prints the text and ends with 130, as shells expect.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How the run goes on that was saved in this file.
std::string stopped_text(std::int64_t updates, std::int64_t of, const std::string& checkpoint);

}  // namespace common
