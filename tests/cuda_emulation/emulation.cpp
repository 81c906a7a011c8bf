// SPDX-License-Identifier: MIT
// Runs the threads of a block as fibers: each runs until it has to wait for others, at a barrier or
// a warp shuffle. Blocks and threads run in a shuffled order. Blocks that wait for each other, in a
// cooperative launch, are resident together. The host cannot read device memory while
// no kernel or copy runs.
#undef _FORTIFY_SOURCE  // it takes a jump to another stack for an error
#include "emulation.h"

#include <setjmp.h>
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

enum class Wait { no, pause, warp, block };

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

// A place in a stack to continue from. setcontext() enters it first, then longjmp(), which makes no
// system call.
struct Context {
  ucontext_t entry;
  jmp_buf here;
  bool entered = false;
};

[[gnu::noinline]] void go(Context& from, Context& to) {
  from.entered = true;
  if (_setjmp(from.here) != 0) return;
  if (to.entered) _longjmp(to.here, 1);
  to.entered = true;
  setcontext(&to.entry);
}

struct Block;
struct Fiber {
  Context context;
  std::unique_ptr<char[]> stack;
  Block* block = nullptr;
  unsigned thread = 0;
  Wait wait = Wait::no;
  std::vector<std::vector<Copy>> batches;  // the last one is still open
};

struct Block {
  uint3 index{};
  std::vector<std::uint64_t> shared, exchanged;
  std::vector<Fiber*> waiting;
  bool any = false;  // of meet_block_or()
};

std::mutex one_launch;
std::mt19937 order_of(1);
std::int64_t launch_count = 0;
int most_blocks = 1;

Context scheduler;
Fiber* current = nullptr;
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> idle;
std::vector<Block> resident;
std::size_t resident_count = 0;
std::size_t block_threads = 0;
struct Start {
  Block* block;
  unsigned thread;
};
std::vector<Start> starts;  // in order
std::size_t started = 0;
const std::function<void()>* body = nullptr;

void be(Block* block, unsigned thread) {
  current->block = block;
  current->thread = thread;
  blockIdx = block->index;
  threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
               thread / (blockDim.x * blockDim.y)};
}

void fiber_main() {
  for (;;) {
    while (started < starts.size()) {  // a thread that never waits needs no switch
      const Start start = starts[started++];
      be(start.block, start.thread);
      current->batches.assign(1, {});
      (*body)();
    }
    idle.push_back(current);
    go(current->context, scheduler);
  }
}

void switch_to(Fiber* fiber) {
  current = fiber;
  go(scheduler, fiber->context);
}

Fiber* fresh_fiber() {
  if (idle.empty()) {
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
    ucontext_t& entry = fiber->context.entry;
    getcontext(&entry);
    entry.uc_stack.ss_sp = fiber->stack.get();
    entry.uc_stack.ss_size = kStackBytes;
    makecontext(&entry, fiber_main, 0);
    idle.push_back(fiber.get());
    fibers.push_back(std::move(fiber));
  }
  Fiber* fiber = idle.back();
  idle.pop_back();
  return fiber;
}

void wait_for(Wait kind) {
  current->wait = kind;
  current->block->waiting.push_back(current);
  go(current->context, scheduler);
  be(current->block, current->thread);
}

// The threads of a block that may continue: those that only paused, all of a warp that meet in a
// warp, or else all of the block.
std::vector<Fiber*> released(Block& block) {
  std::vector<unsigned> in_warp(block_threads / kWarp + 1, 0);
  for (const Fiber* fiber : block.waiting) {
    if (fiber->wait == Wait::warp) ++in_warp[fiber->thread / kWarp];
  }
  const auto whole = [&](const Fiber* fiber) {
    const std::size_t first = fiber->thread / kWarp * kWarp;
    return fiber->wait == Wait::warp &&
           in_warp[fiber->thread / kWarp] == std::min<std::size_t>(kWarp, block_threads - first);
  };
  std::vector<Fiber*> result, others;
  for (Fiber* fiber : block.waiting) {
    (fiber->wait == Wait::pause || whole(fiber) ? result : others).push_back(fiber);
  }
  if (result.empty() && !others.empty()) {
    for (const Fiber* fiber : others) {
      if (fiber->wait == Wait::warp) give_up("lanes of a warp do not meet at the same shuffle");
    }
    if (others.size() != block_threads) give_up("some threads never come to a barrier");
    std::swap(result, others);
  }
  block.waiting = std::move(others);
  return result;
}

