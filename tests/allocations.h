// SPDX-License-Identifier: MIT
// Counts the heap allocations of a program, for tests of steps that make none. Does not count the
// blocks of tensors: memory.h does.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tapeloop::test {

// Calls of operator new so far, in every form and by all threads, in a program that is linked with
// allocations.cpp.
std::int64_t allocations();

// Starting with the n-th one from now, allocations of at least `bytes` bytes fail in every thread;
// n = 0: none fails.
void fail_allocations(std::int64_t n, std::size_t bytes);

// False under the address sanitizer, and prints that the case is skipped: there the pool keeps no
// blocks.
bool can_count_allocations();

}  // namespace tapeloop::test
