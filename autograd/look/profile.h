// SPDX-License-Identifier: MIT
// Where a training step's time and memory go: per operation and scope, as tables and as a Chrome trace. Does not sample, and
// sees only what a measuring tape records: not the optimizer, nor operations on constants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/tensor/shape.h"

namespace tapeloop {

// Names what the calling thread records while it lives, e.g. a layer; nested names are joined by '/'. Costs a copy of
// the name (cut after 47 characters); nothing is allocated.
class Scope {
 public:
  explicit Scope(std::string_view name);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  static std::string path();  // of the calling thread now; empty where there is none

 private:
  std::array<char, 48> name_{};
  Scope* outer_;
};

struct ProfileRow {
  std::string scope;
  // "linear dW": finishing the gradients of parameters that this operation was the first to use.
  std::string operation;
  std::int64_t calls = 0;
  double forward_ms = 0;
  double backward_ms = 0;
  std::int64_t bytes = 0;  // of the results, at recording; a view of an input counts nothing
};

// One stretch of time in the trace, in microseconds since the tape began.
struct ProfileEvent {
  enum class Kind { forward, backward, deferred } kind;  // deferred: the rows "... dW"
  std::size_t node;                                      // the operation's place on the tape
  std::string scope;
  std::string operation;
  Shape shape;  // of its first result
  std::int64_t bytes;
  double start_us;
  double duration_us;
};

// What a tape measured so far. Forward time of an operation runs from the end of the one recorded before it (or of the
// tape's construction, or of a backward pass) to its own recording: code in between that records nothing is counted
// with the operation that follows. Operations recorded inside a backward pass (create_graph) have no forward time:
// theirs is in the backward time of the operation that made them.
struct ProfileReport {
  std::vector<ProfileRow> rows;  // by time, the longest first
  std::vector<ProfileEvent> events;

  std::string str() const;  // a table with shares of the total
  // For chrome://tracing or ui.perfetto.dev: forward and backward as two tracks. Throws FileError; an old file then
  // stays as it was.
  void write_chrome_trace(const std::string& path) const;
};

struct MemoryRow {
  std::string scope;
  std::string operation;
  std::int64_t bytes = 0;       // kept now
  std::int64_t peak_bytes = 0;  // kept at the moment of the peak
};

// Where this thread's memory is: every byte that was taken or given back since the tape began is counted with the
// operation that was being recorded, or played backwards, at that time. So a row is what an operation's results and record
// hold, less what its backward pass has given back: negative where that frees what others made. The rows add up exactly:
// to what is in use now, and to the peak.
struct MemoryReport {
  std::int64_t bytes = 0;       // in use by this thread, as memory::stats() counts them
  std::int64_t peak_bytes = 0;  // the most since the tape began
  std::string peak_operation;   // that ran then, e.g. "recurrent, backward"
  std::vector<MemoryRow>
      rows;  // by size at the peak; "(before the tape)" is what was in use when it began

  std::string str() const;  // a table in MiB
};

}  // namespace tapeloop
