// SPDX-License-Identifier: MIT
// What a measuring tape keeps while it records and runs backwards. Private to the files of this
// folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/look/profile.h"
#include "tapeloop/autograd/tape/observer.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::detail {

class Profile final : public Observer {
 public:
  Profile();
  void recorded(const RecordedOperation& operation) override;
  void begin(std::size_t node, NodeWork work) override;
  void end(std::size_t node, NodeWork work) override;
  void interrupted() noexcept override { starts_.pop_back(); }
  void pass_ended() noexcept override { mark_ = now(); }  // forward time begins again
  ProfileReport report() const;
  MemoryReport memory() const;

 private:
  struct Node {
    const char* operation;
    std::string scope;
    Shape shape;
    std::int64_t bytes;
    bool in_backward;
  };
  struct Span {
    ProfileEvent::Kind kind;
    std::size_t node;
    std::int64_t start;
    std::int64_t duration;
  };
  // The change of the memory in use by one operation.
  struct Change {
    ProfileEvent::Kind kind;
    std::size_t node;
    std::int64_t bytes;
  };
  std::int64_t now() const;  // nanoseconds since the tape began
  void count_memory(ProfileEvent::Kind kind, std::size_t node);

  std::int64_t begin_;
  std::int64_t mark_ = 0;
  std::vector<Node> nodes_;  // one for each node of the tape
  std::vector<Span> spans_;
  std::vector<std::int64_t> starts_;  // of the work in progress, the innermost last
  memory::PeakMeter meter_;           // restores the peak from before the tape afterwards
  std::int64_t live_at_start_;
  std::int64_t live_ = 0;  // at the last count
  std::vector<Change> changes_;
  std::int64_t peak_ = 0;
  std::size_t peak_change_ = 0;  // the change during which the peak was reached
  std::int64_t peak_above_ = 0;  // the peak minus the memory in use before that change
};

}  // namespace tapeloop::detail
