// SPDX-License-Identifier: MIT
// What the build compiles to see whether nvcc and the C++ compiler go together: C++20 on both sides. No part of the library.
#include <concepts>
#include <span>
#include <string>

template <std::floating_point T>
__global__ void kernel(T* to) {
  *to = 1;
}

std::string first(std::span<float> numbers) {
  kernel<<<1, 1>>>(numbers.data());
  return std::to_string(numbers[0]);
}
