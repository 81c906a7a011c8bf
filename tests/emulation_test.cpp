// SPDX-License-Identifier: MIT
// The emulated GPU itself (cuda_emulation/): what it must notice, and that threads really meet. No kernel of the library.
#include "emulation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "autograd/cuda/launch.cuh"

namespace tapeloop::test {
namespace {

// Each block adds up its part by shuffles within warps and shared memory between them.
void sum_kernel(const double* x, double* sums) {
  double* const partial = cuda::shared_memory<double>();
  double total = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (unsigned delta = 16; delta > 0; delta /= 2) total += __shfl_down_sync(~0u, total, delta);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = total;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double result = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) result += partial[warp];
  sums[blockIdx.x] = result;
}

// The same mistake twice: the neighbour's number is read without waiting for it.
void hasty_kernel(double* result) {
  double* const shared = cuda::shared_memory<double>();
  shared[threadIdx.x] = 1;
  result[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

void beyond_kernel(double* x, int place) { x[place] = 1; }

std::vector<double> downloaded(const void* from, std::size_t count) {
  std::vector<double> result(count);
  cuda::download(result.data(), from, count * sizeof(double));
  return result;
}

}  // namespace

TEST_CASE("threads of a block meet at shuffles and barriers, in any order of blocks and threads") {
  std::vector<double> numbers(3 * 96);
  std::iota(numbers.begin(), numbers.end(), 1.0);
  const cuda::Scratch x(numbers.size() * sizeof(double)), sums(3 * sizeof(double));
  cuda::upload(x.as<double>(), numbers.data(), numbers.size() * sizeof(double));
  for (unsigned seed = 0; seed < 20; ++seed) {
    emulation::set_order(seed);
    cuda::launch(sum_kernel, dim3{3}, dim3{96}, 3 * sizeof(double), x.as<double>(),
                 sums.as<double>());
    const std::vector<double> found = downloaded(sums.as<double>(), 3);
    for (std::size_t block = 0; block < 3; ++block) {
      const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(96 * block);
      CHECK(found[block] == std::accumulate(first, first + 96, 0.0));
    }
  }
}

TEST_CASE("a missing barrier shows: what no thread has written yet is NaN") {
  const cuda::Scratch result(64 * sizeof(double));
  cuda::launch(hasty_kernel, dim3{1}, dim3{64}, 64 * sizeof(double), result.as<double>());
  bool seen = false;
  for (const double x : downloaded(result.as<double>(), 64)) seen = seen || std::isnan(x);
  CHECK(seen);
}

TEST_CASE("new memory holds NaNs, and writes before or behind a block are counted") {
  {
    const cuda::Scratch fresh(5 * sizeof(double));
    for (const double x : downloaded(fresh.as<double>(), 5)) CHECK(std::isnan(x));
  }
  CHECK(emulation::damaged_blocks() == 0);
  int damaged = 0;
  for (const int place : {-1, 5}) {
    {
      const cuda::Scratch block(5 * sizeof(double));
      cuda::launch(beyond_kernel, dim3{1}, dim3{1}, 0, block.as<double>(), place);
    }
    CHECK(emulation::damaged_blocks() == ++damaged);
  }
}

}  // namespace tapeloop::test
