// SPDX-License-Identifier: MIT
// One resident grid with each device thread as a thread of the CPU, for the thread sanitizer: barriers are barriers, flags
// are C++ atomics of the order that the device's instructions have, everything else is plain memory. Where a kernel relies
// on an order that it did not ask for, that is a data race, and reported. For kernels of resident.cuh only.
#pragma once

#include <functional>

#include "cuda_runtime.h"

namespace emulation {

// What is left out of the hand-over between blocks, to see that it is missed.
enum class Broken {
  nothing,
  release,          // flags are stored without a release
  fence,            // nothing is acquired behind a flag's load
  even_barriers,    // barriers 0, 2, .. of a block let their threads wait, but order nothing
  odd_barriers,     // barriers 1, 3, ..
  cluster_barrier,  // those of a cluster order nothing
};

// Runs `thread` for all threads of all blocks at once; cluster: blocks along x that share a barrier, or 0.
void run_resident_threads(dim3 grid, dim3 block, std::size_t shared_bytes, unsigned cluster,
                          Broken broken, const std::function<void()>& thread);

}  // namespace emulation
