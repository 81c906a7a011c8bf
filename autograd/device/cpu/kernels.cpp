// SPDX-License-Identifier: MIT
// Matrix products and reductions for the instruction set of this file's compiler flags. The
// portable build compiles this file twice. Everything in it is a template on the instruction set,
// so that the linker cannot mix the two.
#include "tapeloop/autograd/device/cpu/kernels.h"

#include "tapeloop/autograd/device/cpu/gemm_kernel.h"
#include "tapeloop/autograd/device/cpu/panels_kernel.h"
#include "tapeloop/autograd/device/cpu/random_kernel.h"
#include "tapeloop/autograd/device/cpu/row_kernel.h"

namespace tapeloop::cpu {

namespace {
template <class Isa, class T>
constexpr TypedKernels<T> kTyped = {
    &gemm<Isa, T>,
    {&ReduceLoop<Isa, T, Reduction::sum>::run, &ReduceLoop<Isa, T, Reduction::product>::run,
     &ReduceLoop<Isa, T, Reduction::max>::run, &ReduceLoop<Isa, T, Reduction::min>::run},
    Vec<T, Isa>::width,
    &pack_panels<Isa, T>,
    &multiply_panels<Isa, T>,
    &uniform_numbers<Isa, T>,
    &row_moments<Isa, T>,
    &normalise_row<Isa, T>,
    &row_gradient_sums<Isa, T>,
    &row_gradient<Isa, T>};
}  // namespace

template <>
const Kernels& kernels_for<isa::Native>() {
  using Isa = isa::Native;
  static constexpr Kernels kKernels = {kTyped<Isa, float>, kTyped<Isa, double>,
                                       RowTile<Isa, true, true>::most_registers, &multiply_row<Isa>,
                                       &dot_row<Isa>};
  return kKernels;
}

}  // namespace tapeloop::cpu
