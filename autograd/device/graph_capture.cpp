// SPDX-License-Identifier: MIT
// The part of graph capture that is the same for every device: begin, end, host parts and random
// streams.
#include "tapeloop/autograd/device/graph_capture.h"

#include <algorithm>
#include <utility>

#include "tapeloop/autograd/tensor/random_log.h"

namespace tapeloop {

using detail::thread_context;

GraphCapture::~GraphCapture() {
  if (thread_context.graph_capture == this) thread_context.graph_capture = nullptr;
}

GraphCapture* GraphCapture::current() { return thread_context.graph_capture; }

void GraphCapture::begin() {
  start();
  capturing_ = true;
  thread_context.graph_capture = this;
}

void GraphCapture::finish() {
  if (!capturing_) return;
  capturing_ = false;
  thread_context.graph_capture = nullptr;
  if (pending_) reason_ = "random numbers were drawn on the host";
  for (Source& source : sources_) source.count = source.random->next - source.start;
  try {
    stop();
  } catch (...) {
    for (const auto& part : parts_) part->undo();
    throw;
  }
}

void GraphCapture::interrupt(const char* reason) {
  if (!capturing_) return;
  reason_ = reason;
  finish();
}

void GraphCapture::reads(const std::shared_ptr<const void>& object) {
  for (const std::weak_ptr<const void>& known : objects_) {
    if (!known.owner_before(object) && !object.owner_before(known)) return;
  }
  objects_.push_back(object);
}

void GraphCapture::end_part(std::unique_ptr<HostPart> part) {
  in_part_ = false;
  parts_.push_back(std::move(part));
}

void GraphCapture::part_failed() {
  in_part_ = false;
  reason_ = "an optimizer's step in it threw an error";
}

bool GraphCapture::run() {
  const auto valid = [](const auto& part) { return part->valid(); };
  const auto ended = [](const auto& object) { return object.expired(); };
  if (!std::all_of(parts_.begin(), parts_.end(), valid)) return false;
  if (std::any_of(objects_.begin(), objects_.end(), ended)) return false;
  renew_numbers();
  start_parts();
  std::size_t done = 0;
  try {
    for (; done < parts_.size(); ++done) parts_[done]->run(*this);
    launch();
  } catch (...) {
    while (done > 0) parts_[--done]->undo();
    throw;
  }
  for (const Source& source : sources_) source.random->next += source.count;
  return true;
}

void GraphCapture::random_taken(Random& random, std::uint64_t first, std::uint64_t expected) {
  if (pending_) return interrupt("random numbers were drawn on the host");
  auto source = std::find_if(sources_.begin(), sources_.end(),
                             [&](const Source& s) { return s.random == &random; });
  if (source == sources_.end()) {
    sources_.push_back({&random, expected, 0});
    source = sources_.end() - 1;
  }
  numbers_.push_back(std::make_unique<Numbers>(Numbers{&random, first - source->start, nullptr}));
  pending_ = true;
}

void GraphCapture::random_ends(const Random& random) noexcept {
  const auto of_random = [&](const auto& use) { return use.random == &random; };
  if (std::erase_if(sources_, of_random) == 0) return;
  if (pending_ && of_random(*numbers_.back())) pending_ = false;
  std::erase_if(numbers_, [&](const auto& use) { return of_random(*use); });
  reason_ = "a Random lives only as long as the step; keep it outside";
}

GraphCapture::Numbers* GraphCapture::next_numbers(std::uint64_t seed, std::uint64_t first) {
  if (!pending_) return nullptr;
  Numbers& use = *numbers_.back();
  const auto source = std::find_if(sources_.begin(), sources_.end(),
                                   [&](const Source& s) { return s.random == use.random; });
  if (use.random->seed != seed || source->start + use.offset != first) return nullptr;
  pending_ = false;
  return &use;
}

void GraphCapture::renew_numbers() {
  for (const auto& use : numbers_) {
    use->place[0] = use->random->seed;
    use->place[1] = use->random->next + use->offset;
  }
}

void detail::cannot_capture(const char* reason) {
  if (GraphCapture* const capture = GraphCapture::current()) capture->interrupt(reason);
}

void detail::random_ends(const Random& random) noexcept {
  thread_context.graph_capture->random_ends(random);
}

std::uint64_t detail::take_watched(Random& random, std::uint64_t count) {
  const std::uint64_t expected = random.next;
  RandomLog* const log = thread_context.random_log;
  const std::uint64_t first = log != nullptr ? log->take(random, count) : random.advance(count);
  if (GraphCapture* const capture = GraphCapture::current())
    capture->random_taken(random, first, expected);
  return first;
}

}  // namespace tapeloop
