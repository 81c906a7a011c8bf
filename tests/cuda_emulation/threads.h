// SPDX-License-Identifier: MIT
// Runs one resident grid with a CPU thread for each device thread, for the thread sanitizer.
// Barriers are barriers, flags are C++ atomics with the memory order of the device's instructions,
// everything else is plain memory. If a kernel relies on an order that it did not ask for, the
// sanitizer reports a data race. For kernels of resident.cuh only.
#pragma once

#include <functional>

#include "cuda_runtime.h"

namespace emulation {

// The part of the hand-over between blocks that is left out. The sanitizer must report this.
enum class Broken {
  nothing,
  release,        // flags are stored without a release
  fence,          // nothing is acquired after the load of a flag
  even_barriers,  // barriers 0, 2, .. of a block wait, but order nothing
  odd_barriers,   // barriers 1, 3, ..
};

// Runs `thread` for all threads of all blocks at once.
void run_resident_threads(dim3 grid, dim3 block, std::size_t shared_bytes, Broken broken,
                          const std::function<void()>& thread);

}  // namespace emulation
