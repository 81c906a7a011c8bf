// SPDX-License-Identifier: MIT
// The emulated GPU's facts. Reports must never take it for a GPU.
#include "bench/gpu/facts.h"

std::optional<bench::GpuFacts> bench::gpu_facts() {
  return GpuFacts{"emulated, no GPU", "0.0", "none", "none", 0, 0, true};
}
