// SPDX-License-Identifier: MIT
// The rows of the GPU benchmarks: their names, and the work of one step of each. Times nothing.
// gpu/CELL/PASS/MATH/T:64/N:1/I:256/H:256, where
//     CELL is lstm, gru, user_cell or op_by_op, PASS is forward or step, MATH is float32 or tf32;
// gpu/gemm/MATH/M:4096/N:4096/K:4096, gpu/copy/MiB:1024, gpu/multiply_add/MiB:1024 and
// gpu/launch/N:1 measure the GPU's limits.
#pragma once

#include <string>
#include <vector>

namespace bench {

// The rows that a check of ten minutes has time for, the most important ones first: the GPU's
// limits, and the LSTM at the two shapes that the kernels were planned for.
std::vector<std::string> main_rows();
// Every row; the main ones first.
std::vector<std::string> all_rows();
// Small rows, one of each cell, as a trial.
std::vector<std::string> quick_rows();

// Work of one step of the row: floating-point operations of its matrix products (2TN x G x H(I+H)
// for a forward pass, three times that for a training step), bytes moved, or neither. Throws
// std::runtime_error if no row has this name.
struct Work {
  double flops = 0;
  double bytes = 0;
};
Work work_of(const std::string& row);

}  // namespace bench
