// SPDX-License-Identifier: MIT
// The initial states of minGRU and minLSTM.
#include "tapeloop/nn/cells/min_rnns.h"

#include <string>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn::detail {

void check_min_initial(const char* cell, MinInitial initial, bool positive) {
  if (initial == MinInitial::state || positive) return;
  fail(cell,
       "initial is through_g, but positive is false; only states of positive candidates go "
       "through g: set positive, or leave initial at its default");
}

State<1> min_initial(MinInitial initial, const State<1>& given) {
  if (initial == MinInitial::state || !given.defined()) return given;
  return State<1>(pointwise(PositiveCandidate{}, given.h()));
}

}  // namespace tapeloop::nn::detail
