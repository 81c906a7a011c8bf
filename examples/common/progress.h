// SPDX-License-Identifier: MIT
// Progress of a training run, on one line of a terminal: step, loss, rate, time left.
// Writes nothing into pipes and files; the program itself prints results.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace common {

class Progress {
 public:
  // A run from step `first` (not 0 if the run is resumed) to `total`. `unit` names the unit of the
  // speed, such as "tokens".
  Progress(std::int64_t first, std::int64_t total, const char* unit);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  // Takes the steps done so far, the latest loss, and the units since the run began. Redraws at
  // most ten times a second.
  void update(std::int64_t step, double loss, double units);
  // Prints a line that stays above the progress line, on terminals only.
  void note(const std::string& text);
  // Removes the line: call it before printing anything else.
  void clear();

  double seconds() const;  // since construction

 private:
  using Clock = std::chrono::steady_clock;
  std::int64_t first_;
  std::int64_t total_;
  const char* unit_;
  bool shown_;
  bool on_screen_ = false;
  Clock::time_point start_;
  Clock::time_point next_draw_;
};

// "850 ms", "42 s", "3 min 20 s", "2 h 05 min".
std::string human_time(double seconds);
// "950", "12.3k", "4.56M".
std::string human_count(double count);

}  // namespace common
