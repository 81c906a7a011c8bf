// SPDX-License-Identifier: MIT
// Cycles of the few things that a persistent recurrent kernel repeats at every time step: loads of
// 16 bytes from shared memory, h handed on by flags or by words that carry their step, and barriers
// of a cluster (micro_clusters.cu). Uses no tensor and no cuBLAS. Takes seconds.
#include "bench/gpu/micro.h"

#include <chrono>
#include <cstdio>

#include "bench/gpu/micro.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"

namespace {

using namespace tapeloop::cuda;

constexpr int kBlockThreads = bench::kBlockThreads, kWarpThreads = 32;
constexpr int kWarps = kBlockThreads / kWarpThreads;

// --- 16-byte loads from shared memory ---

// The elements, of 16 bytes, that the lanes of a warp load together.
enum class Lanes { all_differ, repeat_after_8, columns, rows, groups_of_8, all_same };
struct LaneLayout {
  Lanes lanes;
  const char* text;
};
constexpr LaneLayout kLayouts[] = {
    {Lanes::all_differ, "all lanes differ"},
    {Lanes::repeat_after_8, "lanes n and n + 8 share"},
    {Lanes::columns, "lanes n and n ^ 1 share, as the columns of the product's tile"},
    {Lanes::rows, "lanes n and n ^ 2 share, as the rows of the product's tile"},
    {Lanes::groups_of_8, "8 adjacent lanes share"},
    {Lanes::all_same, "all lanes share"}};

__device__ int element_of(Lanes lanes, int lane) {
  switch (lanes) {
    case Lanes::all_differ: return lane;
    case Lanes::repeat_after_8: return lane % 8;
    case Lanes::columns: return lane / 2 % 8;
    case Lanes::rows: return lane % 2 + lane / 16 * 2;
    case Lanes::groups_of_8: return lane / 8;
    default: return 0;
  }
}

constexpr int kLoads = 16, kElements = 1024;

__global__ void load_kernel(Lanes lanes, int rounds, float4* sums, long long* cycles) {
  auto* const data = shared_memory<float4>();
  for (int i = static_cast<int>(threadIdx.x); i < kElements; i += kBlockThreads) {
    data[i] = float4{static_cast<float>(i), 1, 2, 3};
  }
  __syncthreads();
  const int first = element_of(lanes, static_cast<int>(threadIdx.x) % kWarpThreads);
  float4 sum{0, 0, 0, 0};
  const long long start = clock64();
#pragma unroll 1
  for (int round = 0; round < rounds; ++round) {
    // Another place in each round: the compiler cannot keep the values in registers.
    const int place = first + round % 8 * kWarpThreads;
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const float4 x = data[place + i * kWarpThreads];
      sum.x += x.x;
      sum.y += x.y;
      sum.z += x.z;
      sum.w += x.w;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *cycles = clock64() - start;
  sums[threadIdx.x] = sum;  // without a use of the sum there would be no loads
}

// --- a step of the whole grid ---

// At each step every block publishes its flag, the first `polling` warps of every block wait for
// the flags of all blocks, and the block reads `count` elements of h from L2. Flags are `spacing`
// words apart.
__global__ void __launch_bounds__(kBlockThreads, 1)
    flags_kernel(unsigned* flags, unsigned spacing, unsigned polling, const float4* h, int count,
                 int steps, float* sums, long long* cycles) {
  float sum = 0;
  const unsigned warp = threadIdx.x / kWarpThreads, lane = threadIdx.x % kWarpThreads;
  const long long start = clock64();
  for (int t = 1; t <= steps; ++t) {
    const auto step = static_cast<unsigned>(t);
    __syncthreads();
    if (threadIdx.x == 0) store_release(flags + blockIdx.x * spacing, step);
    if (warp < polling) {
      for (unsigned block = lane; block < gridDim.x; block += kWarpThreads) {
        while (load_relaxed(flags + block * spacing) < step) {
        }
      }
      acquire_loaded();
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlockThreads) {
      sum += __ldcg(h + i).x;
    }
  }
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = clock64() - start;
  sums[blockIdx.x * kBlockThreads + threadIdx.x] = sum;
}

// The same without flags: a word is a step in its upper half and a value in its lower half, so it
// shows by itself whether it is new. Steps alternate between two buffers of `count` words.
__global__ void __launch_bounds__(kBlockThreads, 1)
    words_kernel(unsigned long long* words, int count, int steps, float* sums, long long* cycles) {
  unsigned long long sum = 0;
  const int own = (count + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
  const int first = own * static_cast<int>(blockIdx.x);
  const int end = first + own < count ? first + own : count;
  const long long start = clock64();
  for (int t = 1; t <= steps; ++t) {
    const auto step = static_cast<unsigned long long>(t);
    // Volatile: one access of 8 bytes that no cache of this multiprocessor answers.
    volatile unsigned long long* const buffer = words + t % 2 * count;
    for (int i = first + static_cast<int>(threadIdx.x); i < end; i += kBlockThreads) {
      buffer[i] = step << 32;
    }
    // Whole warps poll together: `count` is a multiple of 32.
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlockThreads) {
      unsigned long long word = 0;
      do word = buffer[i];
      while (__any_sync(~0u, (word >> 32) < step));
      sum += word;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = clock64() - start;
  sums[blockIdx.x * kBlockThreads + threadIdx.x] = static_cast<float>(sum);
}

// --- on the host ---

class Bench {
 public:
  explicit Bench(bool quick) : steps_(quick ? 2 : 2000), rounds_(quick ? 1 : 256) {
    bench::need(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, 0),
                "cudaDeviceGetAttribute");
  }

  // An idle GPU needs a part of this time to reach its full clock, and the latency of L2 in cycles
  // depends on that.
  void warm_up(double seconds) {
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
           seconds) {
      cycles(load_kernel, multiprocessors_, false, Lanes::all_differ, rounds_, sums_.as<float4>(),
             cycles_.as<long long>());
    }
  }

  void shared_loads() {
    for (const LaneLayout& layout : kLayouts) {
      std::printf("16-byte load of a warp, %s: %.2f cycles\n", layout.text,
                  cycles(load_kernel, 1, false, layout.lanes, rounds_, sums_.as<float4>(),
                         cycles_.as<long long>()) /
                      (static_cast<double>(rounds_) * kLoads * kWarps));
    }
  }

  // How h reaches all blocks, for a quarter, a half and all of the GPU.
  void steps_by_flags() {
    for (const int part : {4, 2, 1}) {
      const int blocks = multiprocessors_ / part;
      for (const unsigned spacing : {1u, 8u}) {
        for (const unsigned polling : {unsigned{kWarps}, 1u}) {
          for (const int count : {0, 3072}) {
            std::printf(
                "step by flags, %d blocks, flags %u bytes apart, %u polling warps, %d KiB "
                "of h read by each: %.0f cycles\n",
                blocks, 4 * spacing, polling, count / 64,
                of_a_step(cycles(flags_kernel, blocks, true, flags_.as<unsigned>(), spacing,
                                 polling, h_.as<const float4>(), count, steps_, sums_.as<float>(),
                                 cycles_.as<long long>())));
          }
        }
      }
    }
  }

  void steps_by_words() {
    for (const int kib : {16, 96}) {
      const int blocks = multiprocessors_;
      const int count = kib * 1024 / 8;
      std::printf("step by words that carry it, %d blocks, %d words of 8 bytes: %.0f cycles\n",
                  blocks, count,
                  of_a_step(cycles(words_kernel, blocks, true, h_.as<unsigned long long>(), count,
                                   steps_, sums_.as<float>(), cycles_.as<long long>())));
    }
  }

  void cluster_barriers() const { bench::print_cluster_barriers(multiprocessors_, steps_); }

 private:
  // The second of two runs: the first one also loads the kernel. If `together`, all blocks are
  // resident at once.
  template <class... P, class... A>
  double cycles(void (*kernel)(P...), int blocks, bool together, const A&... arguments) {
    cudaLaunchAttribute attribute{};
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
    cudaLaunchConfig_t config{};
    config.gridDim.x = static_cast<unsigned>(blocks);
    config.blockDim.x = kBlockThreads;
    config.dynamicSmemBytes = kElements * sizeof(float4);
    config.attrs = &attribute;
    config.numAttrs = together ? 1 : 0;
    double result = 0;
    for (int run = 0; run < 2; ++run) {
      flags_.clear();
      h_.clear();
      result = bench::cycles_of(cycles_, config, kernel, arguments...);
    }
    return result;
  }
  double of_a_step(double all) const { return all / steps_; }

  int steps_, rounds_;
  int multiprocessors_ = 0;
  bench::Memory h_{std::size_t{1} << 20}, flags_{std::size_t{1} << 16}, sums_{std::size_t{1} << 20};
  bench::Memory cycles_{sizeof(long long)};
};

}  // namespace

int bench::run_micro(bool quick) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::printf("gpu_micro: there is no NVIDIA GPU\n");
    return 77;
  }
  try {
    Bench bench(quick);
    bench.warm_up(quick ? 0 : 0.5);
    bench.shared_loads();
    bench.steps_by_flags();
    bench.steps_by_words();
    bench.cluster_barriers();
  } catch (const bench::Failed&) {
    return 1;
  }
  return 0;
}
