// SPDX-License-Identifier: MIT
// linear_scan(): a linear recurrence of single units, whose coefficients are known for all time
// steps. recurrent() (sequence/recurrent.h) runs any step; a scan has no product of the state, so
// it can run on parts of a long sequence at the same time.
//   T time steps, N batch, H units.
#pragma once

#include <span>

#include "tapeloop/autograd/number/scan_step.h"
#include "tapeloop/autograd/tape/tape.h"

namespace tapeloop {

// Options of linear_scan().
struct ScanOptions {
  // What a, b, h0 and the result are:
  //   real      h_t = a_t h_(t-1) + b_t
  //   complex   the same; H columns are H/2 real parts, then H/2 imaginary ones
  //   log       the logarithms of positive numbers: h_t = log(e^(a_t + h_(t-1)) + e^(b_t)); -inf
  //             stands for 0. It neither overflows nor underflows. Heinsen 2023, arXiv:2311.06281
  ScanKind kind = ScanKind::real;
  bool reverse = false;  // from the last time step to the first: h_t = a_t h_(t+1) + b_t
  // [N], each 0..T: past its end a sequence keeps its state, so h_(T-1) is the last state of each;
  // in reverse, each starts at its own end. a and b are not read there. Empty: all have T steps.
  std::span<const std::int64_t> lengths = {};
};

// h_t = a_t h_(t-1) + b_t for b [T, N, H] -> h [T, N, H]. a is [T, N, H], or any shape that
// broadcasts to it: [H] is constant over time and rows. h0 [N, H], or undefined: 0. Throws if
// shapes, types or devices do not fit. Saves a and h; of logarithms b, too. Cost: reads a and b and
// writes h once, which takes as long as the memory needs; the gradient is a scan in the other
// direction, and a product if a needs one. The result has the same bits for any number of threads.
// Blelloch 1990, "Prefix sums and their applications"
Var linear_scan(const Var& a, const Var& b, const Var& h0 = Var(), const ScanOptions& options = {});

}  // namespace tapeloop
