// SPDX-License-Identifier: MIT
// The facts of a build without CUDA: no GPU.
#include "bench/gpu/facts.h"

std::optional<bench::GpuFacts> bench::gpu_facts() { return std::nullopt; }
