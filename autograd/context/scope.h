// SPDX-License-Identifier: MIT
// Scope, TimeStep, Operation: while one lives, it says where the calculation of its thread is. The
// profile, the inspection (autograd/look) and error messages read it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "tapeloop/autograd/context/thread_context.h"

namespace tapeloop {

// While it lives, operations of the calling thread get this name, e.g. of a layer. Nested names are
// joined by '/'. Cost: a copy of the name (cut after 47 characters), no allocation.
class Scope {
 public:
  explicit Scope(std::string_view name);
  ~Scope() { detail::thread_context.scope = outer_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  static std::string path();  // the calling thread's path; empty outside of all scopes

 private:
  std::array<char, 48> name_{};
  const Scope* outer_;
};

// While it lives, operations of the calling thread belong to this time step. For loops
// over time steps in user code.
class TimeStep {
 public:
  explicit TimeStep(std::int64_t t) : outer_(std::exchange(detail::thread_context.time_step, t)) {}
  ~TimeStep() { detail::thread_context.time_step = outer_; }
  TimeStep(const TimeStep&) = delete;
  TimeStep& operator=(const TimeStep&) = delete;
  // -1: not within a sequence
  static std::int64_t now() { return detail::thread_context.time_step; }

 private:
  std::int64_t outer_;
};

namespace detail {

// The name of the operation that runs, for errors in the code below it, such as out of memory.
// Cost: two writes.
class Operation {
 public:
  explicit Operation(const char* name) : outer_(std::exchange(thread_context.operation, name)) {}
  ~Operation() { thread_context.operation = outer_; }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

 private:
  const char* outer_;
};

// The innermost operation and its scope, for messages: "linear, in "encoder/layer 0"". Outside of
// any operation: "a tensor" instead of its name.
std::string work_in_hand();

}  // namespace detail
}  // namespace tapeloop
