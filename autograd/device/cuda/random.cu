// SPDX-License-Identifier: MIT
// Counter-based random numbers: the functions of random.h, one number per thread.
#include "tapeloop/autograd/number/random.h"

#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"

namespace tapeloop::cuda {
namespace {

template <class T, bool kNormal>
__global__ void __launch_bounds__(kThreads)
    random_kernel(T* to, std::int64_t count, std::uint64_t seed, std::uint64_t first,
                  const std::uint64_t* renewed) {
  const std::int64_t i = thread_number();
  if (i >= count) return;
  if (renewed != nullptr) {  // in a captured step
    seed = renewed[0];
    first = renewed[1];
  }
  const std::uint64_t number = first + static_cast<std::uint64_t>(i);
  if constexpr (kNormal) {
    to[i] = static_cast<T>(normal_at(seed, number));
  } else {
    to[i] = static_cast<T>(uniform_at(seed, number));
  }
}

template <bool kNormal>
void random(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  if (to.numel() == 0) return;
  const Grid grid(to.numel());
  const std::scoped_lock lock(working());
  Capture* const capture = Capture::in_progress();
  const std::uint64_t* const renewed = capture == nullptr ? nullptr : capture->numbers(seed, first);
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(random_kernel<T, kNormal>, grid.blocks, grid.threads, 0, static_cast<T*>(to.raw()),
           to.numel(), seed, first, renewed);
  });
}

}  // namespace

void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  random<false>(to, seed, first);
}
void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) {
  random<true>(to, seed, first);
}

}  // namespace tapeloop::cuda
