// SPDX-License-Identifier: MIT
// The Euclidean norms of many tensors, calculated without a wait of the host. Accumulates in
// float64, by trees of a fixed shape. Very large and very small numbers have sums of their own, so
// that their squares neither overflow nor underflow (Blue 1978).
#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::cuda {
namespace {

constexpr std::int64_t kBlockElements = 8192;  // elements that one block adds up

struct NormItem {
  const void* data;
  std::int64_t count;
  std::int64_t first_block;
  bool single;                         // float32
  char name[sizeof(Mistake::name)]{};  // for a mistake
};

// Sums of the squares of large, ordinary and small numbers. Large and small numbers are scaled by
// powers of 2.
struct Squares {
  double large = 0, ordinary = 0, small = 0;
};
constexpr double kLarge = 0x1p486, kLargeScale = 0x1p-538;
constexpr double kSmall = 0x1p-511, kSmallScale = 0x1p537;

TL_HD void add_square(Squares& to, double x) {
  const double size = x < 0 ? -x : x;
  if (size > kLarge) {
    to.large += size * kLargeScale * (size * kLargeScale);
  } else if (size < kSmall) {
    to.small += size * kSmallScale * (size * kSmallScale);
  } else {
    to.ordinary += size * size;  // NaN, too
  }
}
TL_HD Squares operator+(const Squares& a, const Squares& b) {
  return {a.large + b.large, a.ordinary + b.ordinary, a.small + b.small};
}
TL_HD double norm_of(const Squares& s) {
  if (s.large > 0) return sqrt(s.large + s.ordinary * kLargeScale * kLargeScale) / kLargeScale;
  if (s.ordinary == 0) return sqrt(s.small) / kSmallScale;
  return sqrt(s.ordinary);
}

// Returns the sum over all threads of the block, valid in its first thread.
__device__ __forceinline__ Squares over_block(const Squares& own) {
  Squares* const partial = shared_memory<Squares>();
  partial[threadIdx.x] = own;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      partial[threadIdx.x] = partial[threadIdx.x] + partial[threadIdx.x + half];
    }
    __syncthreads();
  }
  return partial[0];
}

// One block for each part of an item.
__global__ void __launch_bounds__(kThreads)
    part_kernel(const NormItem* items, int count, Squares* parts) {
  const std::int64_t block = blockIdx.x;
  int low = 0;
  for (int high = count; high - low > 1;) {
    const int middle = (low + high) / 2;
    (items[middle].first_block <= block ? low : high) = middle;
  }
  const NormItem item = items[low];
  const std::int64_t start = (block - item.first_block) * kBlockElements;
  const std::int64_t end =
      start + kBlockElements < item.count ? start + kBlockElements : item.count;
  Squares own;
  for (std::int64_t i = start + threadIdx.x; i < end; i += blockDim.x) {
    add_square(own, item.single ? static_cast<double>(static_cast<const float*>(item.data)[i])
                                : static_cast<const double*>(item.data)[i]);
  }
  const Squares sum = over_block(own);
  if (threadIdx.x == 0) parts[block] = sum;
}

// One block for each item.
__global__ void __launch_bounds__(kThreads)
    item_kernel(const NormItem* items, int count, std::int64_t blocks, const Squares* parts,
                Squares* sums, double* to) {
  const int item = static_cast<int>(blockIdx.x);
  const std::int64_t end = item + 1 < count ? items[item + 1].first_block : blocks;
  Squares own;
  for (std::int64_t i = items[item].first_block + threadIdx.x; i < end; i += blockDim.x) {
    own = own + parts[i];
  }
  const Squares sum = over_block(own);
  if (threadIdx.x != 0) return;
  sums[item] = sum;
  to[item] = norm_of(sum);
}

TL_HD bool finite(double x) { return x - x == 0; }

// One block for the total of all items. Notes the first norm that is not finite.
__global__ void __launch_bounds__(kThreads)
    total_kernel(const NormItem* items, const Squares* sums, int count, double* to, bool raise,
                 Notes notes) {
  Squares own;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    own = own + sums[i];
  }
  const Squares sum = over_block(own);
  if (threadIdx.x != 0) return;
  to[count] = norm_of(sum);
  if (!raise || finite(to[count])) return;
  if (*static_cast<volatile int*>(notes.halted) != 0) return;  // keep the first mistake
  int first = 0;
  while (first < count && finite(to[first])) ++first;
  volatile Mistake* const mistake = notes.mistake;
  mistake->index = first < count ? first : -1;
  for (std::size_t i = 0; first < count && i < sizeof(Mistake::name); ++i) {
    mistake->name[i] = items[first].name[i];
  }
  mistake->in = MistakeIn::clip;
  *notes.halted = 1;
}

}  // namespace

void norms(const Tensor& to, std::span<const Tensor> from,
           std::span<const std::string_view> names) {
  PoolVector<NormItem> table(from.size());
  std::int64_t blocks = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const Tensor& x = from[i];
    table[i] = {x.raw(), x.numel(), blocks, x.dtype() == DType::float32};
    if (!names.empty()) names[i].copy(table[i].name, sizeof(Mistake::name) - 1);
    blocks += (x.numel() + kBlockElements - 1) / kBlockElements;
  }
  const std::size_t bytes = table.size() * sizeof(NormItem);
  const int count = static_cast<int>(table.size());
  const Table items(table.data(), bytes);
  const Scratch parts(static_cast<std::size_t>(blocks) * sizeof(Squares));
  const Scratch sums(table.size() * sizeof(Squares));
  const dim3 threads{static_cast<unsigned>(kThreads)};
  constexpr std::size_t kShared = static_cast<std::size_t>(kThreads) * sizeof(Squares);
  double* const result = static_cast<double*>(to.raw());
  if (blocks > 0) {
    launch(part_kernel, dim3{static_cast<unsigned>(blocks)}, threads, kShared, items.as<NormItem>(),
           count, parts.as<Squares>());
  }
  if (count > 0) {
    launch(item_kernel, dim3{static_cast<unsigned>(count)}, threads, kShared, items.as<NormItem>(),
           count, blocks, parts.as<Squares>(), sums.as<Squares>(), result);
  }
  launch(total_kernel, dim3{1}, threads, kShared, items.as<NormItem>(), sums.as<Squares>(), count,
         result, !names.empty(), gpu().notes);
}

}  // namespace tapeloop::cuda
