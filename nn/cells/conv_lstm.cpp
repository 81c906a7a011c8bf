// SPDX-License-Identifier: MIT
// The ConvLSTM, by operations.
#include "tapeloop/nn/cells/conv_lstm.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tapeloop/nn/cells/gates/peephole_lstm.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

ConvLstmCell::ConvLstmCell(const RecurrentOptions& o, Random& random, const Options& given)
    : own(given) {
  const auto [height, width] = own.image;
  const std::int64_t positions = height * width;
  if (height < 1 || width < 1 || o.input < 1 || o.hidden < 1 || o.input % positions != 0 ||
      o.hidden % positions != 0) {
    fail(
        "conv_lstm",
        fmt::format("image is {} x {}, input {} and hidden {}; expected whole numbers of channels: "
                    "input = C h w, hidden = C' h w",
                    height, width, o.input, o.hidden));
  }
  for (const std::int64_t k : own.kernel) {
    if (k < 1 || k % 2 == 0) {
      fail("conv_lstm",
           fmt::format("kernel is {} x {}, expected odd numbers", own.kernel[0], own.kernel[1]));
    }
  }
  const std::int64_t C = o.input / positions, H = o.hidden / positions;
  const auto weight = [&](std::int64_t channels) {
    const std::int64_t read = H * own.kernel[0] * own.kernel[1];
    return uniform_parameter({4 * H, channels, own.kernel[0], own.kernel[1]},
                             1 / std::sqrt(static_cast<double>(read)), random, o.dtype);
  };
  weight_ih = weight(C);
  weight_hh = weight(H);
  if (o.bias) bias_ih = parameter(Tensor::zeros({4 * H}, o.dtype));
  if (own.peephole) weight_ch = parameter(Tensor::zeros({3, H, height, width}, o.dtype));
}

std::array<std::int64_t, 2> ConvLstmCell::state_sizes() const {
  const std::int64_t size = weight_hh.dim(1) * own.image[0] * own.image[1];
  return {size, size};
}

// Rows [.., channels h w] as images, convolved, as rows.
Var ConvLstmCell::convolved(const Var& rows, const Var& weight, const Var& bias) const {
  const auto [height, width] = own.image;
  const std::int64_t channels = weight.dim(1);
  if (rows.dim(-1) != channels * height * width) {
    fail("conv_lstm",
         fmt::format("x is {}, expected rows of {} numbers: {} channels of {} x {}",
                     rows.shape().str(), channels * height * width, channels, height, width));
  }
  const ConvolutionOptions same{.padding = {own.kernel[0] / 2, own.kernel[1] / 2}};
  const Var y = conv2d(reshape(rows, {-1, channels, height, width}), weight, bias, same);
  Shape shape = rows.shape();
  shape[shape.rank() - 1] = weight.dim(0) * height * width;
  return reshape(y, shape);
}

Var ConvLstmCell::input(const Var& x) const { return convolved(x, weight_ih, bias_ih); }

ConvLstmCell::State ConvLstmCell::step(const Var& zx, const State& s) const {
  const Var z = zx + convolved(s.h(), weight_hh, Var());
  if (!weight_ch.defined()) {
    auto [h, c] = pointwise(LstmGates{}, columns<4>(z), s[1]);
    return State(h, c);
  }
  const std::int64_t size = state_sizes()[0];
  const auto gate = [&](int g) { return slice(z, -1, g * size, (g + 1) * size); };
  const auto peep = [&](int g, const Var& c) {
    return reshape(select_index(weight_ch, 0, g), {size}) * c;
  };
  const Var c =
      pointwise(LstmState{}, gate(0) + peep(0, s[1]), gate(1) + peep(1, s[1]), gate(2), s[1]);
  return State(pointwise(LstmOutput{}, gate(3) + peep(2, c), c), c);
}

}  // namespace tapeloop::nn
