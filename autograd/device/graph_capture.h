// SPDX-License-Identifier: MIT
// GraphCapture: a device captures the work of a step once and runs it again as a whole (CUDA
// graphs). For CapturedStep, and for operations whose host data change from run to run. Programs
// use captured_step.h instead.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

class GraphCapture;

// The work of a part of a step on the host at every run, such as counting an optimizer's steps.
class HostPart {
 public:
  virtual ~HostPart() = default;
  // False if tensors have moved since the capture. Then the step must be captured again.
  virtual bool valid() const = 0;
  // Does the part's work, and writes the device's tables of settings again for `graph`, by the same
  // calls in the same order as during the capture. If it throws, it has changed nothing.
  virtual void run(GraphCapture& graph) = 0;
  // Takes back the last run(), or the part's work during the capture: the graph was not launched.
  virtual void undo() noexcept = 0;
};

class GraphCapture {
 public:
  virtual ~GraphCapture();
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  // The capture in progress in this thread; null if there is none.
  static GraphCapture* current();

  // Starts the capture: from here on, the device captures the work of this thread and does not run
  // it.
  void begin();
  // Ends the capture and runs the captured work. Does nothing after the end of the capture. If the
  // device cannot make a graph, throws: the work did not run, host parts are undone, but random
  // numbers stay taken.
  void finish();
  // Ends the capture early, because of something that cannot be captured. Runs the captured work;
  // the rest of the step then runs without a capture.
  void interrupt(const char* reason);
  const char* reason() const { return reason_; }  // why it cannot run again; null: it can
  // Runs the captured work again. Returns false and does nothing if a host part is no longer valid,
  // or if an object that the work reads has ended.
  // If it throws, the work was not launched: random streams and host parts are as before.
  bool run();
  virtual Device device() const = 0;
  virtual std::size_t bytes() const = 0;  // of device memory that it keeps

  // `random` gave numbers from `first` on, and its own next number was `expected`. The device gets
  // these numbers by next_numbers(). If it does not, they were drawn on the host.
  void random_taken(Random& random, std::uint64_t first, std::uint64_t expected);
  // `random` ends during the capture. If the step took numbers from it, the graph cannot run again.
  void random_ends(const Random& random) noexcept;
  // The captured work reads data of this object on the device. If the object ends, the step must be
  // captured again.
  void reads(const std::shared_ptr<const void>& object);
  // Work between these two calls belongs to one part.
  void begin_part() { in_part_ = true; }
  void end_part(std::unique_ptr<HostPart> part);
  // The part threw an error: the graph has only a part of its work and cannot run again.
  void part_failed();

 protected:
  GraphCapture() = default;
  // One use of random numbers on the device. The device reads {seed, first} from memory that is
  // written again before every run.
  struct Numbers {
    Random* random;
    std::uint64_t offset;  // from the Random's position at the start of the step
    std::uint64_t* place;  // of {seed, first} in the host's copy of that memory
  };
  // The use of the last random_taken(); null if that was not for (seed, first).
  Numbers* next_numbers(std::uint64_t seed, std::uint64_t first);
  bool in_part() const { return in_part_; }
  void clear_parts() { parts_.clear(); }  // releases the tensors in them

  virtual void start() = 0;
  virtual void stop() = 0;         // runs the captured work
  virtual void start_parts() = 0;  // the host parts write their tables again, from the first one on
  virtual void launch() = 0;

 private:
  struct Source {
    Random* random;
    std::uint64_t start;  // its position at the start of the step
    std::uint64_t count;  // how many numbers a run takes
  };
  void renew_numbers();
  bool capturing_ = false;
  bool pending_ = false;  // the device has not yet got the numbers of the last random_taken()
  bool in_part_ = false;
  const char* reason_ = nullptr;
  std::vector<Source> sources_;
  std::vector<std::unique_ptr<Numbers>> numbers_;
  std::vector<std::unique_ptr<HostPart>> parts_;
  std::vector<std::weak_ptr<const void>> objects_;
};

// True if the device can capture graphs. Throws Error if there is no such device.
bool captures_graphs(Device device);
std::unique_ptr<GraphCapture> new_graph_capture(Device device);

namespace detail {
std::unique_ptr<GraphCapture> new_cuda_capture();  // autograd/device/cuda
// For operations that cannot be captured: interrupts this thread's capture, if there is one.
void cannot_capture(const char* reason);
}  // namespace detail

}  // namespace tapeloop
