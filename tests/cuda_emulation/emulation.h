// SPDX-License-Identifier: MIT
// Functions of the emulated GPU for tests, beside the CUDA runtime's own. With a real GPU, or none,
// all functions return 0 and do nothing (absent.cpp): a test program is compiled once and linked
// with either.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

// The emulated GPU is small, so that small shapes need several blocks.
constexpr int kMultiprocessors = 12;
constexpr int kSharedBytes = 128 << 10;  // of a block

bool present();  // true if this program's GPU is the emulated one

// Blocks of device memory with writes outside of their bounds, found when they were freed.
int damaged_blocks();
std::int64_t launches();  // kernels run so far
std::int64_t graph_launches();
std::int64_t allocations();  // blocks of device memory taken so far
std::int64_t waits();        // times that the host waited for the stream
std::size_t bytes_in_use();  // of device memory
// The highest address ever in use, as bytes from the start. If it grows, a real pool asks the
// driver for more memory.
std::size_t bytes_reached();
// The most bytes in use at once, from now on: then the memory is full.
void limit_bytes(std::size_t limit);
void set_order(unsigned seed);  // the order of blocks and threads, from now on
void use_device(int device);    // the current device of this thread, as cudaSetDevice()

// Errors from now on.
void set_room(int blocks);                // the number of resident blocks of a multiprocessor
void refuse_graphs(int count);            // the next graph launches fail
void refuse_instances(int count);         // the next graphs are not made: out of memory
void refuse_waits(int after, int count);  // `after` more waits succeed, then `count` waits fail
void unload(bool gone);                   // removes the runtime, as at the end of a process
std::int64_t objects();                   // existing streams, graphs and pinned blocks

}  // namespace emulation
