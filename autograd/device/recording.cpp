// SPDX-License-Identifier: MIT
// The part of graph capture that is the same for every device: begin, end, and random streams.
#include "tapeloop/autograd/device/recording.h"

#include <algorithm>
#include <utility>

#include "tapeloop/autograd/tensor/random_log.h"

namespace tapeloop {

using detail::thread_context;

Recording::~Recording() {
  if (thread_context.recording == this) thread_context.recording = nullptr;
}

Recording* Recording::current() { return thread_context.recording; }

void Recording::begin(const void* frame) {
  start_noting();
  outermost_ = static_cast<const char*>(frame);
  noting_ = true;
  thread_context.recording = this;
}

void Recording::finish() {
  if (!noting_) return;
  noting_ = false;
  thread_context.recording = nullptr;
  if (pending_) reason_ = "random numbers were drawn on the host";
  for (Source& source : sources_) source.count = source.random->next - source.start;
  try {
    stop_noting();
  } catch (...) {
    lost();
    throw;
  }
}

void Recording::interrupt(const std::string& reason) {
  if (!noting_) return;
  reason_ = reason;
  finish();
}

bool Recording::run() {
  // Locks the device, so that the counts of the parts still hold when the work is launched.
  const std::unique_lock<std::recursive_mutex> held = hold();
  if (!parts_valid()) return false;
  renew_numbers();
  try {
    run_parts();
    launch();
  } catch (...) {
    lost();
    throw;
  }
  for (const Source& source : sources_) source.random->next += source.count;
  return true;
}

void Recording::taken(Random& random, std::uint64_t first, std::uint64_t expected) {
  if (pending_) return interrupt("random numbers were drawn on the host");
  const char* const address = reinterpret_cast<const char*>(&random);
  if (address > static_cast<const char*>(__builtin_frame_address(0)) && address < outermost_) {
    return interrupt("a Random lives only as long as the step; keep it outside");
  }
  auto source = std::find_if(sources_.begin(), sources_.end(),
                             [&](const Source& s) { return s.random == &random; });
  if (source == sources_.end()) {
    sources_.push_back({&random, expected, 0});
    source = sources_.end() - 1;
  }
  numbers_.push_back(std::make_unique<Numbers>(Numbers{&random, first - source->start, nullptr}));
  pending_ = true;
}

Recording::Numbers* Recording::next_numbers(std::uint64_t seed, std::uint64_t first) {
  if (!pending_) return nullptr;
  Numbers& use = *numbers_.back();
  const auto source = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const Source& s) { return s.random == use.random; });
  if (use.random->seed != seed || source->start + use.offset != first) return nullptr;
  pending_ = false;
  return &use;
}

void Recording::renew_numbers() {
  for (const auto& use : numbers_) {
    use->place[0] = use->random->seed;
    use->place[1] = use->random->next + use->offset;
  }
}

void detail::cannot_record(const char* reason) {
  if (Recording* const recording = Recording::current(); recording != nullptr) {
    recording->interrupt(reason);
  }
}

std::uint64_t detail::take_watched(Random& random, std::uint64_t count) {
  const std::uint64_t expected = random.next;
  RandomLog* const log = thread_context.random_log;
  const std::uint64_t first = log != nullptr ? log->take(random, count) : random.advance(count);
  if (Recording* const recording = Recording::current(); recording != nullptr) {
    recording->taken(random, first, expected);
  }
  return first;
}

}  // namespace tapeloop
