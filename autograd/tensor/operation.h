// SPDX-License-Identifier: MIT
// The name of the operation that runs in this thread, for errors in the code below it, such as out
// of memory. Cost: two writes.
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

// The innermost operation and its scope (profile.h), for messages: "linear, in "encoder/layer 0"".
// Outside of any operation: "a tensor" instead of its name.
std::string work_in_hand();

}  // namespace tapeloop::detail
