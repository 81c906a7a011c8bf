// SPDX-License-Identifier: MIT
// The numbers of the parameter updates that the GPU has made. Kernels write these numbers to device
// memory. The host reads them when a mistake was noted or work was lost. The updates themselves are
// in each.cu.
#include <set>

#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"

namespace tapeloop::cuda {
namespace {

class Made;
std::set<Made*>& all_made() {  // protected by working()
  static std::set<Made*>& kAll = *new std::set<Made*>;
  return kAll;
}

class Made final : public UpdatesMade {
 public:
  explicit Made(std::size_t count) : told_(count), block_(take_zeros(bytes())) {
    const std::scoped_lock lock(working());
    all_made().insert(this);
  }
  ~Made() override {
    const std::scoped_lock lock(working());
    all_made().erase(this);
    give_back(block_);
  }
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;

  UpdateNumber* place(std::size_t i) override {
    return static_cast<UpdateNumber*>(block_.data) + i;
  }
  PoolVector<UpdateNumber> told() const override {
    const std::scoped_lock lock(working());
    return fresh_ ? told_ : PoolVector<UpdateNumber>();
  }
  void settled() override {
    const std::scoped_lock lock(working());
    fresh_ = false;
  }
  std::unique_lock<std::recursive_mutex> hold() const override {
    return std::unique_lock(working());
  }

  void read() {  // enqueues a copy
    CUDA_CHECK(
        cudaMemcpyAsync(told_.data(), block_.data, bytes(), cudaMemcpyDeviceToHost, gpu().stream));
  }
  void tell() { fresh_ = true; }  // the copy has arrived

 private:
  std::size_t bytes() const { return told_.size() * sizeof(UpdateNumber); }

  PoolVector<UpdateNumber> told_;
  bool fresh_ = false;
  Block block_;
};

}  // namespace

void read_updates_made() {
  const std::scoped_lock lock(working());
  for (Made* const made : all_made()) made->read();
  CUDA_CHECK(cudaStreamSynchronize(gpu().stream));
  for (Made* const made : all_made()) made->tell();
}

std::unique_ptr<UpdatesMade> new_updates_made(std::size_t count) {
  return std::make_unique<Made>(count);
}

}  // namespace tapeloop::cuda
