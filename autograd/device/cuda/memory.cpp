// SPDX-License-Identifier: MIT
// Memory of the GPU: from the driver's stream-ordered pool, which keeps released memory, or from
// the arena of a captured step.
#include <set>
#include <string>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

// The living captures, and blocks that they may still use although the owners have given them back.
// Protected by working().
struct Captures {
  std::uint64_t begun = 0;
  std::set<std::uint64_t> alive;
  struct Kept {
    Block block;
    std::uint64_t until;  // captures begun when it was given back; later captures cannot use it
  };
  std::vector<Kept> kept;
  std::vector<void*> later;  // given back during a capture, when nothing may be freed
  // Returns whether a living capture began after the block was taken and is not newer than number
  // `until`.
  bool may_use(const Block& block, std::uint64_t until) const {
    const auto next = alive.upper_bound(block.captures);
    return next != alive.end() && *next <= until;
  }
};
Captures& captures() {
  static Captures& kCaptures = *new Captures;
  return kCaptures;
}

void free_block(void* data) noexcept {
  std::vector<void*>& later = captures().later;
  later.push_back(data);
  if (Capture::in_progress() != nullptr) return;
  // At the end of the process the runtime and its memory may already be gone.
  for (void* block : later) {
    if (cudaFreeAsync(block, gpu().stream) != cudaSuccess) cudaGetLastError();
  }
  later.clear();
}

[[noreturn]] void fail_full(std::size_t bytes) {
  std::size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  fail("cuda", "the GPU has no " + std::to_string(bytes) + " bytes left for " +
                   tapeloop::detail::work_in_hand() + ": " + std::to_string(free) + " of " +
                   std::to_string(total) +
                   " are free; use a smaller batch, recompute(), or truncated BPTT");
}

void* take_from_pool(std::size_t bytes, cudaStream_t stream) {
  void* block = nullptr;
  cudaError_t status = cudaMallocAsync(&block, bytes, stream);
  if (status == cudaErrorMemoryAllocation) {  // returns unused memory to the driver, tries again
    cudaGetLastError();
    const Gpu& g = gpu();
    if (Capture::in_progress() == nullptr) CUDA_CHECK(cudaStreamSynchronize(g.stream));
    CUDA_CHECK(cudaMemPoolTrimTo(g.pool, 0));
    status = cudaMallocAsync(&block, bytes, stream);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail_full(bytes);
  }
  check(status, "cudaMallocAsync");
  return block;
}

}  // namespace

Block take(std::size_t bytes) {
  const Gpu& g = gpu();
  const std::scoped_lock lock(working());
  if (Capture* const capture = Capture::in_progress()) return capture->arena().take(bytes);
  return {take_from_pool(bytes, g.stream), bytes, nullptr, captures().begun};
}

// Frees the block, or keeps it as long as a captured step may use it.
static void release(const Block& block) noexcept {
  Captures& c = captures();
  if (c.may_use(block, c.begun)) {
    c.kept.push_back({block, c.begun});
  } else {
    free_block(block.data);
  }
}

void give_back(const Block& block) noexcept {
  const std::scoped_lock lock(working());
  if (block.arena != nullptr) return block.arena->put_back(block);
  release(block);
}

std::uint64_t begin_capture() {
  Captures& c = captures();
  c.alive.insert(++c.begun);
  return c.begun;
}

void end_capture(std::uint64_t number) noexcept {
  Captures& c = captures();
  c.alive.erase(number);
  std::erase_if(c.kept, [&c](const Captures::Kept& kept) {
    if (c.may_use(kept.block, kept.until)) return false;
    free_block(kept.block.data);
    return true;
  });
}

// --- memory of one captured step ---

// Block sizes are multiples of this, so that a freed block fits later requests.
constexpr std::size_t kGrain = 512;

Block Arena::take(std::size_t bytes) {
  const std::size_t size = (bytes + kGrain - 1) / kGrain * kGrain;
  const auto found = free_.lower_bound(size);
  if (found != free_.end() && found->first <= 2 * size) {
    void* const data = found->second;
    const std::size_t whole = found->first;
    free_.erase(found);
    ++users_;
    return {data, whole, this, 0};
  }
  return take_unwritten(size);
}

Block Arena::take_unwritten(std::size_t bytes) {
  const std::size_t size = (bytes + kGrain - 1) / kGrain * kGrain;
  void* const data = take_from_pool(size, gpu().beside);
  // The block must be ready before the graph runs. The wait is short: this stream has no other
  // work.
  CUDA_CHECK(cudaStreamSynchronize(gpu().beside));
  blocks_.push_back(data);
  total_ += size;
  ++users_;
  return {data, size, this, 0};
}

void Arena::put_back(const Block& block) noexcept {
  if (open_) free_.emplace(block.bytes, block.data);
  drop();
}

void Arena::leave() noexcept { drop(); }

void Arena::drop() noexcept {
  if (--users_ == 0) delete this;
}

// Steps that were captured later may have read tensors of this arena: release() keeps the blocks
// for them.
Arena::~Arena() {
  for (void* block : blocks_) release({block, 0, nullptr, number_});
}

}  // namespace tapeloop::cuda
