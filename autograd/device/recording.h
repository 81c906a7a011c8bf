// SPDX-License-Identifier: MIT
// Recording: graph capture. A device captures the work of a step once and runs it again as a whole
// (CUDA graphs). For CapturedStep, and for operations whose host data change from run to run.
// Programs use captured_step.h instead.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"

namespace tapeloop {

// The work of a part of a step on the host at every run, such as counting an optimizer's steps.
// run() writes the device's tables of settings again, by the same calls in the same order as during
// the capture.
class HostPart {
 public:
  virtual ~HostPart() = default;
  // False if tensors have moved since the capture. Then the step must be captured again.
  virtual bool valid() const = 0;
  virtual void run() = 0;
};

class Recording {
 public:
  virtual ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // The graph capture in progress in this thread; null if there is none.
  static Recording* current();

  // Starts the capture: from here on, the device captures the work of this thread and does not run
  // it. `frame`: the stack frame of the function that runs the step.
  void begin(const void* frame);
  // Ends the capture and runs the captured work. Does nothing after the end of the capture.
  void finish();
  // Ends the capture early, because of something that cannot be captured. Runs the captured work;
  // the rest of the step then runs without a capture.
  void interrupt(const std::string& reason);
  const std::string& reason() const { return reason_; }  // why it cannot run again, or empty
  // Runs the captured work again. Returns false and does nothing if a part is no longer valid. If
  // it throws, the work was not launched: the positions of random streams have not changed, and
  // UpdatesMade (backend.h) has the numbers of the updates that were made.
  bool run();
  virtual std::size_t bytes() const = 0;  // of device memory that it keeps

  // `random` gave numbers from `first` on, and its own next number was `expected`. The device gets
  // these numbers by next_numbers(). If it does not, they were drawn on the host.
  void taken(Random& random, std::uint64_t first, std::uint64_t expected);
  // Work between these two calls belongs to one part.
  virtual void begin_part() = 0;
  virtual void end_part(std::unique_ptr<HostPart> part) = 0;

 protected:
  Recording() = default;
  // One use of random numbers on the device. The device reads {seed, first} from memory that is
  // written again before every run.
  struct Numbers {
    Random* random;
    std::uint64_t offset;  // from the Random's position at the start of the step
    std::uint64_t* place;  // of {seed, first} in the host's copy of that memory
  };
  // The use of the last taken(); null if that was not for (seed, first).
  Numbers* next_numbers(std::uint64_t seed, std::uint64_t first);
  void renew_numbers();

  // While the lock is held, no other thread can use the device or read an error.
  virtual std::unique_lock<std::recursive_mutex> hold() const = 0;
  virtual void start_noting() = 0;
  virtual void stop_noting() = 0;  // runs the captured work
  virtual void run_parts() = 0;
  virtual bool parts_valid() const = 0;
  virtual void launch() = 0;
  virtual void lost() noexcept = 0;  // called when counted or captured work will not run

 private:
  struct Source {
    Random* random;
    std::uint64_t start;  // its position at the start of the step
    std::uint64_t count;  // how many numbers a run takes
  };
  bool noting_ = false;
  bool pending_ = false;  // the device has not yet got the numbers of the last taken()
  // The stack frame of the function that runs the step. Objects below it die with the step.
  const char* outermost_ = nullptr;
  std::string reason_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<Numbers>> numbers_;
};

namespace detail {
// For operations that cannot be captured: interrupts this thread's graph capture, if there is one.
void cannot_record(const char* reason);
}  // namespace detail

}  // namespace tapeloop
