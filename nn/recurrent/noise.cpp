// SPDX-License-Identifier: MIT
// Draws the masks of a sequence, and puts them into a step.
#include "tapeloop/nn/recurrent/noise.h"

#include <fmt/format.h>

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

// Whether a product of the step reads h itself.
static bool has_product_of_h(const Recurrence& recurrence) {
  const StepLayout& layout = recurrence.layout();
  for (int p = 0; p < layout.predecessors(); ++p) {
    const int h = layout.state_value(0, p);
    for (const StepLayout::Operation& op : layout.operations) {
      for (const StepLayout::Term& term : op.terms) {
        if (h >= 0 && term.x.value == h) return true;
      }
    }
  }
  return false;
}

// The masks of G gates apart: G is the number of blocks of the products of h. 0: one for all gates.
static std::int64_t gates_apart(const Noise& noise, const Recurrence& recurrence,
                                std::span<const std::int64_t> sizes) {
  if (!noise.untied || (noise.inputs == 0 && noise.states == 0)) return 0;
  return recurrence.product_blocks(0, sizes.back());
}

void check_noise(const Noise& noise, const Recurrence& recurrence,
                 std::span<const std::int64_t> state_sizes, std::size_t zoned_parts) {
  const auto refuse = [](const char* kind, double rate, const char* why) {
    fail("recurrent", fmt::format("noise.{} is {}, but {}; leave it at 0, or take another kind of "
                                  "noise",
                                  kind, rate, why));
  };
  if (noise.zoneout_c != 0 && zoned_parts < 2) {
    refuse("zoneout_c", noise.zoneout_c, "the cell has no memory besides h");
  }
  if (!recurrence.defined()) return;
  if (noise.weights != 0 && recurrence.weights().empty()) {
    refuse("weights", noise.weights, "the cell's step has no products");
  }
  if (noise.states != 0 && !has_product_of_h(recurrence)) {
    refuse("states", noise.states, "no product of the cell's step reads h");
  }
  if (noise.untied && !has_product_of_h(recurrence)) {
    fail("recurrent",
         "noise.untied is true, but no product of the cell's step reads h, so the "
         "gates are not known; leave it at false");
  }
  (void)gates_apart(noise, recurrence, state_sizes);  // throws if gates cannot be apart
}

static void check_mask(const char* name, const Tensor& mask, const Shape& expected) {
  if (!mask.defined() || mask.shape() == expected) return;
  fail("noise",
       fmt::format("the mask {} is {}, expected {}", name, mask.shape().str(), expected.str()));
}

void check_masks(const NoiseMasks& masks, std::span<const std::int64_t> sizes, std::int64_t steps,
                 std::int64_t batch) {
  if (!masks.any()) return;
  if (masks.states.defined() && masks.states.rank() == 3) {
    check_mask("states", masks.states, {masks.states.dim(0), batch, sizes[0]});
  } else {
    check_mask("states", masks.states, {batch, sizes[0]});
  }
  check_mask("outputs", masks.outputs, {batch, sizes[0]});
  check_mask("candidates", masks.candidates, {steps, batch, sizes.back()});
  if (masks.updates.size() > sizes.size() || masks.mean_updates.size() > sizes.size()) {
    fail("noise", fmt::format("{} updates and {} mean_updates were given, expected at most one for "
                              "each of the {} parts of the state",
                              masks.updates.size(), masks.mean_updates.size(), sizes.size()));
  }
  for (std::size_t k = 0; k < masks.updates.size(); ++k) {
    check_mask("updates", masks.updates[k], {steps, batch, sizes[k]});
  }
  for (const double share : masks.mean_updates) {
    if (!(share >= 0 && share <= 1)) {
      fail("noise", fmt::format("a share of mean_updates is {}, expected 0 to 1", share));
    }
  }
}

void fail_columns_of_gates(std::int64_t columns, std::int64_t gates) {
  fail("noise",
       fmt::format("the inputs have masks for {} gates, but input() made {} columns, which "
                   "are not as many for each gate; give one mask for all gates",
                   gates, columns));
}

