// SPDX-License-Identifier: MIT
// The emulated GPU itself (cuda_emulation/): it must find errors, and its threads must meet. Uses
// no kernel of the library.
#include "emulation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"
#include "tapeloop/autograd/tensor/error.h"

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

// One error twice: reads the neighbour's number without waiting for it.
void hasty_kernel(double* result) {
  double* const shared = cuda::shared_memory<double>();
  shared[threadIdx.x] = 1;
  result[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

void beyond_kernel(double* x, int place) { x[place] = 1; }

// Blocks pass a number on. The first block starts; each other block waits for the one before it.
void relay_kernel(double* numbers, unsigned* flags) {
  const unsigned block = blockIdx.x;
  if (block > 0) cuda::wait_until(flags + block - 1, 1, 1, 0);
  __syncwarp();
  if (threadIdx.x == 0) {
    numbers[block] = block == 0 ? 1 : 2 * numbers[block - 1];
    cuda::publish(flags + block, 1);
  }
}

// Reads copied values before the last wait and after it.
void copies_kernel(const double* from, double* result) {
  double* const shared = cuda::shared_memory<double>();
  for (int i = 0; i < 3; ++i) {
    cuda::copy_async<sizeof(double)>(shared + i, from + i);
    cuda::end_batch();
  }
  cuda::wait_for_batches<2>();
  result[0] = shared[0];
  result[1] = shared[1];
  cuda::wait_for_batches<0>();
  result[2] = shared[1];
  result[3] = shared[2];
}

std::vector<double> downloaded(const void* from, std::size_t count) {
  std::vector<double> result(count);
  cuda::download(result.data(), from, count * sizeof(double));
  return result;
}

}  // namespace

TEST_CASE(
    "setting up the GPU fails for lack of memory: nothing of it stays, and the next try works") {
  REQUIRE(emulation::bytes_in_use() == 0);  // this case must be the first
  emulation::limit_bytes(1 << 20);
  CHECK_THROWS_AS(cuda::gpu(), Error);
  CHECK(emulation::bytes_in_use() == 0);
  CHECK(emulation::objects() == 0);
  emulation::limit_bytes(std::size_t{512} << 20);
  cuda::gpu();
  CHECK(emulation::bytes_in_use() > 0);
}

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

TEST_CASE("blocks of a cooperative launch are all there, and wait for each other's flags") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    emulation::set_order(seed);
    const cuda::Scratch numbers(12 * sizeof(double)), flags(12 * sizeof(unsigned));
    const std::vector<unsigned> zeros(12, 0);
    cuda::upload(flags.as<unsigned>(), zeros.data(), 12 * sizeof(unsigned));
    CHECK(cuda::launch_resident<relay_kernel>(dim3{12}, dim3{64}, 0, numbers.as<double>(),
                                              flags.as<unsigned>()));
    CHECK(downloaded(numbers.as<double>(), 12).back() == 2048);
  }
  const cuda::Scratch none(8);
  const auto starts = [&](unsigned blocks) {
    return cuda::launch_resident<relay_kernel>(dim3{blocks}, dim3{64}, 0, none.as<double>(),
                                               none.as<unsigned>());
  };
  CHECK_FALSE(starts(13));  // more blocks than can be resident
  emulation::set_room(0);
  CHECK_FALSE(starts(1));
  emulation::set_room(1);
}

TEST_CASE("copies into shared memory are there when they were waited for, and not before") {
  const std::vector<double> numbers = {1, 2, 3};
  const cuda::Scratch from(3 * sizeof(double)), result(4 * sizeof(double));
  cuda::upload(from.as<double>(), numbers.data(), 3 * sizeof(double));
  cuda::launch(copies_kernel, dim3{1}, dim3{1}, 3 * sizeof(double), from.as<double>(),
               result.as<double>());
  const std::vector<double> found = downloaded(result.as<double>(), 4);
  CHECK(found[0] == 1);
  CHECK(std::isnan(found[1]));
  CHECK(found[2] == 2);
  CHECK(found[3] == 3);
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
