// SPDX-License-Identifier: MIT
// Recording: work of a device that is noted once and run again, as a whole (CUDA graphs). What a device provides for
// CapturedStep, and how operations whose numbers change from run to run take part. Not for programs: see captured_step.h.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tapeloop/autograd/number/random.h"

namespace tapeloop {

// What a part of a step does on the host at every run, such as counting an optimizer's steps. It renews the device's tables of
// settings by the same calls, in the same order, that it made while the step was recorded.
class HostPart {
 public:
  virtual ~HostPart() = default;
  virtual bool valid()
      const = 0;  // false: tensors have moved since, the step must be recorded anew
  virtual void run() = 0;
};

class Recording {
 public:
  virtual ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // The one that this thread is making; null where there is none.
  static Recording* current();

  // From here on, what this thread asks of the device is noted and not done. `frame`: of the function that runs the step.
  void begin(const void* frame);
  // Ends that and does what was noted. May be called again.
  void finish();
  // Ends it in the middle, because of something that cannot be noted: all before it is done, and what follows is done at once.
  void interrupt(const std::string& reason);
  const std::string& reason() const { return reason_; }  // empty: it can be run again
  // Does everything again. Returns false, and does nothing, where that would no longer be the same step. Where it throws,
  // nothing was done: random numbers are where they were, and UpdatesMade (backend.h) tell counts of updates so.
  bool run();
  virtual std::size_t bytes() const = 0;  // of device memory that it keeps

  // `random` gave numbers, the first of them `first`, in place of `expected`, its own next one. The device asks for them by
  // next_numbers(); numbers that it does not ask for were drawn on the host.
  void taken(Random& random, std::uint64_t first, std::uint64_t expected);
  // The work that add() calls notes belongs to one part.
  virtual void begin_part() = 0;
  virtual void end_part(std::unique_ptr<HostPart> part) = 0;

 protected:
  Recording() = default;
  // One use of numbers on the device, which finds {seed, first} at a place that is renewed before every run.
  struct Numbers {
    Random* random;
    std::uint64_t offset;  // from the Random's place when the step began
    std::uint64_t* place;  // in the host's copy
  };
  // The use that taken() told of last; null where that is not (seed, first).
  Numbers* next_numbers(std::uint64_t seed, std::uint64_t first);
  void renew_numbers();

  // While it is held, other threads ask the device for nothing, and none is told of a mistake.
  virtual std::unique_lock<std::recursive_mutex> hold() const = 0;
  virtual void start_noting() = 0;
  virtual void stop_noting() = 0;  // does what was noted
  virtual void run_parts() = 0;
  virtual bool parts_valid() const = 0;
  virtual void launch() = 0;
  virtual void lost() noexcept = 0;  // work that was asked for will not be done

 private:
  struct Source {
    Random* random;
    std::uint64_t start;  // when the step began
    std::uint64_t count;  // that a run takes
  };
  bool noting_ = false;
  bool pending_ = false;  // numbers were taken that the device has not asked for
  const char* outermost_ =
      nullptr;  // of the stack: what lies between here and there dies with the step
  std::string reason_;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<Numbers>> numbers_;
};

namespace detail {
// For operations: ends this thread's recording, if there is one, with a reason.
void cannot_record(const char* reason);
}  // namespace detail

}  // namespace tapeloop
