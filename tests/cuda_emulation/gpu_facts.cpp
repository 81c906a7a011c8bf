// SPDX-License-Identifier: MIT
// The emulated GPU, for reports, which must never take it for one.
#include "bench/gpu/facts.h"

std::optional<bench::GpuFacts> bench::gpu_facts() {
  return GpuFacts{"emulated, no GPU", "0.0", "none", "none", 0, 0, true};
}
