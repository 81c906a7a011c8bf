// SPDX-License-Identifier: MIT
// Layers for images: GroupNorm against a loop, Dropout2d, and networks whose state dicts have
// torchvision's names.
#include <cmath>
#include <set>

#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/autograd/ops/pooling.h"
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;
using Numbers = std::vector<double>;

TEST_CASE("group norm is that of a loop over the elements of a group") {
  for (const std::int64_t groups : {1, 2, 6}) {
    for (const Shape& shape : {Shape{3, 6, 5}, Shape{2, 6, 1, 3}, Shape{4, 6}}) {
      if (groups == 6 && shape.rank() == 2) continue;  // of one element: below
      CAPTURE(groups);
      CAPTURE(shape.str());
      const GroupNorm norm(groups, 6, 1e-3, DType::float64);
      norm.weight.value().copy_from(random_tensor({6}, 1));
      norm.bias.value().copy_from(random_tensor({6}, 2));
      const Tensor x = random_tensor(shape, 3);
      const Numbers in = x.to_vector<double>(), y = norm(Var(x)).value().to_vector<double>();
      const std::int64_t positions = x.numel() / (shape[0] * 6);
      const std::int64_t size = 6 / groups * positions;
      for (std::int64_t g = 0; g < shape[0] * groups; ++g) {
        double mean = 0, variance = 0;
        const auto at = [&](std::int64_t i) { return in[static_cast<std::size_t>(g * size + i)]; };
        for (std::int64_t i = 0; i < size; ++i) mean += at(i) / static_cast<double>(size);
        for (std::int64_t i = 0; i < size; ++i) {
          variance += std::pow(at(i) - mean, 2) / static_cast<double>(size);
        }
        for (std::int64_t i = 0; i < size; ++i) {
          const std::int64_t channel = g % groups * (6 / groups) + i / positions;
          const double expected =
              (at(i) - mean) / std::sqrt(variance + 1e-3) * norm.weight.value().at({channel}) +
              norm.bias.value().at({channel});
          CHECK(y[static_cast<std::size_t>(g * size + i)] ==
                doctest::Approx(expected).epsilon(1e-12));
        }
      }
    }
  }
}

TEST_CASE("gradients of group norm, first and second order") {
  const GroupNorm norm(2, 4, 1e-3, DType::float64);
  ParameterList all = parameters(norm);
  REQUIRE(all.size() == 2);
  const Var x = parameter(random_tensor({2, 4, 3}, 4));
  all.push_back({"x", x});
  const auto report = gradcheck([&] { return norm(x); }, all, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("group norm refuses what does not fit") {
  CHECK(throws_with("group_norm|4 groups of 6 channels", [] { GroupNorm(4, 6); }));
  CHECK(throws_with("group_norm|0 groups", [] { GroupNorm(0, 6); }));
  CHECK(throws_with("group_norm|[2, 5, 3]|[N, 6, ..]", [] {
    GroupNorm(2, 6)(Var(Tensor::zeros({2, 5, 3})));
  }));
  CHECK(throws_with("group_norm|undefined", [] { GroupNorm()(Var()); }));
  CHECK(GroupNorm(2, 6)(Var(Tensor::zeros({0, 6, 3}))).shape() == Shape{0, 6, 3});
}

TEST_CASE("dropout2d drops whole channels, while a tape records") {
  Random random(5);
  const Dropout2d drop(0.5, random);
  const Var x(Tensor::full({8, 16, 3, 2}, 1));
  CHECK(test::same_bits(drop(x).value(), x.value()));
  const Tape tape;
  const Numbers y = drop(x).value().to_vector<double>();
  std::int64_t dropped = 0;
  for (std::size_t channel = 0; channel < 128; ++channel) {
    CHECK((y[channel * 6] == 0 || y[channel * 6] == 2));
    dropped += y[channel * 6] == 0 ? 1 : 0;
    for (std::size_t i = 1; i < 6; ++i) CHECK(y[channel * 6 + i] == y[channel * 6]);
  }
  CHECK((dropped > 40 && dropped < 88));
  CHECK(throws_with("dropout2d|[2, 3]|[N, C, ..]", [&] { drop(Var(Tensor::zeros({2, 3}))); }));
  CHECK(throws_with("dropout2d|p is 1", [&] { Dropout2d(1, random); }));
}

// --- ResNet-18, He et al. 2015, arXiv:1512.03385, with torchvision's names ---

struct Block {
  Conv2d conv1, conv2, down;
  BatchNorm bn1, bn2, down_norm;
  Block(std::int64_t in, std::int64_t out, std::int64_t stride, Random& random)
      : conv1(in, out, {3, 3}, random, {.stride = {stride, stride}, .padding = {1, 1}}, false),
        conv2(out, out, {3, 3}, random, {.padding = {1, 1}}, false),
        bn1(out),
        bn2(out) {
    if (in == out && stride == 1) return;
    down = Conv2d(in, out, {1, 1}, random, {.stride = {stride, stride}}, false);
    down_norm = BatchNorm(out);
  }
  Var operator()(const Var& x) const {
    const Var y = bn2(conv2(relu(bn1(conv1(x)))));
    return relu(y + (down.weight.defined() ? down_norm(down(x)) : x));
  }
  void visit(Visitor& v) const {
    v("conv1", conv1), v("bn1", bn1), v("conv2", conv2), v("bn2", bn2);
    if (down.weight.defined()) v("downsample.0", down), v("downsample.1", down_norm);
  }
};

struct ResNet18 {
  Conv2d conv1;
  BatchNorm bn1;
  std::vector<Block> blocks;
  Linear fc;
  ResNet18(std::int64_t width, std::int64_t classes, Random& random)
      : conv1(3, width, {7, 7}, random, {.stride = {2, 2}, .padding = {3, 3}}, false),
        bn1(width),
        fc(8 * width, classes, random) {
    std::int64_t in = width;
    for (std::int64_t layer = 0; layer < 4; ++layer) {
      const std::int64_t out = width << layer;
      blocks.emplace_back(in, out, layer == 0 ? 1 : 2, random);
      blocks.emplace_back(out, out, 1, random);
      in = out;
    }
  }
  Var operator()(const Var& x) const {
    Var y =
        max_pool2d(relu(bn1(conv1(x))), {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}});
    for (const Block& block : blocks) y = block(y);
    return fc(flatten(adaptive_avg_pool2d(y, {1, 1})));
  }
  void visit(Visitor& v) const {
    v("conv1", conv1), v("bn1", bn1);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      v("layer" + std::to_string(i / 2 + 1) + "." + std::to_string(i % 2), blocks[i]);
    }
    v("fc", fc);
  }
};

