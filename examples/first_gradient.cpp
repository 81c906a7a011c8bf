// SPDX-License-Identifier: MIT
// first_gradient: a tape, a gradient and gradient descent, for a first look at the library. Runs in
// a moment.
// Expect the last line: "after 200 steps: w = (2.0000, -1.0000), b = 0.5000, loss 0.0000"
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/options.h"
#include "examples/common/output.h"
#include "tapeloop/autograd/autograd.h"

using namespace tapeloop;

int main(int argc, char** argv) {
  common::CommonOptions common_options;
  common::CommandLine line(
      common_options, "first_gradient",
      "A first gradient: fits a line through points by hand-made gradient descent, and shows the "
      "tape's graph.");
  return line.run(argc, argv, [&] {
    // Points on t = 2 x0 - x1 + 0.5. Each row of x is one point: x is [4, 2], t is [4].
    const Device device = common_options.device;
    Tensor x = Tensor::from<float>({4, 2}, {0, 0, 1, 0, 0, 1, 1, 1}).to(device);
    Tensor t = Tensor::from<float>({4}, {0.5f, 2.5f, -0.5f, 1.5f}).to(device);

    // The values to be learned are parameters: they have a gradient.
    Var w = parameter(Tensor::zeros({2}, DType::float32, device));
    Var b = parameter(Tensor::zeros({}, DType::float32, device));

    double last = 0;
    for (int step = 0; step < 200; ++step) {
      Tape tape;                            // records every operation until it goes out of scope
      Var y = matmul(Var(x), w) + b;        // b, a scalar, broadcasts
      Var loss = mean(square(y - Var(t)));  // a scalar
      tape.backward(loss);  // w.grad() and b.grad() are now d(loss)/dw and d(loss)/db

      if (step == 0) {
        fmt::print("loss {:.4f}\nd(loss)/dw = {}\nd(loss)/db = {}\n\n", loss.item(),
                   to_string(w.grad().value()), to_string(b.grad().value()));
        fmt::print("The graph, for Graphviz (dot -Tsvg):\n{}\n", tape.to_dot());
      }
      last = loss.item();
      for (const Var& p : {w, b}) {
        p.set_value((p - p.grad() * 0.4).value());  // downhill; set_value clears the gradient
      }
    }
    fmt::print("after 200 steps: w = ({:.4f}, {:.4f}), b = {:.4f}, loss {:.4f}\n",
               w.value().at({0}), w.value().at({1}), b.item(), last);
    if (!common_options.json.empty()) {
      common::write_json(common_options.json,
                         {{"w", w.value().to_vector<double>()}, {"b", b.item()}, {"loss", last}});
    }
  });
}
