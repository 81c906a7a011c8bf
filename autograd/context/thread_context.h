// SPDX-License-Identifier: MIT
// ThreadContext: all that a calculation knows of its thread without being given it as an argument,
// except the thread's tapes (tape/tape_memory.h) and its memory pool (tensor/memory.cpp).
#pragma once

#include <cstdint>

namespace tapeloop {

class GraphCapture;
class Scope;

namespace detail {

class Observer;
class RandomLog;
class TensorMeter;

struct ThreadContext {
  // Where the calculation is, for messages and reports. See scope.h.
  const char* operation = nullptr;
  const Scope* scope = nullptr;
  std::int64_t time_step = -1;
  // The calculation's helpers; null: none.
  Observer* observer = nullptr;           // sees formulas and time steps, also without a tape
  RandomLog* random_log = nullptr;        // logs or replays random numbers, e.g. for recompute()
  GraphCapture* graph_capture = nullptr;  // captures the work of a device
  TensorMeter* tensor_meter = nullptr;    // counts tensors
  // The thread is about to end and has freed its memory pool.
  bool pool_is_gone = false;
};
// Needs no construction and no destruction, so that an access costs no more than that of a number.
inline constinit thread_local ThreadContext thread_context;

}  // namespace detail
}  // namespace tapeloop
