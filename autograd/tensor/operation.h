// SPDX-License-Identifier: MIT
// The operation that is at work in this thread, by the name that the tape knows it by: for errors that come from far below it,
// such as no memory left. Costs two writes.
#pragma once

#include <string>
#include <utility>

namespace tapeloop::detail {

inline thread_local const char* operation_at_work = nullptr;

class Operation {
 public:
  explicit Operation(const char* name) : before_(std::exchange(operation_at_work, name)) {}
  ~Operation() { operation_at_work = before_; }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

 private:
  const char* before_;
};

// "linear, in "encoder/layer 0"": the innermost operation and the scope (profile.h) it is in; "a tensor" outside of any.
std::string work_in_hand();

}  // namespace tapeloop::detail
