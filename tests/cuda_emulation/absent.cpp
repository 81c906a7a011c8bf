// SPDX-License-Identifier: MIT
// For programs without the emulated GPU: every answer is 0, and nothing has an effect.
#include "emulation.h"

namespace emulation {

bool present() { return false; }
int damaged_blocks() { return 0; }
std::int64_t launches() { return 0; }
std::int64_t graph_launches() { return 0; }
std::int64_t allocations() { return 0; }
std::int64_t waits() { return 0; }
std::size_t bytes_in_use() { return 0; }
std::size_t bytes_reached() { return 0; }
void limit_bytes(std::size_t) {}
void set_order(unsigned) {}
void use_device(int) {}
void set_room(int) {}
void refuse_graphs(int) {}
void refuse_instances(int) {}
void refuse_waits(int, int) {}
void unload(bool) {}
std::int64_t objects() { return 0; }

}  // namespace emulation
