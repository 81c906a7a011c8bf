// SPDX-License-Identifier: MIT
// Drawing of the progress line on stderr, so that stdout holds results alone.
#include "examples/common/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "examples/common/console.h"

namespace common {

namespace {

bool is_terminal() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

constexpr const char* kEraseLine = "\r\033[K";

}  // namespace

Progress::Progress(std::int64_t first, std::int64_t total, const char* unit)
    : first_(first),
      total_(total),
      unit_(unit),
      shown_(is_terminal()),
      start_(Clock::now()),
      next_draw_(start_) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void Progress::update(std::int64_t step, double loss, double units) {
  if (!shown_) return;
  const Clock::time_point now = Clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  const double elapsed = seconds();
  std::string line = fmt::format("step {}/{}  loss {:.4f}", step, total_, loss);
  if (elapsed > 0 && step > first_) {
    const double left =
        elapsed * static_cast<double>(total_ - step) / static_cast<double>(step - first_);
    line +=
        fmt::format("  {} {}/s  {} left", human_count(units / elapsed), unit_, human_time(left));
  }
  say("{}{}", kEraseLine, line);
  std::fflush(stderr);
  on_screen_ = true;
}

void Progress::note(const std::string& text) {
  if (!shown_) return;
  clear();
  say("{}\n", text);
}

void Progress::clear() {
  if (!on_screen_) return;
  say("{}", kEraseLine);
  std::fflush(stderr);
  on_screen_ = false;
}

std::string human_time(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 59.5) return fmt::format("{:.0f} s", seconds);
  const std::int64_t whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string human_count(double count) {
  if (count < 999.5) return fmt::format("{:.0f}", count);
  if (count < 999.5e3) return fmt::format("{:.3g}k", count / 1e3);
  return fmt::format("{:.3g}M", count / 1e6);
}

}  // namespace common
