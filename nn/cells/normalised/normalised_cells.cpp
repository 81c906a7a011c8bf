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

// The norm of values at steps first, first + 1, .. of one sequence. Notes the statistics of the
// batch, and moves the running ones when the sequence is done.
class Normalised {
 public:
  Normalised(const detail::StepNorm& norm, const BatchNormLstmOptions& own, std::int64_t first)
      : norm_(norm), own_(own), first_(first), learns_(Tape::current() != nullptr && !own.frozen) {}

  // x [N, C] of step first + s.
  Var step(const Var& x, std::int64_t s) {
    if (!learns_) {
      const std::int64_t row = std::min(first_ + s, own_.steps - 1);
      return scaled(x, {slice(norm_.running_mean, 0, row, row + 1),
                        slice(norm_.running_var, 0, row, row + 1)});
    }
    const int rows = 0;
    const detail::Moments m = detail::moments(x, std::span(&rows, 1));
    note(m);
    return scaled(x, m);
  }
  // x [T, N, C] of all steps; `order[s]`: where step first + s is.
  Var steps(const Var& x, std::span<const std::int64_t> order) {
    const std::int64_t count = x.dim(0);
    if (!learns_) {
      const Tensor index = Tensor::empty({count}, DType::int64);
      for (std::int64_t s = 0; s < count; ++s) {
        index.data<std::int64_t>()[order[static_cast<std::size_t>(s)]] =
            std::min(first_ + s, own_.steps - 1);
      }
      const auto of_steps = [&](const Var& running) {
        return insert_axis(embedding(running, index.to(running.device())), 1);
      };
      return scaled(x, {of_steps(norm_.running_mean), of_steps(norm_.running_var)});
    }
    const int rows = 1;
    const detail::Moments m = detail::moments(x, std::span(&rows, 1));
    for (const std::int64_t t : order) {
      note({select_index(m.mean.detach(), 0, t), select_index(m.variance.detach(), 0, t)});
    }
    return scaled(x, m);
  }
  // n: rows of the batch.
  void move(std::int64_t n) const {
    const auto steps = static_cast<std::int64_t>(means_.size());
    const std::int64_t end = std::min(first_ + steps, own_.steps);
    if (!learns_ || first_ >= end) return;
    const PauseRecording pause;
    const auto to = [&](const Var& running) { return running.value().slice(0, first_, end); };
    const auto all = [&](const PoolVector<Var>& list) {
      return slice(concat(list, 0), 0, 0, end - first_);
    };
    const double unbiased = static_cast<double>(n) / static_cast<double>(n - 1);
    detail::move_running(to(norm_.running_mean), all(means_).value(), own_.momentum);
    detail::move_running(to(norm_.running_var), (unbiased * all(variances_)).value(),
                         own_.momentum);
  }

 private:
  void note(const detail::Moments& m) {
    means_.push_back(m.mean.detach());
    variances_.push_back(m.variance.detach());
  }
  Var scaled(const Var& x, const detail::Moments& m) const {
    const Var y = detail::standardised(x, m, own_.epsilon) * norm_.weight;
    return norm_.bias.defined() ? y + norm_.bias : y;
  }

  const detail::StepNorm& norm_;
  const BatchNormLstmOptions& own_;
  std::int64_t first_;  // steps before this sequence
  bool learns_;
  PoolVector<Var> means_, variances_;  // [1, C] of each step
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
  PoolVector<std::int64_t> order;
  for (std::int64_t s = 0; s < steps; ++s) order.push_back(reverse ? steps - 1 - s : s);
  Normalised from_x(bn_ih, own, first), from_h(bn_hh, own, first), of_c(bn_c, own, first);
  Var z = from_x.steps(zx, order);
  if (w.bias_ih.defined()) z = z + w.bias_ih;
  const PoolVector<Var> inputs = unstack(z);
  PoolVector<Var> ys(inputs.size());
  for (std::int64_t s = 0; s < steps; ++s) {
    const auto t = static_cast<std::size_t>(order[static_cast<std::size_t>(s)]);
    const Var gates = inputs[t] + from_h.step(linear(h, w.weight_hh), s);
    c = pointwise(LstmState{}, columns<3>(slice(gates, 1, 0, 3 * size)), c);
    h = pointwise(LstmOutput{}, slice(gates, 1, 3 * size, 4 * size), of_c.step(c, s));
    ys[t] = h;
  }
  for (const Normalised* norm : {&from_x, &from_h, &of_c}) norm->move(n);
  const double count = static_cast<double>(first + steps);
  return {stack(ys), State(h, c, Var(Tensor::full({n, 1}, count, zx.dtype(), zx.device())))};
}

}  // namespace tapeloop::nn
