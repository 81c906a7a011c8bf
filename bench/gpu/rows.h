// SPDX-License-Identifier: MIT
// The rows of the GPU benchmarks: their names, and how much work a step of one is. Times nothing.
//   gpu/CELL/PASS/MATH/T:64/N:1/I:256/H:256    CELL lstm, gru, user_cell, op_by_op; PASS forward, step; MATH float32, tf32
//   gpu/gemm/MATH/M:4096/N:4096/K:4096, gpu/copy/MiB:1024, gpu/multiply_add/MiB:1024, gpu/launch/N:1    what the GPU can do
#pragma once

#include <string>
#include <vector>

namespace bench {

// Every row, in the order of the report; `quick`: small ones, one of each kind, to see that everything works.
std::vector<std::string> gpu_rows(bool quick);

// What a step of the row does: floating-point operations of its matrix products (a forward pass 2TN x G x H(I+H), a step three
// times that), bytes moved, or neither. Throws std::runtime_error where the name is no row's.
struct Work {
  double flops = 0;
  double bytes = 0;
};
Work work_of(const std::string& row);

}  // namespace bench
