// SPDX-License-Identifier: MIT
// Tables of the CPU kernels, one table for each instruction set, and the choice among them at run
// time. Formula pages are chosen in the same way: a source that is compiled for Isa defines
// compiled_page<Page, Isa>().
#pragma once

#include "tapeloop/autograd/device/cpu/gemm.h"
#include "tapeloop/autograd/device/cpu/loop.h"
#include "tapeloop/autograd/device/cpu/norm_kernel.h"
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
  ReduceFunction<T> reduce[4];  // indexed by Reduction
  std::int64_t panel_width;     // of pack_panels and multiply_panels
  void (*pack_panels)(MatrixView<T> b, std::int64_t k, std::int64_t n, T* panels);
  void (*multiply_panels)(const PanelProduct<T>& product);
  // Uniform random numbers of a stream: random_kernel.h.
  void (*uniform)(T* out, std::int64_t count, std::uint64_t seed, std::uint64_t first);
  // Layer norm of a row: norm_kernel.h.
  RowMoments<T> (*row_moments)(const T* x, std::int64_t count, double epsilon);
  void (*normalise_row)(const NormalisedRow<T>& row, const RowMoments<T>& moments);
  RowSums<T> (*row_gradient_sums)(const T* x, const T* scale, const T* dy, std::int64_t count,
                                  const RowMoments<T>& moments);
  void (*row_gradient)(const NormalisedRowGradient<T>& row, const RowMoments<T>& moments,
                       const RowSums<T>& sums, std::int64_t width);
};

struct Kernels {
  TypedKernels<float> float32;
  TypedKernels<double> float64;
  std::int64_t row_registers;  // most registers of a chunk in multiply_row
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

// True if this binary has AVX-512 kernels, the CPU supports them, and TAPELOOP_ISA is not avx2.
bool use_avx512();
const Kernels& kernels();  // for this machine
const char* isa_name();    // the instruction set of kernels(): "avx2", "avx512" or "baseline"

template <class P>
std::span<const PointwiseKernel* const> choose_page() {
#if defined(TAPELOOP_WITH_AVX512)
  if (use_avx512()) return compiled_page<P, isa::Avx512>();
#endif
  return compiled_page<P, isa::Native>();
}

}  // namespace tapeloop::cpu
