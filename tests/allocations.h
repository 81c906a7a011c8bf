// SPDX-License-Identifier: MIT
// Heap allocations of a program, counted: for tests of steps that make none. Knows no tensor's block; memory.h counts those.
#pragma once

#include <cstdint>

namespace tapeloop::test {

// Calls of operator new so far, in every form and by all threads, in a program that allocations.cpp is linked into.
std::int64_t allocations();

// False, and reported as skipped, under the address sanitizer: it wants to see each block, so the pool keeps none.
bool can_count_allocations();

}  // namespace tapeloop::test
