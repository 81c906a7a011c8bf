// SPDX-License-Identifier: MIT
// Cells with layer normalisation: their construction. The LSTM with batch normalisation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/normalised/batch_norm_lstm.h"
#include "tapeloop/nn/cells/normalised/layer_norm_gru.h"
#include "tapeloop/nn/cells/normalised/layer_norm_lstm.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace {

RecurrentOptions without_bias(RecurrentOptions options) {
  options.bias = false;
  return options;
}
LayerNorm norm_of(std::int64_t features, double epsilon, const RecurrentOptions& o) {
  LayerNorm norm(features, epsilon, o.dtype);
  if (!o.bias) norm.bias = {};
  return norm;
}

}  // namespace

LayerNormLstmCell::LayerNormLstmCell(const RecurrentOptions& o, Random& random,
                                     const Options& given)
    : w("layer_norm_lstm", 4, without_bias(o), random),
      ln_hh(norm_of(4 * o.hidden, given.epsilon, o)),
      ln_c(norm_of(o.hidden, given.epsilon, o)),
      own(given) {
  if (own.norm == GateNorm::whole) ln_ih = norm_of(4 * o.hidden, own.epsilon, o);
  if (!std::isfinite(own.forget_bias) || (own.forget_bias != 0 && !o.bias)) {
    fail(
        "layer_norm_lstm",
        fmt::format("forget_bias is {} and bias {}; expected a finite number, and 0 without biases",
                    own.forget_bias, o.bias));
  }
  if (own.forget_bias != 0) init::forget_gate_bias(ln_hh.bias, own.forget_bias);
}

LayerNormGruCell::LayerNormGruCell(const RecurrentOptions& o, Random& random, const Options& own)
    : w("layer_norm_gru", 3, without_bias(o), random),
      ln_ih(norm_of(3 * o.hidden, own.epsilon, o)),
      ln_hh(norm_of(3 * o.hidden, own.epsilon, o)),
      epsilon(own.epsilon) {}

// --- batch normalisation ---

namespace {

detail::StepNorm step_norm(std::int64_t channels, bool bias, const BatchNormLstmOptions& own,
                           DType dtype) {
  detail::StepNorm norm;
  norm.weight = parameter(Tensor::full({channels}, 0.1, dtype));
  if (bias) norm.bias = parameter(Tensor::zeros({channels}, dtype));
  norm.running_mean = Var(Tensor::zeros({own.steps, channels}, dtype));
  norm.running_var = Var(Tensor::full({own.steps, channels}, 1, dtype));
  return norm;
}

// The norm of values at the steps first, first + 1, .. of a batch of sequences. Keeps the
// statistics of the batch until move(), which moves the running ones.
class Normalised {
 public:
  Normalised(const detail::StepNorm& norm, const BatchNormLstmOptions& own, std::int64_t first)
      : norm_(norm), own_(own), first_(first), learns_(Tape::current() != nullptr && !own.frozen) {}

  // x [N, C] of step first + s.
  Var step(const Var& x, std::int64_t s) {
    if (learns_) return by_batch(x, detail::moments(x, {0}), false);
    const std::int64_t row = std::min(first_ + s, own_.steps - 1);
    const auto of_step = [&](const Var& running) { return slice(running, 0, row, row + 1); };
    return normalised(x, {of_step(norm_.running_mean), of_step(norm_.running_var), {}});
  }
  // x [T, N, C] of all steps; `reverse`: the last one is step `first`.
  Var steps(const Var& x, bool reverse) {
    if (learns_) return by_batch(x, detail::moments(x, {1}), reverse);
    const std::int64_t count = x.dim(0);
    const Tensor index = Tensor::empty({count}, DType::int64);
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t s = reverse ? count - 1 - t : t;
      index.data<std::int64_t>()[t] = std::min(first_ + s, own_.steps - 1);
    }
    const auto of_steps = [&](const Var& running) {
      return insert_axis(embedding(running, index.to(running.device())), 1);
    };
    return normalised(x, {of_steps(norm_.running_mean), of_steps(norm_.running_var), {}});
  }
  // After `steps` steps of n rows.
  void move(std::int64_t steps, std::int64_t n) const {
    const std::int64_t end = std::min(first_ + steps, own_.steps);
    if (!learns_ || first_ >= end) return;
    const PauseRecording pause;
    const auto of = [&](const PoolVector<Var>& list) {
      return slice(concat(list, 0), 0, 0, end - first_);
    };
    detail::move_running(norm_.running_mean.value().slice(0, first_, end),
                         norm_.running_var.value().slice(0, first_, end),
                         {of(means_), of(variances_), {}}, n, own_.momentum);
  }

