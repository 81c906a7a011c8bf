// SPDX-License-Identifier: MIT
// Threads of a block as fibers: each runs until it has to wait for others, at a barrier or a warp shuffle. Blocks and threads
// take turns in a shuffled order. Device memory is out of the host's reach while no kernel or copy runs.
#include "emulation.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"
#include "device_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {
namespace {

constexpr std::size_t kStackBytes = 256 << 10;
constexpr unsigned kWarp = 32;

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "emulated GPU: %s\n", what);
  std::abort();
}

enum class Wait { no, warp, block };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  unsigned thread = 0;
  Wait wait = Wait::no;
};

std::mutex one_launch;
std::mt19937 order_of(1);
std::int64_t launch_count = 0;

ucontext_t scheduler;
Fiber* current = nullptr;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle, waiting;
std::vector<unsigned> threads;  // in the order in which they start
std::size_t started = 0;
const std::function<void()>* body = nullptr;
std::vector<std::uint64_t> shared;
std::vector<std::uint64_t> exchanged;

void be(unsigned thread) {
  current->thread = thread;
  threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
               thread / (blockDim.x * blockDim.y)};
}

void fiber_main() {
  for (;;) {
    while (started < threads.size()) {  // a thread that never waits costs no switch
      be(threads[started++]);
      (*body)();
    }
    idle.push_back(current);
    swapcontext(&current->context, &scheduler);
  }
}

void switch_to(Fiber* fiber) {
  current = fiber;
  swapcontext(&scheduler, &fiber->context);
}

Fiber* fresh_fiber() {
  if (idle.empty()) {
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = std::make_unique<char[]>(kStackBytes);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = kStackBytes;
    makecontext(&fiber->context, fiber_main, 0);
    idle.push_back(fiber.get());
    fibers.push_back(std::move(fiber));
  }
  Fiber* fiber = idle.back();
  idle.pop_back();
  return fiber;
}

void wait_for(Wait kind) {
  current->wait = kind;
  waiting.push_back(current);
  swapcontext(&current->context, &scheduler);
  be(current->thread);
}

// Those that may go on: all of a warp that meet as a warp, or else all of the block.
std::vector<Fiber*> released() {
  std::vector<unsigned> in_warp(threads.size() / kWarp + 1, 0);
  for (const Fiber* fiber : waiting) {
    if (fiber->wait == Wait::warp) ++in_warp[fiber->thread / kWarp];
  }
  const auto whole = [&](const Fiber* fiber) {
    const std::size_t first = fiber->thread / kWarp * kWarp;
    return fiber->wait == Wait::warp &&
           in_warp[fiber->thread / kWarp] == std::min<std::size_t>(kWarp, threads.size() - first);
  };
  std::vector<Fiber*> result;
  for (Fiber* fiber : waiting) {
    if (whole(fiber)) result.push_back(fiber);
  }
  if (result.empty()) {
    for (const Fiber* fiber : waiting) {
      if (fiber->wait != Wait::block) give_up("lanes of a warp do not meet at the same shuffle");
    }
    if (waiting.size() != threads.size()) give_up("some threads never come to a __syncthreads()");
    result = waiting;
  }
  std::erase_if(waiting, [&](Fiber* fiber) {
    return std::find(result.begin(), result.end(), fiber) != result.end();
  });
  return result;
}

void run_block() {
  started = 0;
  std::shuffle(threads.begin(), threads.end(), order_of);
  std::fill(shared.begin(), shared.end(), ~std::uint64_t{0});
  while (started < threads.size()) switch_to(fresh_fiber());
  while (!waiting.empty()) {
    std::vector<Fiber*> next = released();
    std::shuffle(next.begin(), next.end(), order_of);
    for (Fiber* fiber : next) fiber->wait = Wait::no;
    for (Fiber* fiber : next) switch_to(fiber);
  }
}

}  // namespace

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  const std::scoped_lock lock(one_launch);
  const std::size_t count = std::size_t{config.blockDim.x} * config.blockDim.y * config.blockDim.z;
  const std::size_t blocks = std::size_t{config.gridDim.x} * config.gridDim.y * config.gridDim.z;
  if (count == 0 || count > 1024 || blocks == 0 || config.gridDim.y > 65535 ||
      config.gridDim.z > 65535 || config.dynamicSmemBytes > (227u << 10)) {
    return cudaErrorInvalidConfiguration;
  }
  const DeviceAccess access;
  ++launch_count;
  body = &thread;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  threads.resize(count);
  std::iota(threads.begin(), threads.end(), 0u);
  shared.resize(config.dynamicSmemBytes / sizeof(std::uint64_t) + 1);
  exchanged.resize(count);
  std::vector<std::size_t> order(blocks);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), order_of);
  for (const std::size_t block : order) {
    const std::size_t x = config.gridDim.x;
    const std::size_t y = config.gridDim.y;
    blockIdx = {static_cast<unsigned>(block % x), static_cast<unsigned>(block / x % y),
                static_cast<unsigned>(block / (x * y))};
    run_block();
  }
  return cudaSuccess;
}

void* shared_memory() { return shared.data(); }
void meet_block() { wait_for(Wait::block); }
void meet_warp() { wait_for(Wait::warp); }
unsigned lane() { return current->thread % kWarp; }

std::uint64_t exchange(std::uint64_t value, unsigned lane_from) {
  const unsigned first = current->thread / kWarp * kWarp;
  exchanged[current->thread] = value;
  meet_warp();
  if (first + lane_from < exchanged.size()) value = exchanged[first + lane_from];
  meet_warp();
  return value;
}

std::int64_t launches() { return launch_count; }
void set_order(unsigned seed) { order_of.seed(seed); }

}  // namespace emulation
