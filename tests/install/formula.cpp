// SPDX-License-Identifier: MIT
// A user's own formula with the installed library. install_test.py compiles it with flags that the
// library was not built with, and reads the error.
#include <cstdio>
#include <exception>

#include "tapeloop/autograd/autograd.h"

struct Gate {
  static constexpr const char* name = "gate";
  TL_HD auto operator()(auto a, auto b) const { return a * b + floor(a); }
};

int main() {
  using namespace tapeloop;
  try {
    Var x(Tensor::from<float>({2}, {1.5F, 2.0F}));
    Var y = pointwise(Gate{}, x, x);
    std::printf("%.4f %.4f\n", y.value().at({0}), y.value().at({1}));
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
  }
  return 0;
}
