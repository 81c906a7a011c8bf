// SPDX-License-Identifier: MIT
// Noise in a recurrence, against overfitting: for any cell with recurrence(). Noise says how much;
// NoiseMasks are the numbers of one sequence.
//   T time steps, N batch, I input size, H size of h.
#pragma once

#include <span>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/nn/recurrent/option_table.h"

namespace tapeloop::nn {

// nn::Recurrent refuses a kind of noise that its cell does not have. Acts while a tape records.
// Masks depend only on the stream of random numbers, not on the device.
struct Noise {
  // Zoneout, Krueger et al. 2016, arXiv:1606.01305: each unit of h (zoneout_h), or of the other
  // parts of the state (zoneout_c), keeps its old value with this probability. Without a tape the
  // new state is the mean. Parts that are no memories stay as they are: the waits of a clockwork
  // RNN, the gates in the state of a FullGateLstm (cell.h).
  double zoneout_h = 0;
  double zoneout_c = 0;
  // Variational dropout, Gal & Ghahramani 2015, arXiv:1512.05287: the rates for the layer's inputs,
  // for the states h where the step's products read them, and for the layer's outputs. A sequence
  // has one mask for all of its steps. `states` does not act on a product that reads a result of a
  // formula of h: that of the candidate in a GRU with reset before, an MGU or a MUT, and those of
  // the layers of a recurrent highway network above the first.
  double inputs = 0;
  double states = 0;
  double outputs = 0;
  // Inputs and states have a mask for each gate, not one for all. Only for cells whose formulas
  // read their products of h gate by gate. Cost: a product of h for each gate, as many
  // multiplications as before; and the whole input() once for each gate.
  bool untied = false;
  // Recurrent dropout without memory loss, Semeniuta et al. 2016, arXiv:1603.05118: the rate for
  // the candidate that a step adds to its memory, with a mask for each step. Only for cells that
  // have recurrence(mask), as nn::LstmCell and nn::GruCell do.
  double candidates = 0;
  // Weight drop, Merity et al. 2017, arXiv:1708.02182: the rate for the weights of the step's
  // products that have a gradient.
  double weights = 0;

  // Whether there is any.
  bool wanted() const {
    return zoneout_h != 0 || zoneout_c != 0 || inputs != 0 || states != 0 || outputs != 0 ||
           candidates != 0 || weights != 0;
  }
  void visit(OptionTable& table) {
    table("zoneout_h", zoneout_h), table("zoneout_c", zoneout_c), table("inputs", inputs);
    table("states", states), table("outputs", outputs), table("untied", untied);
    table("candidates", candidates), table("weights", weights);
  }
};

// The factors. An undefined or empty mask has no effect.
struct NoiseMasks {
  Tensor inputs;               // [N, I]: 0, or 1 / (1 - p); [G, N, I] for G gates apart
  Tensor states;               // [N, H], or [G, N, H]
  Tensor outputs;              // [N, H]
  Tensor candidates;           // [T, N, H]
  PoolVector<Tensor> weights;  // by weight of the recurrence, of its shape
  // By part of the state, [T, N, size]: a unit takes its new value where this is above 0, else it
  // keeps the old one.
  PoolVector<Tensor> updates;
  // By part, if there are no updates: the share of the new value.
  PoolVector<double> mean_updates;

  // in_step(): whether a step has some of them; any(): whether there are any.
  bool in_step() const {
    return states.defined() || candidates.defined() || !weights.empty() || !updates.empty() ||
           !mean_updates.empty();
  }
  bool any() const { return in_step() || inputs.defined() || outputs.defined(); }
  // The masks of time steps first .. first + count - 1.
  NoiseMasks within(std::int64_t first, std::int64_t count) const;
};

namespace detail {

// Throws unless all rates are probabilities below 1.
void check_noise(const Noise& noise);
// Throws if a step has nothing that the noise could act on.
void check_noise(const Noise& noise, const Recurrence& recurrence,
                 std::span<const std::int64_t> state_sizes, std::size_t zoned_parts);
// Throws unless the masks of steps fit T time steps of N rows and the sizes of the state.
void check_masks(const NoiseMasks& masks, std::span<const std::int64_t> state_sizes,
                 std::int64_t steps, std::int64_t batch);
// The noise without a tape: the mean of zoneout. zoned_parts: the parts that zoneout acts on.
NoiseMasks mean_noise(const Noise& noise, std::size_t zoned_parts);
// Draws masks for xs [T, N, I] if a tape records; else returns mean_noise(). state_sizes: of each
// part of the state, h first.
NoiseMasks draw_noise(const Noise& noise, const Recurrence& recurrence,
                      std::span<const std::int64_t> state_sizes, std::size_t zoned_parts,
                      const Var& xs, Random& random);
// A mask [T, N, size] as a source: in the order of the schedule, if there is one.
of::Source mask_source(const Tensor& mask, const Schedule* schedule);
// The step with the masks in it, except that of the candidate, for T time steps of N rows. A gate
// has gate_rows rows. The masks are in the order of the schedule, if there is one.
Recurrence with_noise(Recurrence recurrence, const NoiseMasks& masks, std::int64_t gate_rows,
                      std::int64_t steps, std::int64_t batch, const Schedule* schedule = nullptr);
// x [T, N, size] times a mask [N, size] or an undefined one. Errors call the mask `name`.
Var times_mask(const char* name, const Var& x, const Tensor& mask);
// project(x) of x [T, N, I] times the mask. With a mask for each gate: the columns of gate g are
// those of project(x times mask g).
template <class Project>
Var project_masked(const Var& x, const Tensor& mask, Project project);
[[noreturn]] void fail_columns_of_gates(std::int64_t columns, std::int64_t gates);
[[noreturn]] void fail_noise_of_projected_inputs();
[[noreturn]] void fail_noise_without_recurrence();
[[noreturn]] void fail_noise_of_candidates();

template <class Project>
Var project_masked(const Var& x, const Tensor& mask, Project project) {
  if (!mask.defined() || mask.rank() != 3) return project(times_mask("inputs", x, mask));
  const std::int64_t gates = mask.dim(0);
  PoolVector<Var> columns;
  for (std::int64_t g = 0; g < gates; ++g) {
    const Var z = project(times_mask("inputs", x, mask.select(0, g)));
    const std::int64_t all = z.dim(z.rank() - 1), own = all / gates;
    if (own * gates != all) fail_columns_of_gates(all, gates);
    columns.push_back(slice(z, z.rank() - 1, g * own, (g + 1) * own));
  }
  return concat(columns, columns[0].rank() - 1);
}

}  // namespace detail

}  // namespace tapeloop::nn