TEST_CASE("a ResNet-18 has the names and sizes of torchvision's state dict") {
  Random random(6);
  const ResNet18 full(64, 1000, random);
  CHECK(parameter_count(full) == 11689512);
  const StateDict dict = state_dict(full);
  CHECK(dict.size() == 122);
  std::set<std::string> names;
  for (const auto& entry : dict) names.insert(entry.name);
  for (const char* name :
       {"conv1.weight", "bn1.running_var", "bn1.num_batches_tracked", "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_mean", "layer4.1.bn2.bias",
        "fc.weight", "fc.bias"}) {
    CHECK_MESSAGE(names.contains(name), name);
  }
  const Var y = full(Var(random_tensor({1, 3, 40, 33}, 7, DType::float32)));
  CHECK(y.shape() == Shape{1, 1000});
}

TEST_CASE("a state dict of a small ResNet is loaded by its names, and trains on") {
  Random a(8), b(9);
  const ResNet18 from(4, 5, a), to(4, 5, b);
  const Var x(random_tensor({2, 3, 64, 48}, 10, DType::float32));
  {
    Tape tape;  // moves the running statistics
    from(x);
  }
  CHECK(test::distance(from(x).value(), to(x).value()) > 1e-3);
  load_state_dict(to, state_dict(from));
  CHECK(test::same_bits(from(x).value(), to(x).value()));
  Tape tape;
  tape.backward(sum(square(to(x))));
  for (const NamedVar& p : parameters(to)) {
    CHECK_MESSAGE(p.var.grad().shape() == p.var.shape(), p.name);
  }
}

// --- VGG, Simonyan & Zisserman 2014, arXiv:1409.1556: numbered layers of two lists ---

struct Vgg {
  std::vector<Conv2d> convolutions;
  std::vector<std::int64_t> numbers;  // of the convolutions in the list "features"
  std::array<Linear, 3> linear;
  Vgg(const std::vector<std::int64_t>& widths, std::int64_t classes, Random& random) {  // 0: pool
    std::int64_t in = 3, number = 0;
    for (const std::int64_t width : widths) {
      if (width > 0) {
        convolutions.emplace_back(in, width, std::array<std::int64_t, 2>{3, 3}, random,
                                  ConvolutionOptions{.padding = {1, 1}});
        numbers.push_back(number);
        in = width;
      }
      number += width > 0 ? 2 : 1;  // a convolution and its relu, or a pool
    }
    linear = {Linear(in * 49, 8, random), Linear(8, 8, random), Linear(8, classes, random)};
  }
  Var operator()(const Var& x) const {
    Var y = x;
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
      y = relu(convolutions[i](y));
      const std::int64_t next = i + 1 < numbers.size() ? numbers[i + 1] : numbers[i] + 3;
      if (next == numbers[i] + 3) y = max_pool2d(y);
    }
    y = flatten(adaptive_avg_pool2d(y, {7, 7}));
    return linear[2](relu(linear[1](relu(linear[0](y)))));
  }
  void visit(Visitor& v) const {
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
      v("features." + std::to_string(numbers[i]), convolutions[i]);
    }
    for (std::size_t i = 0; i < linear.size(); ++i) {
      v("classifier." + std::to_string(3 * i), linear[i]);
    }
  }
};

TEST_CASE("a VGG-11 has torchvision's names") {
  Random random(11);
  const Vgg vgg({4, 0, 4, 0, 8, 8, 0, 8, 8, 0, 8, 8, 0}, 5, random);
  std::vector<std::string> weights;
  for (const NamedVar& p : parameters(vgg)) {
    if (p.name.ends_with(".weight")) weights.push_back(p.name);
  }
  CHECK(weights ==
        std::vector<std::string>{"features.0.weight", "features.3.weight", "features.6.weight",
                                 "features.8.weight", "features.11.weight", "features.13.weight",
                                 "features.16.weight", "features.18.weight", "classifier.0.weight",
                                 "classifier.3.weight", "classifier.6.weight"});
  CHECK(vgg(Var(random_tensor({2, 3, 40, 32}, 12, DType::float32))).shape() == Shape{2, 5});
}

}  // namespace
}  // namespace tapeloop::nn
