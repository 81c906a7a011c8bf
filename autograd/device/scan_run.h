// SPDX-License-Identifier: MIT
// What a device gets to run a scan: h_t = a_t h_(t-1) + b_t, for each unit of each row by itself.
//   T time steps, N rows, H units. A complex number is two columns: H/2 real parts, then H/2
//   imaginary ones.
#pragma once

#include "tapeloop/autograd/number/scan_step.h"
#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

struct ScanRun {
  ScanKind kind = ScanKind::real;
  bool reverse = false;    // from the last time step to the first
  bool conjugate = false;  // a is conj(a)
  bool chain = false;      // a gradient: see number/scan_step.h
  // A step multiplies by the a of the step that ran before it: h_t = a_(t-1) h_(t-1) + b_t, or
  // a_(t+1) h_(t+1) + b_t in reverse. Then there is no `start`.
  bool delayed = false;
  Tensor h;      // [T, N, H], written; contiguous, as all units of a row are in a and b
  Tensor a;      // [T, N, H]; strides of time and rows may be 0
  Tensor b;      // [T, N, H]
  Tensor start;  // [N, H] contiguous; undefined: 0, or its logarithm
};

// Calls run.operator()<kKind, kConjugate, kChain>(): the scan's own settings as constants.
template <class Run>
void with_scan_step(const ScanRun& scan, Run run) {
  const auto by_chain = [&]<ScanKind kKind, bool kConjugate>() {
    scan.chain ? run.template operator()<kKind, kConjugate, true>()
               : run.template operator()<kKind, kConjugate, false>();
  };
  if (scan.kind == ScanKind::log) {
    run.template operator()<ScanKind::log, false, false>();
  } else if (scan.kind == ScanKind::real) {
    by_chain.template operator()<ScanKind::real, false>();
  } else if (scan.conjugate) {
    by_chain.template operator()<ScanKind::complex, true>();
  } else {
    by_chain.template operator()<ScanKind::complex, false>();
  }
}

}  // namespace tapeloop
