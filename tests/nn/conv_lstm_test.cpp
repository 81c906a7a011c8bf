// SPDX-License-Identifier: MIT
// The ConvLSTM: derivatives, stacks, lengths, single steps, and the LSTM that it is on one pixel.
#include "tapeloop/nn/nn.h"
#include "tapeloop/tapeloop.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;

constexpr std::int64_t kHeight = 2, kWidth = 3, kPixels = kHeight * kWidth;

ConvLstm made(bool peephole, RecurrentOptions options = {}) {
  Random random(1);
  options.input = 2 * kPixels, options.hidden = kPixels, options.dtype = DType::float64;
  ConvLstm model(options, random,
                 {.image = {kHeight, kWidth}, .kernel = {3, 1}, .peephole = peephole});
  for (const NamedVar& p : parameters(model)) init::uniform(p.var, -1, 1, random);
  return model;
}

double distance(const Var& a, const Var& b) { return test::distance(a.value(), b.value()); }

}  // namespace

TEST_CASE("gradients of the ConvLSTM are right to second order, in two directions") {
  for (const bool peephole : {false, true}) {
    const ConvLstm model = made(peephole, {.bidirectional = true});
    const Var xs = parameter(random_tensor({2, 2, 2 * kPixels}, 2));
    ParameterList list = parameters(model);
    list.push_back({"xs", xs});
    for (const bool second : {false, true}) {
      const GradcheckReport report = gradcheck(
          [&] {
            const auto [ys, last] = model(xs);
            return PoolVector<Var>{ys, last[1]};
          },
          list, {.second_order = second});
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("a stack of ConvLSTMs runs sequences of different lengths as each alone") {
  const ConvLstm model = made(true, {.layers = 2, .bidirectional = true});
  const Var xs(random_tensor({4, 2, 2 * kPixels}, 3));
  const std::int64_t lengths[] = {4, 2};
  const Var ys = model(xs, {}, lengths).ys;
  for (std::int64_t n = 0; n < 2; ++n) {
    const Var alone = model(slice(slice(xs, 1, n, n + 1), 0, 0, lengths[n])).ys;
    CHECK(distance(slice(slice(ys, 1, n, n + 1), 0, 0, lengths[n]), alone) < 1e-13);
  }
}

TEST_CASE("a ConvLSTM of one pixel is the LSTM") {
  Random random(4);
  const RecurrentOptions options{.input = 3, .hidden = 4, .dtype = DType::float64};
  const ConvLstm conv(options, random, {.image = {1, 1}, .kernel = {1, 1}});
  const Lstm lstm(options, random);
  const ConvLstmCell& from = conv.cells()[0];
  const GateWeights& to = lstm.cells()[0].w;
  to.weight_ih.value().copy_from(from.weight_ih.value().reshape({16, 3}));
  to.weight_hh.value().copy_from(from.weight_hh.value().reshape({16, 4}));
  to.bias_ih.value().copy_from(from.bias_ih.value());
  to.bias_hh.value().fill(0);
  const Var xs(random_tensor({5, 2, 3}, 5));
  CHECK(distance(conv(xs).ys, lstm(xs).ys) < 1e-14);
}

TEST_CASE("the ConvLSTM refuses images and kernels that do not fit") {
  Random random(6);
  const auto make = [&](std::int64_t input, std::array<std::int64_t, 2> image,
                        std::array<std::int64_t, 2> kernel) {
    ConvLstm({.input = input, .hidden = 6}, random, {.image = image, .kernel = kernel});
  };
  CHECK(throws_with("image is 2 x 3, input 7|input = C h w", [&] { make(7, {2, 3}, {3, 3}); }));
  CHECK(throws_with("image is 0 x 0", [&] { make(6, {0, 0}, {3, 3}); }));
  CHECK(throws_with("kernel is 3 x 2|odd", [&] { make(6, {2, 3}, {3, 2}); }));
  const ConvLstm model = made(false);
  CHECK(throws_with("rows of 12 numbers: 2 channels of 2 x 3", [&] {
    model(Var(random_tensor({1, 1, 6})));
  }));
}

}  // namespace tapeloop::nn
