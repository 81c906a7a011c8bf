// SPDX-License-Identifier: MIT
// Finds the graph for the shapes of a call, and decides if the step is captured or runs without a
// graph.
#include "tapeloop/autograd/tape/captured_step.h"

#include <algorithm>
#include <cstdio>

#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::detail {

// One set of shapes and its graph.
struct StepRunner::Entry {
  std::int64_t calls = 0;
  std::uint64_t last_call = 0;
  bool as_it_is = false;
  // The graph reads these. Before the capture, only their shapes and types count.
  PoolVector<Tensor> inputs;
  PoolVector<Tensor> results;  // the graph writes these
  std::unique_ptr<GraphCapture> graph;

  bool fits(std::span<const Tensor> given) const {
    return std::equal(given.begin(), given.end(), inputs.begin(), inputs.end(),
                      [](const Tensor& a, const Tensor& b) {
                        return a.defined() == b.defined() &&
                               (!a.defined() || (a.shape() == b.shape() && a.dtype() == b.dtype()));
                      });
  }
  void forget() {
    results.clear();
    graph.reset();
  }
};

StepRunner::StepRunner(Device device, const CapturedStepOptions& options)
    : device_(device), options_(options) {
  if (options.warm_up < 0 || options.most_shapes < 1) {
    fail("captured step", "warm_up is " + std::to_string(options.warm_up) + ", most_shapes " +
                              std::to_string(options.most_shapes) +
                              "; expected warm_up of 0 or more and most_shapes of 1 or more");
  }
}
StepRunner::~StepRunner() = default;

std::size_t StepRunner::bytes() const {
  std::size_t sum = 0;
  for (const auto& entry : entries_) sum += entry->graph != nullptr ? entry->graph->bytes() : 0;
  return sum;
}

void StepRunner::run_as_it_is(const std::string& reason) {
  if (!reason_.empty()) return;
  reason_ = reason;
  const std::string line = "captured step: the step runs without a graph: " + reason;
  if (options_.tell) {
    options_.tell(line);
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

StepRunner::Entry& StepRunner::entry_for(std::span<const Tensor> inputs) {
  for (const auto& entry : entries_) {
    if (entry->fits(inputs)) return *entry;
  }
  if (entries_.size() == static_cast<std::size_t>(options_.most_shapes)) {
    entries_.erase(
        std::min_element(entries_.begin(), entries_.end(),
                         [](const auto& a, const auto& b) { return a->last_call < b->last_call; }));
  }
  Entry& entry = *entries_.emplace_back(std::make_unique<Entry>());
  for (const Tensor& input : inputs) {
    entry.inputs.push_back(input.defined() ? Tensor::empty(input.shape(), input.dtype(), device_)
                                           : Tensor());
  }
  return entry;
}

// Captures the step and runs it. After something that cannot be captured, the rest runs without a
// graph.
void StepRunner::capture(Entry& entry, Call call, void* step) {
  entry.forget();
  struct Unless {  // forgets an incomplete graph
    Entry* failed;
    ~Unless() {
      if (failed != nullptr) failed->forget();
    }
  } complete{&entry};
  entry.graph = new_graph_capture(device_);
  GraphCapture& graph = *entry.graph;
  graph.begin();
  try {
    call(step, entry.inputs, entry.results);
  } catch (...) {  // the device runs the work before the error, as it does without a graph
    graph.finish();
    throw;
  }
  graph.finish();
  complete.failed = nullptr;
  if (graph.reason() == nullptr) return;
  entry.as_it_is = true;
  run_as_it_is(graph.reason());
}

PoolVector<Tensor> StepRunner::run(std::span<const Tensor> inputs, Call call, void* step) {
  PoolVector<Tensor> results;
  const auto run_plainly = [&](std::span<const Tensor> given) {
    call(step, given, results);
    return std::move(results);
  };
  // Within the capture of another step, this step becomes a part of that graph.
  bool captures = GraphCapture::current() == nullptr;
  try {
    captures = captures && captures_graphs(device_);
  } catch (const Error& error) {  // there is no such device
    run_as_it_is(error.what());
    return run_plainly(inputs);
  }
  if (!captures) {
    PoolVector<Tensor> given;
    for (const Tensor& input : inputs) given.push_back(input.defined() ? input.to(device_) : input);
    return run_plainly(given);
  }
  Entry& entry = entry_for(inputs);
  entry.last_call = ++calls_;
  const bool plain = entry.as_it_is || entry.calls++ < options_.warm_up;
  if (plain) {
    PoolVector<Tensor> given;
    for (const Tensor& input : inputs) given.push_back(input.defined() ? input.to(device_) : input);
    return run_plainly(given);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) entry.inputs[i].copy_from(inputs[i]);
  }
  if (entry.graph != nullptr && entry.graph->run()) {
    ++graph_runs_;
  } else {
    capture(entry, call, step);
  }
  for (const Tensor& result : entry.results) {
    results.push_back(result.defined() ? result.clone() : Tensor());
  }
  if (entry.as_it_is) entry.forget();
  return results;
}

}  // namespace tapeloop::detail
