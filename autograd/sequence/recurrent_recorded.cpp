// SPDX-License-Identifier: MIT
// recurrent() by ordinary operations, level by level: for second derivatives. Slower than the
// kernel, and keeps the results of every operation on the tape.
#include <algorithm>
#include <optional>

#include "tapeloop/autograd/ops/linear_groups.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/edge_rows.h"
#include "tapeloop/autograd/sequence/level_states.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tape/recompute.h"

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

class ByOperations {
 public:
  ByOperations(const RecurrentRun& run, const RecurrentMemory& memory)
      : run_(run), schedule_(run.schedule), memory_(memory) {
    PoolVector<std::int64_t> sizes;
    for (std::size_t k = 0; k < run.parts(); ++k) sizes.push_back(run.part_size(k));
    states_.emplace(schedule_, run.initial, sizes, run.dtype, run.device);
  }

  // The results of recurrent(), in their order.
  PoolVector<Var> results(bool all_parts) {
    const Var zx = original_zx();
    const PoolVector<Var> inputs = in_levels(zx);
    for (std::int64_t l = 0; l < schedule_.levels(); ++l) {
      states_->add_level(step(l, zx.defined() ? inputs[static_cast<std::size_t>(l)] : Var()));
    }
    PoolVector<Var> all;
    for (std::size_t k = 0; k < (all_parts ? run_.parts() : 1); ++k) {
      all.push_back(states_->of_nodes(k));
    }
    for (std::size_t k = 0; !schedule_.finals().empty() && k < run_.parts(); ++k) {
      all.push_back(states_->finals(k));
    }
    return all;
  }

 private:
  PoolVector<Var> in_levels(const Var& zx) const {
    if (!zx.defined()) return {};
    const std::int64_t levels = schedule_.levels();
    PoolVector<std::int64_t> sizes;
    const bool descends = levels > 1 && schedule_.level(1).first < schedule_.level(0).first;
    for (std::int64_t l = 0; l < levels; ++l) {
      sizes.push_back(schedule_.level(descends ? levels - 1 - l : l).count);
    }
    PoolVector<Var> parts = split(reshape(zx, Shape{run_.nodes(), zx.dim(-1)}), sizes, 0);
    if (descends) std::reverse(parts.begin(), parts.end());
    return parts;
  }

  PoolVector<Var> step(std::int64_t l, const Var& input) {
    const Schedule::Level level = schedule_.level(l);
    PoolVector<Var> states(run_.layout().values.size());
    for (std::size_t v = 0; v < states.size(); ++v) {
      const StepLayout::Value& value = run_.layout().values[v];
      const auto part = static_cast<std::size_t>(value.index);
      if (value.from == From::state) states[v] = states_->slot(l, value.predecessor, part);
      if (value.from == From::edge_state) states[v] = states_->edge(l, value.predecessor, part);
    }
    std::optional<EdgeRows> edges;
    if (schedule_.has_edges()) edges.emplace(schedule_, l, run_.dtype, run_.device);
    PoolVector<Tensor> extras;
    for (const Tensor& x : run_.extras) {
      extras.push_back(x.slice(0, level.first, level.first + level.count));
    }
    PoolVector<Var> next =
        step_by_operations(run_.layout(), run_.recurrence, input, std::move(states), extras,
                           edges ? &*edges : nullptr, level.count);
    if (run_.part.logged()) next[0] = watch_state(run_.part, run_.time(l), next[0]);
    return next;
  }

  // zx with its history. If a product or a sum of edges has overwritten columns of zx, these
  // columns are that value minus its terms.
  Var original_zx() {
    if (!run_.in_place) return run_.zx;
    const PauseRecording pause;
    const Tensor value = run_.zx.value().clone().reshape(Shape{run_.nodes(), run_.zx.dim(-1)});
    for (const StepLayout::Operation& op : run_.layout().operations) {
      if (!in_input_columns(run_.layout(), op)) continue;
      const Tensor columns = value.slice(1, op.add.first, op.add.first + op.add.size);
      for (const StepLayout::Term& term : op.terms) {
        const Var w(run_.recurrence.weights()[static_cast<std::size_t>(term.weight)].value());
        const Var x(operand_of(run_, memory_, term.x));
        const Var y = term.groups > 1 ? linear_groups(x, w, term.groups) : linear(x, w);
        add_in_place(columns, (-y).value());
      }
      if (op.bias >= 0) {
        const auto unit = static_cast<std::size_t>(run_.value(op.bias).index);
        const Var bias = expand(Var(run_.recurrence.units()[unit].value()), columns.shape());
        add_in_place(columns, (-bias).value());
      }
      if (op.kind != From::edge_sum) continue;
      const EdgeRows edges(schedule_, run_.dtype, run_.device);
      const Var x(operand_of(run_, memory_, op.x));
      add_in_place(columns, (-(op.mean ? edges.mean(x) : edges.sum(x))).value());
    }
    return same_variable(run_.zx, value.reshape(run_.zx.shape()));
  }

  const RecurrentRun& run_;
  const Schedule& schedule_;
  const RecurrentMemory& memory_;
  std::optional<LevelStates> states_;
};

}  // namespace

void recorded_gradient(const RecurrentRun& run, const RecurrentMemory& memory, bool all_parts,
                       std::span<const Var> douts, Grads& grads) {
  play_recorded(grads, douts, [&] {
    PoolVector<Var> results = ByOperations(run, memory).results(all_parts);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (douts[i].defined()) results[i] = reshape(results[i], douts[i].shape());
    }
    return results;
  });
}

}  // namespace tapeloop::detail
