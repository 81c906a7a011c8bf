// SPDX-License-Identifier: MIT
// The CPU kernels compiled for one instruction set, as a table, and the choice among tables at run time.
// A page of formulas is chosen the same way: compiled_page<Page, Isa>() is defined in a source compiled for that Isa.
#pragma once

#include "tapeloop/autograd/device/cpu/gemm.h"
#include "tapeloop/autograd/device/cpu/loop.h"
#include "tapeloop/autograd/device/cpu/panels.h"
#include "tapeloop/autograd/device/cpu/reduce_kernel.h"
#include "tapeloop/autograd/device/cpu/row_weights.h"

namespace tapeloop::cpu {

template <class T>
using GemmFunction = void (*)(std::int64_t m, std::int64_t n, std::span<const GemmPiece<T>> pieces,
                              T* c, std::int64_t ldc, bool accumulate);
template <class T>
using ReduceFunction = void (*)(const ReducePlan& plan, const T* from, T* to, std::int64_t begin,
                                std::int64_t end);

template <class T>
struct TypedKernels {
  GemmFunction<T> gemm;
  ReduceFunction<T> reduce[4];  // by Reduction
  std::int64_t panel_width;     // of pack_panels and multiply_panels
  void (*pack_panels)(MatrixView<T> b, std::int64_t k, std::int64_t n, T* panels);
  void (*multiply_panels)(const PanelProduct<T>& product);
};

struct Kernels {
  TypedKernels<float> float32;
  TypedKernels<double> float64;
  std::int64_t row_registers;  // of a chunk, at most, in multiply_row
  void (*multiply_row)(const RowProduct& product);
  float (*dot_row)(std::int64_t k, const float* a, const float* b);
  template <class T>
  const TypedKernels<T>& of() const {
    if constexpr (sizeof(T) == 4) {
      return float32;
    } else {
      return float64;
    }
  }
};

template <class Isa>
const Kernels& kernels_for();
template <class P, class Isa>
std::span<const PointwiseKernel* const> compiled_page();

// Defined in the same binary for AVX-512, allowed by the CPU, and not turned off by TAPELOOP_ISA=avx2.
bool use_avx512();
const Kernels& kernels();  // of this machine
const char* isa_name();    // "avx2", "avx512", "baseline": what kernels() was compiled for

template <class P>
std::span<const PointwiseKernel* const> choose_page() {
#if defined(TAPELOOP_WITH_AVX512)
  if (use_avx512()) return compiled_page<P, isa::Avx512>();
#endif
  return compiled_page<P, isa::Native>();
}

}  // namespace tapeloop::cpu
