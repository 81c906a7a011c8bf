// SPDX-License-Identifier: MIT
// A step as a CUDA graph: the values that its kernels use and that differ from run to run, and the
// memory of the step.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/graph_capture.h"

namespace tapeloop::cuda {

// Memory of one captured step. The graph writes to it at every run, so nothing else may use it
// while the graph lives. Blocks that are given back during the capture are reused within it. The
// arena ends with the graph and the last tensor in it.
class Arena {
 public:
  explicit Arena(std::uint64_t capture) : number_(capture) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Block take(std::size_t bytes);
  // Memory that no work of the step writes: it has values from the host when the graph starts.
  Block take_unwritten(std::size_t bytes);
  void put_back(const Block& block) noexcept;
  void close() { open_ = false; }  // the capture is over
  void leave() noexcept;           // called by the graph; may delete the arena
  std::size_t bytes() const { return total_; }

 private:
  ~Arena();
  void drop() noexcept;

  std::uint64_t number_;  // of the capture
  bool open_ = true;
  int users_ = 1;  // the graph, and each block in use
  std::size_t total_ = 0;
  std::vector<void*> blocks_;
  std::multimap<std::size_t, void*> free_;  // by size
};

// begin_capture() returns the number of the new capture, counted from 1. A graph may use blocks
// that are older than its capture: these blocks are kept until end_capture(number).
std::uint64_t begin_capture();
void end_capture(std::uint64_t number) noexcept;

class Capture final : public GraphCapture {
 public:
  Capture() = default;
  ~Capture() override;

  // The capture in progress in any thread, or null: work is then done at once. The caller holds
  // working().
  static Capture* in_progress();
  Arena& arena() { return *arena_; }

  // Device memory for host values that are copied there before every run.
  struct Renewed {
    void* host;
    void* there;
  };
  Renewed renewed(std::size_t bytes);
  // {seed, first} on the device for a kernel's random numbers; null if the numbers are not those of
  // a Random.
  const std::uint64_t* numbers(std::uint64_t seed, std::uint64_t first);
  // Tables of the host parts (see HostPart). add_table() is for a new table during the capture.
  // next_table() is for a part that runs again: returns its next table, which the part overwrites.
  void* next_table();
  void add_table(void* host) {
    if (in_part()) tables_.push_back(host);
  }

  Device device() const override { return Device::cuda; }
  std::size_t bytes() const override { return arena_ == nullptr ? 0 : arena_->bytes(); }

 private:
  struct Chunk {
    std::unique_ptr<unsigned char[]> host;
    Block there;
    std::size_t size, used;
  };
  void start() override;
  void stop() override;
  void start_parts() override { next_table_ = 0; }
  void launch() override;
  void upload_renewed();

  Arena* arena_ = nullptr;
  std::uint64_t number_ = 0;
  cudaGraphExec_t graph_ = nullptr;
  std::vector<Chunk> chunks_;
  std::vector<void*> tables_;
  std::size_t next_table_ = 0;
};

// A table from the host for a kernel. It stays on the device until the kernel has run; in a
// captured step, as long as the graph lives.
class Table {
 public:
  Table(const void* host, std::size_t bytes);
  template <class T>
  const T* as() const {
    return static_cast<const T*>(there_);
  }

 private:
  std::optional<Scratch> own_;
  const void* there_ = nullptr;
};

}  // namespace tapeloop::cuda
