// SPDX-License-Identifier: MIT
// Batch normalisation: values, derivatives, running statistics, buffers of modules; the LSTM with
// recurrent batch normalisation against a loop in plain numbers.
#include <cmath>
#include <string>

#include "tapeloop/autograd/ops/convolution.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/nn/save/checkpoint.h"
#include "tapeloop/tapeloop.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::random_tensor;
using test::throws_with;
using Numbers = std::vector<double>;

Numbers numbers(const Var& x) { return x.value().to_vector<double>(); }

// The mean and biased variance of channel c of x [N, C, positions].
std::pair<double, double> moments_of(const Tensor& x, std::int64_t c) {
  const std::int64_t n = x.dim(0), channels = x.dim(1), positions = x.numel() / (n * channels);
  const Numbers all = x.to_vector<double>();
  double sum = 0, squares = 0;
  const auto each = [&](const auto& use) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t p = 0; p < positions; ++p) {
        use(all[static_cast<std::size_t>((i * channels + c) * positions + p)]);
      }
    }
  };
  const double count = static_cast<double>(n * positions);
  each([&](double value) { sum += value; });
  each([&](double value) { squares += std::pow(value - sum / count, 2); });
  return {sum / count, squares / count};
}

}  // namespace

TEST_CASE("batch norm normalises each channel, and its running statistics follow") {
  for (const Shape& shape : {Shape{5, 3}, Shape{2, 3, 7}, Shape{3, 3, 1, 5}}) {
    CAPTURE(shape.str());
    const BatchNorm norm(3, 1e-3, 0.25, DType::float64);
    norm.weight.value().copy_from(random_tensor({3}, 1));
    norm.bias.value().copy_from(random_tensor({3}, 2));
    const Var x(random_tensor(shape, 3));
    const std::int64_t elements = x.numel() / 3;  // of a channel
    const double count = static_cast<double>(elements);
    Var y;
    {
      Tape tape;
      y = norm(x).detach();
    }
    const Var later = norm(x);  // without a tape
    for (std::int64_t c = 0; c < 3; ++c) {
      const auto [mean, variance] = moments_of(x.value(), c);
      const double weight = norm.weight.value().at({c}), bias = norm.bias.value().at({c});
      const double running_mean = 0.25 * mean;
      const double running_var = 0.75 + 0.25 * variance * count / (count - 1);
      CHECK(norm.running_mean.value().at({c}) == doctest::Approx(running_mean).epsilon(1e-12));
      CHECK(norm.running_var.value().at({c}) == doctest::Approx(running_var).epsilon(1e-12));
      const auto channel = [&](const Var& from) {
        return numbers(Var(select_index(from, 1, c).value().contiguous()));
      };
      const Numbers in = channel(x), out = channel(y), after = channel(later);
      for (std::size_t i = 0; i < in.size(); ++i) {
        const double expected = (in[i] - mean) / std::sqrt(variance + 1e-3) * weight + bias;
        const double running =
            (in[i] - running_mean) / std::sqrt(running_var + 1e-3) * weight + bias;
        CHECK(std::abs(out[i] - expected) < 1e-12);
        CHECK(std::abs(after[i] - running) < 1e-12);
      }
    }
    CHECK(norm.num_batches_tracked.item() == 1);
  }
}

TEST_CASE("equal elements share the gradient of max_pool2d") {
  const Var x = parameter(Tensor::full({1, 1, 2, 2}, 3, DType::float64));
  Tape tape;
  tape.backward(sum(max_pool2d(x)));
  CHECK(numbers(x.grad()) == Numbers(4, 0.25));
}

