// SPDX-License-Identifier: MIT
// gpu_micro: cycles of the few things that a persistent recurrent kernel repeats at every time step:
// loads of 16 bytes from shared memory, h handed on by flags or by words that carry their step, and
// barriers of a cluster. Uses no tensor and no cuBLAS. Takes seconds.
//   gpu_micro [--quick]    --quick: few steps, to see that it works
#include <cstdio>
#include <cstring>

#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"

namespace {

using namespace tapeloop::cuda;

constexpr int kBlockThreads = 256, kWarpThreads = 32;
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

// Barriers of a cluster of blocks; before each, every thread may store a number to global memory.
__global__ void __launch_bounds__(kBlockThreads, 1)
    cluster_kernel(bool stores, int steps, float* numbers, long long* cycles) {
  const long long start = clock64();
  for (int t = 0; t < steps; ++t) {
    if (stores) numbers[blockIdx.x * kBlockThreads + threadIdx.x] = static_cast<float>(t);
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "barrier.cluster.arrive.release;\n"
        "barrier.cluster.wait.acquire;" ::
            : "memory");
#endif
  }
  if (threadIdx.x == 0 && blockIdx.x == 0) *cycles = clock64() - start;
}

// --- on the host ---

struct Failed {};

void need(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  std::printf("gpu_micro: %s failed: %s\n", call, cudaGetErrorString(status));
  throw Failed{};
}
#define NEED(call) need(call, #call)

class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    NEED(cudaMallocAsync(&data_, bytes, nullptr));
    clear();
  }
  ~Memory() { cudaFreeAsync(data_, nullptr); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void clear() { NEED(cudaMemsetAsync(data_, 0, bytes_, nullptr)); }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

enum class Together { no, all_blocks, clusters_of_8 };

class Bench {
 public:
  explicit Bench(bool quick) : steps_(quick ? 2 : 2000), rounds_(quick ? 1 : 256) {
    int major = 0;
    NEED(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, 0));
    NEED(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    has_clusters_ = major >= 9;
  }

  void shared_loads() {
    for (const LaneLayout& layout : kLayouts) {
      std::printf("16-byte load of a warp, %s: %.2f cycles\n", layout.text,
                  cycles(load_kernel, 1, Together::no, layout.lanes, rounds_, sums_.as<float4>(),
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
                of_a_step(cycles(flags_kernel, blocks, Together::all_blocks, flags_.as<unsigned>(),
                                 spacing, polling, h_.as<const float4>(), count, steps_,
                                 sums_.as<float>(), cycles_.as<long long>())));
          }
        }
      }
    }
  }

  void steps_by_words() {
    for (const int kib : {16, 96}) {
      const int blocks = multiprocessors_;
      const int count = kib * 1024 / 8;
      std::printf(
          "step by words that carry it, %d blocks, %d words of 8 bytes: %.0f cycles\n", blocks,
          count,
          of_a_step(cycles(words_kernel, blocks, Together::all_blocks, h_.as<unsigned long long>(),
                           count, steps_, sums_.as<float>(), cycles_.as<long long>())));
    }
  }

  void cluster_barriers() {
    if (!has_clusters_) return;
    for (const bool stores : {false, true}) {
      std::printf(
          "barrier of a cluster of 8 blocks, %s: %.0f cycles\n",
          stores ? "each thread stores a number before it" : "no stores before it",
          of_a_step(cycles(cluster_kernel, multiprocessors_ / 8 * 8, Together::clusters_of_8,
                           stores, steps_, sums_.as<float>(), cycles_.as<long long>())));
    }
  }

 private:
  // The second of two runs: the first one also loads the kernel.
  template <class... P, class... A>
  double cycles(void (*kernel)(P...), int blocks, Together together, const A&... arguments) {
    cudaLaunchAttribute attribute{};
    cudaLaunchConfig_t config{};
    config.gridDim.x = static_cast<unsigned>(blocks);
    config.blockDim.x = kBlockThreads;
    config.dynamicSmemBytes = kElements * sizeof(float4);
    config.attrs = &attribute;
    config.numAttrs = together == Together::no ? 0 : 1;
    if (together == Together::all_blocks) {
      attribute.id = cudaLaunchAttributeCooperative;
      attribute.val.cooperative = 1;
    } else {
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim.x = 8;
      attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    }
    long long result = 0;
    for (int run = 0; run < 2; ++run) {
      flags_.clear();
      h_.clear();
      NEED(cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...));
      NEED(cudaMemcpyAsync(&result, cycles_.as<void>(), sizeof result, cudaMemcpyDeviceToHost,
                           nullptr));
      NEED(cudaStreamSynchronize(nullptr));
    }
    return static_cast<double>(result);
  }
  double of_a_step(double all) const { return all / steps_; }

  int steps_, rounds_;
  int multiprocessors_ = 0;
  bool has_clusters_ = false;
  Memory h_{std::size_t{1} << 20}, flags_{std::size_t{1} << 16}, sums_{std::size_t{1} << 20};
  Memory cycles_{sizeof(long long)};
};

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    std::printf("gpu_micro: got %s, expected --quick or nothing\n", argv[1]);
    return 2;
  }
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::printf("gpu_micro: there is no NVIDIA GPU\n");
    return 77;
  }
  try {
    Bench bench(quick);
    bench.shared_loads();
    bench.steps_by_flags();
    bench.steps_by_words();
    bench.cluster_barriers();
  } catch (const Failed&) {
    return 1;
  }
  return 0;
}
