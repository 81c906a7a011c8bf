// SPDX-License-Identifier: MIT
// Heap allocations of a program, counted: for tests of steps that make none. Knows no tensor's block; memory.h counts those.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tapeloop::test {

// Calls of operator new so far, in every form and by all threads, in a program that allocations.cpp is linked into.
std::int64_t allocations();

// From the n-th one on (1: the next), allocations of at least `bytes` bytes fail, by any thread; n = 0: none fails.
void fail_allocations(std::int64_t n, std::size_t bytes);

// False, and reported as skipped, under the address sanitizer: it wants to see each block, so the pool keeps none.
bool can_count_allocations();

}  // namespace tapeloop::test
