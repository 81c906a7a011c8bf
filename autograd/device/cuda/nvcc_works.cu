// SPDX-License-Identifier: MIT
// A test program of the build: do nvcc and the C++ compiler work together? It uses C++20 on both
// sides and generic functions on the GPU. Not part of the library.
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
