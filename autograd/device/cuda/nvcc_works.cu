// SPDX-License-Identifier: MIT
// What the build compiles to see whether nvcc and the C++ compiler go together: C++20 on both sides, generic
// functions on the GPU. No part of the library.
#include <concepts>
#include <span>
#include <string>

struct Formula {
  __host__ __device__ __forceinline__ auto operator()(auto x) const { return x + 1; }
};

template <std::floating_point T>
__global__ void kernel(T* to) {
  *to = Formula{}(*to);
}

std::string first(std::span<float> numbers) {
  kernel<<<1, 1>>>(numbers.data());
  return std::to_string(numbers[0]);
}
