// SPDX-License-Identifier: MIT
// A training task on the GPU for the tests of CapturedStep: with a graph and without it the same.
#pragma once

#include <memory>

#include "tapeloop/autograd/tape/captured_step.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/sgd.h"
#include "tests/device/device.h"

namespace tapeloop::test {

// A character model with dropout, and its optimizer.
struct Task {
  Random random{5};
  nn::Embedding embed{11, 4, random};
  nn::Lstm lstm{{.input = 4, .hidden = 6, .layers = 2, .dropout = 0.25}, random};
  nn::Linear head{6, 11, random};
  std::unique_ptr<optim::Optimizer> optimizer;

  explicit Task(int which, Device device = Device::cuda) {
    nn::move(embed, device);
    nn::move(lstm, device);
    nn::move(head, device);
    const ParameterList list = nn::parameters(embed, lstm, head);
    if (which == 0) optimizer = std::make_unique<optim::Sgd>(list, optim::SgdOptions{0.1});
    if (which == 1) optimizer = std::make_unique<optim::Adam>(list, optim::AdamOptions{1e-2});
    if (which == 2) {
      optimizer = std::make_unique<optim::RmsProp>(
          list, optim::RmsPropOptions{.momentum = 0.5, .centered = true});
    }
  }

  Var step(const Tensor& tokens, const Tensor& next) {
    Tape tape;
    const Var loss = cross_entropy(head(lstm(embed(tokens)).ys), next);
    tape.backward(loss);
    optim::clip_grad_norm(optimizer->parameters(), 0.5);
    optimizer->step();
    optimizer->zero_grad();
    return loss;
  }
  auto captured(const CapturedStepOptions& options = {}) {
    return CapturedStep(
        Device::cuda, [this](const Tensor& x, const Tensor& y) { return step(x, y); }, options);
  }
};

inline Tensor batch(std::int64_t n, std::uint64_t seed) {
  return index_tensor({5, n}, 11, seed).to(Device::cuda);
}

inline void check_same(const Task& a, const Task& b) {
  const ParameterList here = a.optimizer->parameters(), there = b.optimizer->parameters();
  for (std::size_t i = 0; i < here.size(); ++i) {
    CAPTURE(here[i].name);
    CHECK(same_bits(here[i].var.value().to(Device::cpu), there[i].var.value().to(Device::cpu)));
  }
  const StateDict state = a.optimizer->state_dict(), other = b.optimizer->state_dict();
  REQUIRE(state.size() == other.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    CAPTURE(state[i].name);
    CHECK(same_bits(state[i].tensor.to(Device::cpu), other[i].tensor.to(Device::cpu)));
  }
  for (const auto& [name, random] : nn::randoms(a.lstm)) {
    for (const auto& [same_name, same] : nn::randoms(b.lstm)) {
      if (name == same_name) CHECK(*random == *same);
    }
  }
}

}  // namespace tapeloop::test
