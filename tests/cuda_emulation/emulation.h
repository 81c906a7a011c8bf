// SPDX-License-Identifier: MIT
// What a test asks the emulated GPU beside the CUDA runtime's own functions. Where the GPU is a real one, or none is, all of it
// is 0 and does nothing (absent.cpp): a test program is compiled once and linked with either.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

// The GPU that is played is small, so that small shapes take several blocks.
constexpr int kMultiprocessors = 12;
constexpr int kSharedBytes = 128 << 10;  // of a block

bool present();  // whether this program's GPU is the emulated one

// Blocks of device memory that were written to beyond their ends, found when they were given back.
int damaged_blocks();
std::int64_t launches();  // kernels run so far
std::int64_t graph_launches();
std::int64_t allocations();  // blocks of device memory taken so far
std::int64_t waits();        // times that the host waited for the stream
std::size_t bytes_in_use();  // of device memory
// Of the memory that there is, the most that was ever in use: what grows is what a real pool asks the driver for.
std::size_t bytes_reached();
void limit_bytes(
    std::size_t limit);         // in use at once, from now on: beyond it there is no memory left
void set_order(unsigned seed);  // in which blocks and threads run from now on

// What goes wrong from now on.
// Resident at once: blocks of a multiprocessor, clusters; clusters -1: no cluster may have such a size.
void set_room(int blocks, int clusters);
void refuse_launches(int count);          // the next kernel launches find no memory
void refuse_graphs(int count);            // the next graphs are not launched
void refuse_instances(int count);         // the next graphs find no memory when they are made
void refuse_queries(int count);           // the next questions for room find no memory
void refuse_waits(int after, int count);  // once `after` more waits went well, the next ones fail
void unload(bool gone);                   // the runtime, as at the end of a process
std::int64_t objects();                   // streams, graphs and pinned blocks that there are

}  // namespace emulation