TEST_CASE("gradients of batch norm are right to second order, also of a frozen one") {
  BatchNorm norm(2, 1e-5, 0.1, DType::float64);
  init::uniform(norm.weight, 0.5, 1.5, *std::make_unique<Random>(4));
  const Var x = parameter(random_tensor({3, 2, 4}, 5));
  ParameterList list = parameters(norm);
  list.push_back({"x", x});
  for (const bool frozen : {false, true}) {
    norm.frozen = frozen;
    for (const bool second : {false, true}) {
      const GradcheckReport report =
          gradcheck([&] { return PoolVector<Var>{tanh(norm(x))}; }, list, {.second_order = second});
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("buffers are saved, loaded, converted and no parameters") {
  const test::Folder folder;
  const BatchNorm norm(3);
  CHECK(parameters(norm).size() == 2);
  CHECK(parameter_count(norm) == 6);
  REQUIRE(buffers(norm).size() == 3);
  CHECK(buffers(norm)[0].name == "running_mean");
  {
    Tape tape;
    norm(Var(random_tensor({4, 3}, 6).to(DType::float32)));
  }
  save(folder.file(), norm);
  const BatchNorm other(3);
  load(folder.file(), other);
  CHECK(test::same_bits(norm.running_var.value(), other.running_var.value()));
  CHECK(other.num_batches_tracked.item() == 1);
  // PyTorch counts in int64.
  StateDict saved = state_dict(norm);
  saved.back().tensor = Tensor::from<std::int64_t>({}, {7});
  load_state_dict(other, saved);
  CHECK(other.num_batches_tracked.item() == 7);
  convert(other, DType::float64);
  CHECK(other.running_mean.dtype() == DType::float64);
  saved.pop_back();
  CHECK(throws_with("num_batches_tracked|missing", [&] { load_state_dict(other, saved); }));
}

TEST_CASE("recompute moves running statistics once") {
  const BatchNorm norm(3, 1e-5, 0.1, DType::float64), again(3, 1e-5, 0.1, DType::float64);
  const Var x = parameter(random_tensor({4, 3}, 7));
  {
    Tape tape;
    tape.backward(sum(square(norm(x))));
  }
  {
    Tape tape;
    const auto part = [&](std::span<const Var> in) { return PoolVector<Var>{again(in[0])}; };
    tape.backward(sum(square(recompute(std::span(&x, 1), part)[0])));
  }
  CHECK(test::same_bits(norm.running_mean.value(), again.running_mean.value()));
  CHECK(again.num_batches_tracked.item() == 1);
}

TEST_CASE("batch norm refuses what it cannot normalise") {
  CHECK(throws_with("channels is 0|1 or more", [] { BatchNorm(0); }));
  CHECK(throws_with("epsilon is -1", [] { BatchNorm(2, -1); }));
  CHECK(throws_with("momentum is 2|0 to 1", [] { BatchNorm(2, 1e-5, 2); }));
  const BatchNorm norm(3, 1e-5, 0.1, DType::float64);
  CHECK(throws_with("x is [4, 2]|[N, 3, ..]", [&] { norm(Var(random_tensor({4, 2}))); }));
  Tape tape;
  CHECK(throws_with("[1, 3]|1 element|two or more|frozen", [&] {
    norm(Var(random_tensor({1, 3})));
  }));
}

// --- the LSTM ---

namespace {

constexpr std::int64_t kBatch = 3, kInputs = 2, kUnits = 2;

BatchNormLstm made_lstm(std::int64_t steps, bool bidirectional = false) {
  Random random(8);
  BatchNormLstm model(
      {.input = kInputs, .hidden = kUnits, .bidirectional = bidirectional, .dtype = DType::float64},
      random, {.steps = steps, .momentum = 0.5});
  for (const NamedVar& p : parameters(model)) init::uniform(p.var, -1, 1, random);
  return model;
}

double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

// BN of a column, by the formula.
Numbers normalised(const Numbers& x, double weight, double bias, double mean, double variance) {
  Numbers result;
  for (const double value : x) {
    result.push_back((value - mean) / std::sqrt(variance + 1e-5) * weight + bias);
  }
  return result;
}

struct Statistics {
  Numbers mean, variance;  // by channel
};

}  // namespace

TEST_CASE("the batch-norm LSTM is its formula, with statistics of each time step") {
  constexpr std::int64_t kSteps = 4, kKept = 3;
  const BatchNormLstm model = made_lstm(kKept);
  const BatchNormLstmCell& cell = model.cells()[0];
  const Tensor xs = random_tensor({kSteps, kBatch, kInputs}, 9);
  const auto at = [](const Var& x, std::int64_t i, std::int64_t j) { return x.value().at({i, j}); };
  std::vector<Statistics> seen;  // of W_hh h, by step
  // learn: by the batch's statistics; else by the running ones.
  const auto check = [&](const Tensor& ys, bool learn) {
    std::vector<Numbers> h(kUnits, Numbers(kBatch, 0)), c = h;
    for (std::int64_t t = 0; t < kSteps; ++t) {
      const std::int64_t row = std::min(t, kKept - 1);
      Statistics of_h;
      const auto norm = [&](const detail::StepNorm& bn, std::int64_t channel, const Numbers& x,
                            bool noted = false) {
        double mean = 0, variance = 0;
        for (const double value : x) mean += value / kBatch;
        for (const double value : x) variance += std::pow(value - mean, 2) / kBatch;
        if (noted) of_h.mean.push_back(mean), of_h.variance.push_back(variance);
        if (!learn) {
          mean = at(bn.running_mean, row, channel), variance = at(bn.running_var, row, channel);
        }
        const double bias = bn.bias.defined() ? bn.bias.value().at({channel}) : 0;
        return normalised(x, bn.weight.value().at({channel}), bias, mean, variance);
      };
      std::vector<Numbers> z;
      for (std::int64_t k = 0; k < 4 * kUnits; ++k) {
        Numbers from_x(kBatch, 0), from_h(kBatch, 0);
        for (std::int64_t n = 0; n < kBatch; ++n) {
          const auto i = static_cast<std::size_t>(n);
          for (std::int64_t j = 0; j < kInputs; ++j) {
            from_x[i] += at(cell.w.weight_ih, k, j) * xs.at({t, n, j});
          }
          for (std::int64_t j = 0; j < kUnits; ++j) {
            from_h[i] += at(cell.w.weight_hh, k, j) * h[static_cast<std::size_t>(j)][i];
          }
        }
        from_x = norm(cell.bn_ih, k, from_x), from_h = norm(cell.bn_hh, k, from_h, true);
        for (std::size_t n = 0; n < kBatch; ++n) {
          from_x[n] += from_h[n] + cell.w.bias_ih.value().at({k});
        }
        z.push_back(from_x);
      }
      for (std::size_t u = 0; u < kUnits; ++u) {
        for (std::size_t n = 0; n < kBatch; ++n) {
          c[u][n] = sigmoid_of(z[kUnits + u][n]) * c[u][n] +
                    sigmoid_of(z[u][n]) * std::tanh(z[2 * kUnits + u][n]);
        }
        const Numbers out = norm(cell.bn_c, static_cast<std::int64_t>(u), c[u]);
        for (std::size_t n = 0; n < kBatch; ++n) {
          h[u][n] = sigmoid_of(z[3 * kUnits + u][n]) * std::tanh(out[n]);
          const double y = ys.at({t, static_cast<std::int64_t>(n), static_cast<std::int64_t>(u)});
          CHECK(std::abs(y - h[u][n]) < 1e-12);
        }
      }
      if (learn) seen.push_back(of_h);
    }
  };
  {
    Tape tape;
    check(model(Var(xs)).ys.value().clone(), true);
  }
  // Half of the way from 0 and 1, with the unbiased variance; the last step has no statistics.
  for (std::int64_t t = 0; t < kKept; ++t) {
    for (std::int64_t k = 0; k < 4 * kUnits; ++k) {
      const Statistics& s = seen[static_cast<std::size_t>(t)];
      const auto i = static_cast<std::size_t>(k);
      CHECK(std::abs(at(cell.bn_hh.running_mean, t, k) - s.mean[i] / 2) < 1e-12);
      const double unbiased = s.variance[i] * kBatch / (kBatch - 1);
      CHECK(std::abs(at(cell.bn_hh.running_var, t, k) - (1 + unbiased) / 2) < 1e-12);
    }
  }
  check(model(Var(xs)).ys.value(), false);
}

TEST_CASE("the batch-norm LSTM: derivatives, single steps, parts of a sequence, both directions") {
  const BatchNormLstm model = made_lstm(5, true);
  const Var xs = parameter(random_tensor({4, kBatch, kInputs}, 10));
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
  // By the running statistics: a part at a time, and a step at a time.
  const BatchNormLstmCell& cell = model.cells()[0];
  const auto [ys, last] = unroll(cell, xs);
  const auto first = unroll(cell, slice(xs, 0, 0, 3));
  const auto rest = unroll(cell, slice(xs, 0, 3, 4), first.last);
  CHECK(test::distance(rest.ys.value(), slice(ys, 0, 3, 4).value()) < 1e-14);
  CHECK(rest.last[2].value().at({2, 0}) == 4);
  BatchNormLstmCell::State state;
  for (std::int64_t t = 0; t < 4; ++t) {
    state = cell.step(cell.input(select_index(xs, 0, t)), state);
    CHECK(test::distance(state.h().value(), select_index(ys, 0, t).value()) < 1e-14);
  }
}

TEST_CASE("the batch-norm LSTM refuses batches whose rows differ, and batches of one row") {
  const BatchNormLstm model = made_lstm(5);
  const Var xs(random_tensor({4, kBatch, kInputs}, 11));
  const std::int64_t same[] = {4, 4, 4}, lengths[] = {4, 2, 4};
  const std::uint8_t begins[4 * kBatch] = {};
  CHECK(model(xs, {}, same).ys.dim(0) == 4);
  CHECK(throws_with("lengths below T|normalises over the batch", [&] { model(xs, {}, lengths); }));
  CHECK(throws_with("resets|sequences of one length", [&] { model(xs, {}, {}, begins); }));
  const AnyCell any = AnyCell::of(model.cells()[0]);
  CHECK(throws_with("lengths below T", [&] { unroll(any, xs, {}, {.lengths = lengths}); }));
  Random random(12);
  CHECK(throws_with("steps is 0",
                    [&] { BatchNormLstm({.input = 1, .hidden = 1}, random, {.steps = 0}); }));
  Tape tape;
  CHECK(throws_with("one row|two or more", [&] { model(slice(xs, 1, 0, 1)); }));
}

}  // namespace tapeloop::nn
