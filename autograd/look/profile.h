// SPDX-License-Identifier: MIT
// Time and memory of a training step, for each operation and scope, as tables and as a
// Chrome trace. Does not sample. Sees only what a measuring tape records: not the optimizer,
// and no operations on constants.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/tensor/shape.h"

namespace tapeloop {

// The times of all calls of one operation in one scope.
struct ProfileRow {
  std::string scope;  // joined names of the scopes, empty outside of all
  // The rows "linear dW" are deferred gradients of parameters that this
  // operation was the first to use.
  std::string operation;
  std::int64_t calls = 0;  // forward; of a deferred row, its runs
  double forward_ms = 0;   // of all calls
  double backward_ms = 0;  // of their backward functions
  std::int64_t bytes = 0;  // size of the results when recorded; a view of an input counts 0
};

// One interval in the trace, in microseconds since the tape began.
struct ProfileEvent {
  // deferred: the rows "... dW"
  enum class Kind { forward, backward, deferred };
  Kind kind;              // the pass
  std::size_t node;       // the operation's place on the tape
  std::string scope;      // as in ProfileRow
  std::string operation;  // its name
  Shape shape;            // of its first result
  std::int64_t bytes;     // size of the results
  double start_us;        // since the tape began
  double duration_us;     // of the interval
};

// The measurements of a tape so far. The forward time of an operation runs from the end of the
// operation recorded before it (or of the tape's construction, or of a backward pass) to its own
// recording. So code between them that records nothing counts with the later operation. Operations
// recorded inside a backward pass (create_graph) have no forward time: it is in the backward time
// of the operation that made them.
struct ProfileReport {
  std::vector<ProfileRow> rows;      // by time, the longest first
  std::vector<ProfileEvent> events;  // one for each run of an operation

  std::string str() const;  // a table with shares of the total
  // For chrome://tracing or ui.perfetto.dev: forward and backward are two tracks. Throws FileError,
  // and then keeps an old file unchanged.
  void write_chrome_trace(const std::string& path) const;
};

// The memory of one operation in one scope.
struct MemoryRow {
  std::string scope;            // as in ProfileRow
  std::string operation;        // its name
  std::int64_t bytes = 0;       // kept now
  std::int64_t peak_bytes = 0;  // kept at the moment of the peak
};

// The memory of this thread. Every byte that is taken or released after the tape began counts
// for the operation that is being recorded, or run backwards, at that time. So a row is the
// memory of an operation's results and tape entry, minus what its backward pass released:
// negative if that releases memory of other operations. The rows add up exactly to the memory in
// use now, and to the peak.
struct MemoryReport {
  std::int64_t bytes = 0;       // in use by this thread, as memory::stats() counts them
  std::int64_t peak_bytes = 0;  // the most since the tape began
  std::string peak_operation;   // the operation that ran at the peak, e.g. "recurrent, backward"
  // By size at the peak. "(before the tape)" is the memory that was in use when the tape began.
  std::vector<MemoryRow> rows;

  std::string str() const;  // a table in MiB
};

}  // namespace tapeloop