// Runs the resident blocks to their end.
void run_resident() {
  started = 0;
  starts.clear();
  for (std::size_t i = 0; i < resident_count; ++i) {
    Block& block = resident[i];
    std::fill(block.shared.begin(), block.shared.end(), ~std::uint64_t{0});
    for (unsigned thread = 0; thread < block_threads; ++thread) starts.push_back({&block, thread});
  }
  std::shuffle(starts.begin(), starts.end(), order_of);
  while (started < starts.size()) switch_to(fresh_fiber());
  int idle_rounds = 0;
  for (;;) {
    std::vector<Fiber*> next;
    for (std::size_t i = 0; i < resident_count; ++i) {
      for (Fiber* fiber : released(resident[i])) next.push_back(fiber);
    }
    if (next.empty()) return;
    const bool only_pauses = std::all_of(
        next.begin(), next.end(), [](const Fiber* fiber) { return fiber->wait == Wait::pause; });
    idle_rounds = only_pauses ? idle_rounds + 1 : 0;
    if (idle_rounds > 1000) give_up("threads wait for a write that nobody makes");
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
      config.gridDim.z > 65535 ||
      config.dynamicSmemBytes > static_cast<std::size_t>(kSharedBytes)) {
    return cudaErrorInvalidConfiguration;
  }
  // All blocks of a cooperative launch are resident together.
  const bool cooperative = config.numAttrs > 0 && config.attrs[0].val.cooperative != 0;
  if (cooperative && blocks > static_cast<std::size_t>(kMultiprocessors * most_blocks)) {
    return cudaErrorCooperativeLaunchTooLarge;
  }
  const std::size_t together = cooperative ? blocks : 1;
  const DeviceAccess access;
  ++launch_count;
  body = &thread;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  block_threads = count;
  resident_count = together;
  if (resident.size() < together) resident.resize(together);
  for (std::size_t i = 0; i < together; ++i) {
    resident[i].shared.resize(config.dynamicSmemBytes / sizeof(std::uint64_t) + 1);
    resident[i].exchanged.resize(count);
  }
  std::vector<std::size_t> order(blocks / together);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::shuffle(order.begin(), order.end(), order_of);
  for (const std::size_t first : order) {
    for (std::size_t i = 0; i < together; ++i) {
      const std::size_t block = first * together + i;
      const std::size_t x = config.gridDim.x;
      const std::size_t y = config.gridDim.y;
      resident[i].index = {static_cast<unsigned>(block % x), static_cast<unsigned>(block / x % y),
                           static_cast<unsigned>(block / (x * y))};
    }
    run_resident();
  }
  return cudaSuccess;
}

void* shared_memory() { return current->block->shared.data(); }
void meet_block() { wait_for(Wait::block); }
bool meet_block_or(bool own) {
  Block& block = *current->block;
  block.any = block.any || own;
  meet_block();
  const bool result = block.any;
  meet_block();
  block.any = false;
  meet_block();
  return result;
}
void meet_warp() { wait_for(Wait::warp); }
void store_release(unsigned* flag, unsigned value) { *flag = value; }
unsigned load_relaxed(const unsigned* flag) {
  wait_for(Wait::pause);
  return *flag;
}
void acquire_loaded() {}
unsigned lane() { return current->thread % kWarp; }

void copy_async(void* to, const void* from, std::size_t bytes) {
  current->batches.back().push_back({to, from, bytes});
}
void end_batch() { current->batches.emplace_back(); }
void wait_for_batches(std::size_t left) {
  std::vector<std::vector<Copy>>& batches = current->batches;
  while (batches.size() > left + 1) {
    for (const Copy& copy : batches.front()) std::memcpy(copy.to, copy.from, copy.bytes);
    batches.erase(batches.begin());
  }
}

std::uint64_t exchange(std::uint64_t value, unsigned lane_from) {
  const unsigned first = current->thread / kWarp * kWarp;
  std::vector<std::uint64_t>& exchanged = current->block->exchanged;
  exchanged[current->thread] = value;
  meet_warp();
  if (first + lane_from < exchanged.size()) value = exchanged[first + lane_from];
  meet_warp();
  return value;
}

}  // namespace emulation

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  return value < 0 || value > emulation::kSharedBytes ? cudaErrorInvalidValue : cudaSuccess;
}

namespace emulation {

void set_room(int blocks) { most_blocks = blocks; }

std::int64_t launches() { return launch_count; }
bool present() { return true; }

void set_order(unsigned seed) { order_of.seed(seed); }

}  // namespace emulation
