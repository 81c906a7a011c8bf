// SPDX-License-Identifier: MIT
// The smallest possible nodes, recorded and run backward: [1, 1] additions in a chain, so that
// nearly all of the cost is the tape. Shared by the benchmark and by the program whose instructions
// callgrind.sh counts.
#pragma once

#include "tapeloop/autograd/ops/ops.h"

namespace bench {

class NodeChain {
 public:
  // Records `nodes` additions to a parameter and runs the backward pass: each time its gradient is
  // 1.
  void pass(std::int64_t nodes) {
    tapeloop::Tape tape;
    tapeloop::Var y = start_;
    for (std::int64_t i = 0; i < nodes; ++i) y = y + addend_;
    tape.backward(y, upstream_);
    start_.zero_grad();
  }
  // The additions alone, without recording: the part of a pass that is not the tape.
  tapeloop::Var untaped(std::int64_t nodes) const {
    tapeloop::Var y = start_;
    for (std::int64_t i = 0; i < nodes; ++i) y = y + addend_;
    return y;
  }

 private:
  static tapeloop::Tensor one() { return tapeloop::Tensor::full({1, 1}, 1); }
  tapeloop::Var start_ = tapeloop::parameter(one());
  tapeloop::Var addend_{one()};
  tapeloop::Var upstream_{one()};
};

}  // namespace bench
