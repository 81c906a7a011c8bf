// SPDX-License-Identifier: MIT
// A user's first program against the installed library: the gradient of sum(tanh(x * w)) with
// respect to w. No test framework here: install_test.py builds it as a user would and reads its
// output.
#include <cstdio>

#include "tapeloop/autograd/autograd.h"

int main() {
  using namespace tapeloop;
  Tape tape;
  Var w = parameter(Tensor::from<float>({2}, {1.0F, 2.0F}));
  Var x(Tensor::from<float>({2}, {0.0F, 0.5F}));
  tape.backward(sum(tanh(x * w)));
  std::printf("%.4f %.4f\n", w.grad().value().at({0}), w.grad().value().at({1}));
  return 0;
}
