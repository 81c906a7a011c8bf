// SPDX-License-Identifier: MIT
// Draws the masks of a sequence, and puts them into a step.
#include "tapeloop/nn/recurrent/noise.h"

#include <fmt/format.h>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/recurrent/noise_gates.h"

namespace tapeloop::nn {

NoiseMasks NoiseMasks::within(std::int64_t first, std::int64_t count) const {
  NoiseMasks result = *this;
  if (candidates.defined()) result.candidates = candidates.slice(0, first, first + count);
  for (Tensor& mask : result.updates) {
    if (mask.defined()) mask = mask.slice(0, first, first + count);
  }
  return result;
}

namespace detail {

namespace {

// 0 with probability p, else 1 / (1 - p).
Tensor dropout_mask(const Shape& shape, double p, const Tensor& like, Random& random) {
  if (p == 0) return {};
  const Tensor one = Tensor::full({}, 1, like.dtype(), like.device());
  return dropout(Var(one.expand(shape)), p, random).value();
}

}  // namespace

void check_noise(const Noise& noise) {
  for (const double p : {noise.zoneout_h, noise.zoneout_c, noise.inputs, noise.states,
                         noise.outputs, noise.candidates, noise.weights}) {
    if (!(p >= 0 && p < 1)) {
      fail("recurrent", fmt::format("a rate of noise is {}, expected 0 <= p < 1", p));
    }
  }
}

void fail_noise_without_recurrence() {
  fail("recurrent",
       "noise needs a cell with recurrence(): a cell with step() alone does not say where its "
       "products are; write the step as a Recurrence, or leave noise at its default");
}

void fail_noise_of_candidates() {
  fail("recurrent",
       "noise.candidates needs a cell with `Recurrence recurrence(const of::Source& mask) const`, "
       "which multiplies its candidate by the mask, as nn::LstmCell and nn::GruCell have it; take "
       "another kind of noise, or add that function to the cell");
}

static double zoneout_of(const Noise& noise, std::size_t part) {
  return part == 0 ? noise.zoneout_h : noise.zoneout_c;
}
static bool zones(const Noise& noise, std::size_t parts) {
  return noise.zoneout_h != 0 || (noise.zoneout_c != 0 && parts > 1);
}

NoiseMasks mean_noise(const Noise& noise, std::size_t parts) {
  NoiseMasks result;
  for (std::size_t k = 0; zones(noise, parts) && k < parts; ++k) {
    result.mean_updates.push_back(1 - zoneout_of(noise, k));
  }
  return result;
}

NoiseMasks draw_noise(const Noise& noise, const Recurrence& recurrence,
                      std::span<const std::int64_t> sizes, const Var& xs, Random& random) {
  if (Tape::current() == nullptr) return mean_noise(noise, sizes.size());
  NoiseMasks result;
  const PauseRecording pause;
  const Tensor& like = xs.value();
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1);
  const auto mask = [&](std::int64_t size, double p) {
    return dropout_mask({batch, size}, p, like, random);
  };
  result.inputs = mask(xs.dim(2), noise.inputs);
  result.states = mask(sizes[0], noise.states);
  result.outputs = mask(sizes[0], noise.outputs);
  if (noise.candidates != 0) {
    result.candidates = dropout_mask({steps, batch, sizes.back()}, noise.candidates, like, random);
  }
  for (const Var& w : recurrence.weights()) {
    if (noise.weights != 0) {
      result.weights.push_back(dropout_mask(w.shape(), noise.weights, like, random));
    }
  }
  for (std::size_t k = 0; zones(noise, sizes.size()) && k < sizes.size(); ++k) {
    result.updates.push_back(
        dropout_mask({steps, batch, sizes[k]}, zoneout_of(noise, k), like, random));
  }
  return result;
}

of::Source mask_source(const Tensor& mask, const Schedule* schedule) {
  if (schedule == nullptr) return of::extra(mask);
  const Tensor flat = mask.contiguous().reshape(Shape{mask.dim(0) * mask.dim(1), mask.dim(2)});
  return of::extra(to_nodes(*schedule, Var(flat)).value());
}

Recurrence with_noise(Recurrence r, const NoiseMasks& masks, std::int64_t steps, std::int64_t batch,
                      const Schedule* schedule) {
  if (!masks.in_step() || !r.defined()) return r;
  const auto rows = [&](const Tensor& mask) { return mask_source(mask, schedule); };
  for (std::size_t i = 0; i < masks.weights.size(); ++i) {
    r.set_weight(i, r.weights()[i] * Var(masks.weights[i]));
  }
  if (masks.states.defined()) {
    const Tensor all = masks.states.expand({steps, batch, masks.states.dim(1)});
    r.before_products(0, Masked{}, rows(all));
  }
  auto next = r.next_parts();
  for (std::size_t k = 0; k < next.size(); ++k) {
    const of::Source old = of::state(static_cast<int>(k));
    if (k < masks.updates.size() && masks.updates[k].defined()) {
      next[k] = r.stage(Choose{}, rows(masks.updates[k]), next[k], old)[0];
    } else if (k < masks.mean_updates.size() && masks.mean_updates[k] != 1) {
      next[k] = r.stage(MixBy{masks.mean_updates[k]}, next[k], old)[0];
    }
  }
  r.next(next);
  return r;
}

Var times_mask(const Var& x, const Tensor& mask) { return mask.defined() ? x * Var(mask) : x; }

}  // namespace detail

}  // namespace tapeloop::nn
