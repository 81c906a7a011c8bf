// SPDX-License-Identifier: MIT
// Scans on the CPU: the tables of their kernels, one for each instruction set, and the call that
// divides a scan over threads.
#pragma once

#include "tapeloop/autograd/device/scan_run.h"

namespace tapeloop::cpu {

// Some columns of some rows of the batch. Pointers are those of the first step that runs, the first
// row and the first column. Steps are in elements, and negative in reverse.
template <class T>
struct ScanColumns {
  std::int64_t steps, rows, columns;
  const T *a, *b, *start;  // start: of the state before the first step, or null
  T* h;
  std::int64_t a_step, b_step, h_step;
  std::int64_t a_row, b_row, h_row;  // from row to row; those of start are as h's
  std::int64_t imaginary;            // complex: columns from a real part to its imaginary part
};

struct ScanKernels {
  void (*float32)(const ScanRun& scan, const ScanColumns<float>& columns);
  void (*float64)(const ScanRun& scan, const ScanColumns<double>& columns);
};
template <class Isa>
const ScanKernels& scan_kernels_for();

// The whole scan.
void scan(const ScanRun& scan);

}  // namespace tapeloop::cpu
