// SPDX-License-Identifier: MIT
// A scan over time, on some columns of some rows of the batch, for the instruction set of this
// file's compiler flags. The loop over time is the outer one: it reads and writes memory in the
// memory's own order, and the states of the step before are in a cache.
#include <algorithm>

#include "tapeloop/autograd/device/cpu/scan/scan.h"
#include "tapeloop/autograd/number/isa.h"
#include "tapeloop/autograd/number/vec.h"

namespace tapeloop::cpu {

namespace {

// One register, or the first `count` of its elements.
template <class V, ScanKind kKind, bool kWhole>
struct ScanAccess {
  using T = typename V::Element;
  std::int64_t imaginary, count;

  ScanNumber<V, kKind> load(const T* from) const {
    if constexpr (kKind == ScanKind::complex) {
      return {part(from), part(from + imaginary)};
    } else {
      return {part(from)};
    }
  }
  void store(const ScanNumber<V, kKind>& x, T* to) const {
    put(x.re, to);
    if constexpr (kKind == ScanKind::complex) put(x.im, to + imaginary);
  }

 private:
  V part(const T* from) const {
    if constexpr (kWhole) {
      return V::load(from);
    } else {
      T all[V::width] = {};
      std::copy_n(from, count, all);
      return V::load(all);
    }
  }
  void put(V x, T* to) const {
    if constexpr (kWhole) {
      x.store(to);
    } else {
      T all[V::width];
      x.store(all);
      std::copy_n(all, count, to);
    }
  }
};

template <class Isa, class T>
void scan_columns(const ScanRun& scan, const ScanColumns<T>& c) {
  using V = Vec<T, Isa>;
  with_scan_step(scan, [&]<ScanKind kKind, bool kConjugate, bool kChain>() {
    using Step = ScanStep<kKind, kConjugate, kChain>;
    const ScanAccess<V, kKind, true> whole{c.imaginary, V::width};
    const ScanAccess<V, kKind, false> rest{c.imaginary, c.columns % V::width};
    const std::int64_t even = c.columns - rest.count;
    const T *a = c.a, *b = c.b, *before = c.start;
    T* h = c.h;
    for (std::int64_t t = 0; t < c.steps; ++t) {
      for (std::int64_t row = 0; row < c.rows; ++row) {
        const T *const ar = a + row * c.a_row, *const br = b + row * c.b_row;
        const T* const past = before == nullptr ? nullptr : before + row * c.h_row;
        T* const hr = h + row * c.h_row;
        const auto step = [&](const auto& access, std::int64_t i) {
          const auto input = access.load(br + i);
          access.store(past == nullptr
                           ? input
                           : Step::next(access.load(ar + i), access.load(past + i), input),
                       hr + i);
        };
        for (std::int64_t i = 0; i < even; i += V::width) step(whole, i);
        if (rest.count > 0) step(rest, even);
      }
      before = h;
      a += c.a_step, b += c.b_step, h += c.h_step;
    }
  });
}

}  // namespace

template <>
const ScanKernels& scan_kernels_for<isa::Native>() {
  static constexpr ScanKernels kKernels = {&scan_columns<isa::Native, float>,
                                           &scan_columns<isa::Native, double>};
  return kKernels;
}

}  // namespace tapeloop::cpu
