// SPDX-License-Identifier: MIT
// Captures a step of the one stream, and launches its graph: first copies what changed on the host,
// then runs the graph.
#include "tapeloop/autograd/device/cuda/capture.cuh"

#include <algorithm>
#include <cstring>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{64} << 10;

Capture* capturing = nullptr;  // protected by working()

}  // namespace

Capture* Capture::in_progress() { return capturing; }

Capture::~Capture() {
  const std::scoped_lock lock(working());
  if (graph_ != nullptr && cudaGraphExecDestroy(graph_) != cudaSuccess) cudaGetLastError();
  clear_parts();
  for (const Chunk& chunk : chunks_) give_back(chunk.there);
  if (number_ != 0) end_capture(number_);
  if (arena_ != nullptr) arena_->leave();
}

void Capture::start() {
  const Gpu& g = gpu();
  std::unique_lock lock(working());
  number_ = begin_capture();
  arena_ = new Arena(number_);
  // Relaxed mode: during the capture, memory is taken on another stream.
  CUDA_CHECK(cudaStreamBeginCapture(g.stream, cudaStreamCaptureModeRelaxed));
  capturing = this;
  lock.release();  // stop() unlocks it
}

void Capture::stop() {
  const std::unique_lock lock(working(), std::adopt_lock);  // locked in start()
  const Gpu& g = gpu();
  capturing = nullptr;
  arena_->close();
  struct Captured {
    cudaGraph_t graph = nullptr;
    ~Captured() {
      if (graph != nullptr && cudaGraphDestroy(graph) != cudaSuccess) cudaGetLastError();
    }
  } captured;
  cudaError_t status = cudaStreamEndCapture(g.stream, &captured.graph);
  if (status == cudaSuccess) status = cudaGraphInstantiate(&graph_, captured.graph, 0);
  if (status != cudaSuccess) {
    cudaGetLastError();
    graph_ = nullptr;
    fail("captured step", std::string("CUDA could not make a graph of the step (") +
                              cudaGetErrorString(status) +
                              "), and the work of this call is lost; look for code in the step "
                              "that calls CUDA itself, or call the step without CapturedStep");
  }
  launch();
}

void Capture::launch() {
  const std::scoped_lock lock(working());
  upload_renewed();
  check(cudaGraphLaunch(graph_, gpu().stream), "cudaGraphLaunch");
}

void Capture::upload_renewed() {
  for (const Chunk& chunk : chunks_) upload(chunk.there.data, chunk.host.get(), chunk.used);
}

Capture::Renewed Capture::renewed(std::size_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  if (chunks_.empty() || chunks_.back().used + bytes > chunks_.back().size) {
    const std::size_t size = std::max(bytes, kChunkBytes);
    chunks_.push_back(
        {std::make_unique<unsigned char[]>(size), arena_->take_unwritten(size), size, 0});
  }
  Chunk& chunk = chunks_.back();
  const std::size_t place = chunk.used;
  chunk.used += bytes;
  return {chunk.host.get() + place, static_cast<unsigned char*>(chunk.there.data) + place};
}

const std::uint64_t* Capture::numbers(std::uint64_t seed, std::uint64_t first) {
  Numbers* const use = next_numbers(seed, first);
  if (use == nullptr) return nullptr;
  const Renewed place = renewed(2 * sizeof(std::uint64_t));
  use->place = static_cast<std::uint64_t*>(place.host);
  use->place[0] = seed;
  use->place[1] = first;
  return static_cast<const std::uint64_t*>(place.there);
}

void* Capture::next_table() {
  if (next_table_ == tables_.size())
    fail("captured step",
         "a part of the step launches more work than when it was captured; call the step without "
         "CapturedStep");
  return tables_[next_table_++];
}

Table::Table(const void* host, std::size_t bytes) {
  const std::scoped_lock lock(working());
  if (Capture* const capture = Capture::in_progress()) {
    const Capture::Renewed place = capture->renewed(bytes);
    std::memcpy(place.host, host, bytes);
    there_ = place.there;
    capture->add_table(place.host);
    return;
  }
  own_.emplace(bytes);
  upload(own_->as<void>(), host, bytes);
  there_ = own_->as<void>();
}

}  // namespace tapeloop::cuda