void fail_noise_of_projected_inputs() {
  fail("unroll",
       "noise.inputs was given with Projected, whose inputs are projected already; give the inputs "
       "themselves, or multiply them by the mask before the projection");
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

NoiseMasks mean_noise(const Noise& noise, std::size_t zoned_parts) {
  NoiseMasks result;
  for (std::size_t k = 0; zones(noise, zoned_parts) && k < zoned_parts; ++k) {
    result.mean_updates.push_back(1 - zoneout_of(noise, k));
  }
  return result;
}

NoiseMasks draw_noise(const Noise& noise, const Recurrence& recurrence,
                      std::span<const std::int64_t> sizes, std::size_t zoned_parts, const Var& xs,
                      Random& random) {
  if (Tape::current() == nullptr) return mean_noise(noise, zoned_parts);
  NoiseMasks result;
  const PauseRecording pause;
  const Tensor& like = xs.value();
  const std::int64_t steps = xs.dim(0), batch = xs.dim(1);
  const std::int64_t gates = gates_apart(noise, recurrence, sizes);
  const auto mask = [&](std::int64_t size, double p) {
    return dropout_mask(gates > 0 ? Shape{gates, batch, size} : Shape{batch, size}, p, like,
                        random);
  };
  result.inputs = mask(xs.dim(2), noise.inputs);
  result.states = mask(sizes[0], noise.states);
  result.outputs = dropout_mask({batch, sizes[0]}, noise.outputs, like, random);
  if (noise.candidates != 0) {
    result.candidates = dropout_mask({steps, batch, sizes.back()}, noise.candidates, like, random);
  }
  for (const Var& w : recurrence.weights()) {
    if (noise.weights == 0) break;
    const bool fixed = !w.requires_grad();  // as A and B of an LMU
    result.weights.push_back(fixed ? Tensor()
                                   : dropout_mask(w.shape(), noise.weights, like, random));
  }
  for (std::size_t k = 0; zones(noise, zoned_parts) && k < zoned_parts; ++k) {
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

Recurrence with_noise(Recurrence r, const NoiseMasks& masks, std::int64_t gate_rows,
                      std::int64_t steps, std::int64_t batch, const Schedule* schedule) {
  if (!masks.in_step() || !r.defined()) return r;
  const auto rows = [&](const Tensor& mask) { return mask_source(mask, schedule); };
  if (masks.weights.size() > r.weights().size()) {
    fail("noise", fmt::format("{} masks of weights were given to a step of {} weights",
                              masks.weights.size(), r.weights().size()));
  }
  for (std::size_t i = 0; i < masks.weights.size(); ++i) {
    if (!masks.weights[i].defined()) continue;
    check_mask("weights", masks.weights[i], r.weights()[i].shape());
    r.set_weight(i, r.weights()[i] * Var(masks.weights[i]));
  }
  const auto of_all_steps = [&](const Tensor& mask) {
    return rows(mask.expand({steps, batch, mask.dim(1)}));
  };
  if (masks.states.defined() && masks.states.rank() == 3) {
    const std::int64_t gates = masks.states.dim(0);
    if (const std::int64_t blocks = r.product_blocks(0, gate_rows); blocks != gates) {
      fail("noise",
           fmt::format("the mask states is {}, expected [{}, {}, {}], a mask for each gate",
                       masks.states.shape().str(), blocks, batch, masks.states.dim(2)));
    }
    PoolVector<of::Source> of_gates;
    for (std::int64_t g = 0; g < gates; ++g)
      of_gates.push_back(of_all_steps(masks.states.select(0, g)));
    r.before_products(0, Masked{}, of_gates, gate_rows);
  } else if (masks.states.defined()) {
    r.before_products(0, Masked{}, of_all_steps(masks.states));
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

Var times_mask(const char* name, const Var& x, const Tensor& mask) {
  if (!mask.defined()) return x;
  check_mask(name, mask, {x.dim(1), x.dim(2)});
  return x * Var(mask);
}

}  // namespace detail

}  // namespace tapeloop::nn