 private:
  // `m`: [1, C] of a step, or [T, 1, C] of all.
  Var by_batch(const Var& x, const detail::Moments& m, bool reverse) {
    const auto note = [&](PoolVector<Var>& list, const Var& value) {
      const Var rows = reshape(value.detach(), {-1, x.dim(-1)});
      list.push_back(reverse ? flip(rows, 0) : rows);
    };
    note(means_, m.mean);
    note(variances_, m.variance);
    return normalised(x, m);
  }
  Var normalised(const Var& x, const detail::Moments& m) const {
    return detail::normalised(x, m, own_.epsilon, norm_.weight, norm_.bias);
  }

  const detail::StepNorm& norm_;
  const BatchNormLstmOptions& own_;
  std::int64_t first_;  // steps before this sequence
  bool learns_;
  PoolVector<Var> means_, variances_;  // [steps, C] each, in the order of the steps
};

}  // namespace

BatchNormLstmCell::BatchNormLstmCell(const RecurrentOptions& o, Random& random,
                                     const Options& given)
    : w(GateWeights("batch_norm_lstm", 4, o, random).with_one_bias()), own(given) {
  if (own.steps < 1) {
    fail("batch_norm_lstm", fmt::format("steps is {}, expected 1 or more", own.steps));
  }
  detail::check_batch_norm("batch_norm_lstm", own.epsilon, own.momentum);
  bn_ih = step_norm(4 * o.hidden, false, own, o.dtype);
  bn_hh = step_norm(4 * o.hidden, false, own, o.dtype);
  bn_c = step_norm(o.hidden, o.bias, own, o.dtype);
  if (own.forget_bias != 0) {
    detail::add_to_bias(w.bias_ih, o.hidden, o.hidden, own.forget_bias);
  }
}

Var BatchNormLstmCell::input(const Var& x) const {
  detail::check_features("batch_norm_lstm", x, w.weight_ih.dim(1));
  return linear(x, w.weight_ih);
}

BatchNormLstmCell::State BatchNormLstmCell::step(const Var& zx, const State& state) const {
  return run(insert_axis(zx, 0), state, false).last;
}

Unrolled<BatchNormLstmCell::State> BatchNormLstmCell::sequence(const Var& xs, const State& start,
                                                               const UnrollOptions& options) const {
  return run(input(xs), start, options.reverse);
}

Unrolled<BatchNormLstmCell::State> BatchNormLstmCell::run(const Var& zx, const State& start,
                                                          bool reverse) const {
  const std::int64_t steps = zx.dim(0), n = zx.dim(1), size = w.outputs();
  if (Tape::current() != nullptr && !own.frozen && n < 2) {
    fail("batch_norm_lstm",
         "the batch has one row, and training needs two or more; give a larger batch, or call it "
         "without a tape");
  }
  const auto zeros = [&](std::int64_t columns) {
    return Var(Tensor::zeros({n, columns}, zx.dtype(), zx.device()));
  };
  Var h = start[0].defined() ? start[0] : zeros(size);
  Var c = start[1].defined() ? start[1] : zeros(size);
  const auto first =
      start[2].defined()
          ? static_cast<std::int64_t>(start[2].value().slice(0, 0, 1).to_vector<double>()[0])
          : 0;
  Normalised from_x(bn_ih, own, first), from_h(bn_hh, own, first), of_c(bn_c, own, first);
  Var z = from_x.steps(zx, reverse);
  if (w.bias_ih.defined()) z = z + w.bias_ih;
  const PoolVector<Var> inputs = unstack(z);
  PoolVector<Var> ys(inputs.size());
  for (std::int64_t s = 0; s < steps; ++s) {
    const auto t = static_cast<std::size_t>(reverse ? steps - 1 - s : s);
    const Var gates = inputs[t] + from_h.step(linear(h, w.weight_hh), s);
    c = pointwise(LstmState{}, columns<3>(slice(gates, 1, 0, 3 * size)), c);
    h = pointwise(LstmOutput{}, slice(gates, 1, 3 * size, 4 * size), of_c.step(c, s));
    ys[t] = h;
  }
  for (const Normalised* norm : {&from_x, &from_h, &of_c}) norm->move(steps, n);
  const double count = static_cast<double>(first + steps);
  return {stack(ys), State(h, c, Var(Tensor::full({n, 1}, count, zx.dtype(), zx.device())))};
}

}  // namespace tapeloop::nn
