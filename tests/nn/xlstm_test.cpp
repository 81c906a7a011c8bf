// SPDX-License-Identifier: MIT
// Blocks of an xLSTM and their stack: gradients, sequences in parts and of different lengths,
// names, errors. The reference case xlstm_package has outputs of the authors' package.
#include "tapeloop/nn/nn.h"
#include "tests/allocations.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;

XlstmOptions small() {
  return {.features = 4,
          .blocks = 3,
          .slstm_at = {1},
          .heads = 2,
          .taps = 3,
          .qkv_block = 2,
          .mlp_factor = 1.5,
          .round_to = 2,
          .chunk = 2,
          .dtype = DType::float64};
}

// With weights that are large enough to matter.
Xlstm made(const XlstmOptions& options = small()) {
  Random random(3);
  Xlstm model(options, random);
  for (const NamedVar& p : parameters(model)) init::uniform(p.var, -0.8, 0.8, random);
  return model;
}

double distance(const Var& a, const Var& b) { return test::distance(a.value(), b.value()); }

}  // namespace

TEST_CASE("gradients of an xLSTM are right to second order") {
  XlstmOptions options = small();
  options.bias = true;
  const Xlstm model = made(options);
  const Var xs = parameter(random_tensor({3, 2, 4}, 7));
  ParameterList list = parameters(model);
  list.push_back({"xs", xs});
  const std::int64_t lengths[] = {3, 1};
  for (const bool second : {false, true}) {
    const GradcheckReport report =
        gradcheck([&] { return model(xs, {}, lengths).ys; }, list, {.second_order = second});
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("an xLSTM gives for two parts of a sequence what it gives for the whole") {
  const Xlstm model = made();
  const Var xs(random_tensor({7, 2, 4}, 8));
  const Var whole = model(xs).ys;
  const auto first = model(slice(xs, 0, 0, 3));
  const auto second = model(slice(xs, 0, 3, 7), first.last);
  CHECK(distance(concat({first.ys, second.ys}, 0), whole) < 1e-12);
}

TEST_CASE("an xLSTM with lengths gives for each sequence what it gives for that sequence alone") {
  const Xlstm model = made();
  Tensor padded = random_tensor({6, 3, 4}, 9);
  const Var xs(padded.clone());
  const std::int64_t lengths[] = {6, 2, 4};
  padded.slice(0, 2, 6).select(1, 1).fill(NAN);
  padded.slice(0, 4, 6).select(1, 2).fill(NAN);
  const auto all = model(Var(padded), {}, lengths);
  for (std::int64_t n = 0; n < 3; ++n) {
    const std::int64_t length = lengths[n];
    const auto alone = model(slice(slice(xs, 1, n, n + 1), 0, 0, length));
    CHECK(distance(slice(slice(all.ys, 1, n, n + 1), 0, 0, length), alone.ys) < 1e-12);
    if (length < 6) {
      CHECK(max(abs(slice(slice(all.ys, 1, n, n + 1), 0, length, 6)), {0, 1, 2}).item() == 0);
    }
    for (std::size_t b = 0; b < 3; ++b) {
      const auto& a = all.last[b];
      const auto& o = alone.last[b];
      CHECK(distance(slice(a.convolution, 1, n, n + 1), o.convolution) < 1e-12);
      for (std::size_t k = 0; k < 4; ++k) {
        CHECK(distance(slice(a.cell[k], 0, n, n + 1), o.cell[k]) < 1e-12);
      }
    }
  }
}

TEST_CASE("a stepper streams an xLSTM without allocation, and again after a reset") {
  XlstmOptions options = small();
  options.dtype = DType::float32;
  options.bias = true;
  const Xlstm model = made(options);
  const Tensor xs = random_tensor({7, 1, 4}, 8, DType::float32);
  Stepper stepper = make_stepper(model);
  std::vector<std::vector<float>> inputs;
  for (std::int64_t t = 0; t < 7; ++t) inputs.push_back(xs.select(0, t).to_vector<float>());
  nn::convert(model, DType::float64);
  const Var ys = model(Var(xs.to(DType::float64))).ys;
  std::vector<float> y(4);
  const bool counts = test::can_count_allocations();
  REQUIRE(stepper.step(inputs[0], y));  // formulas are checked at their first use
  stepper.reset();
  for (int run = 0; run < 2; ++run) {
    for (std::int64_t t = 0; t < 7; ++t) {
      const std::int64_t before = test::allocations();
      REQUIRE(stepper.step(inputs[static_cast<std::size_t>(t)], y));
      const std::int64_t made = test::allocations() - before;
      if (counts) CHECK(made == 0);
      const std::vector<double> expected = ys.value().select(0, t).to_vector<double>();
      CHECK(test::distance(std::vector<double>(y.begin(), y.end()), expected) < 2e-5);
    }
    stepper.reset();
  }
  CHECK(test::throws_with("stepper: |: float64|expected float32 on the cpu",
                          [&] { make_stepper(model); }));
}

TEST_CASE("the weights of an xLSTM have the names of the authors' package") {
  const Xlstm model = made();
  std::string names;
  for (const NamedVar& p : parameters(model)) names += p.name + " ";
  for (const char* name :
       {"blocks.0.xlstm_norm.weight", "blocks.0.xlstm.proj_up.weight",
        "blocks.0.xlstm.q_proj.weight", "blocks.0.xlstm.conv1d.conv.bias",
        "blocks.0.xlstm.mlstm_cell.fgate.bias", "blocks.0.xlstm.mlstm_cell.outnorm.weight",
        "blocks.0.xlstm.learnable_skip", "blocks.0.xlstm.proj_down.weight",
        "blocks.1.xlstm.zgate.weight", "blocks.1.xlstm.group_norm.weight",
        "blocks.1.ffn_norm.weight", "blocks.1.ffn.proj_down.weight", "post_blocks_norm.weight"}) {
    CHECK_MESSAGE(names.find(std::string(name) + " ") != std::string::npos, name);
  }
}

TEST_CASE("an xLSTM refuses sizes that do not fit") {
  Random random(1);
  XlstmOptions options = small();
  options.slstm_at = {3};
  CHECK(test::throws_with("xlstm: slstm_at has 3, expected numbers of blocks from 0 to 2",
                          [&] { Xlstm(options, random); }));
  options = small();
  options.features = 0;
  CHECK(test::throws_with("xlstm: features are 0, blocks 3", [&] { Xlstm(options, random); }));
  options = small();
  options.qkv_block = 3;
  CHECK(test::throws_with("xlstm: an mLSTM block has 8 features, 2 heads and blocks of 3",
                          [&] { Xlstm(options, random); }));
  options = small();
  options.taps = 0;
  CHECK(test::throws_with("causal_convolution: the taps are 0, expected 1 or more",
                          [&] { Xlstm(options, random); }));
  const Xlstm model = made();
  CHECK(test::throws_with("xlstm: xs is [3, 2, 5], expected [T, N, 4]", [&] {
    model(Var(random_tensor({3, 2, 5}, 1)));
  }));
  CHECK(test::throws_with("xlstm: 1 states were given, expected one for each of 3 blocks", [&] {
    model(Var(random_tensor({3, 2, 4}, 1)), std::vector<XlstmState>(1));
  }));
}

}  // namespace tapeloop::nn
