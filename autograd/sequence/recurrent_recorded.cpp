// SPDX-License-Identifier: MIT
// recurrent() by ordinary operations, level by level: for second derivatives. Slower than the
// kernel, and keeps the results of every operation on the tape.
#include <algorithm>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tape/recompute.h"

namespace tapeloop::detail {

namespace {

using From = StepLayout::From;

class ByOperations {
 public:
  ByOperations(const RecurrentRun& run, const RecurrentMemory& memory)
      : run_(run), schedule_(run.schedule), memory_(memory) {}

  // The results of recurrent(), in their order.
  PoolVector<Var> results(bool all_parts) {
    place_rows();
    const Var zx = original_zx();
    const PoolVector<Var> inputs = in_levels(zx);
    for (std::int64_t l = 0; l < schedule_.levels(); ++l) {
      levels_.push_back(step(l, zx.defined() ? inputs[static_cast<std::size_t>(l)] : Var()));
    }
    PoolVector<Var> all;
    for (std::size_t k = 0; k < (all_parts ? run_.parts() : 1); ++k) all.push_back(of_nodes(k));
    const Schedule::Rows finals = schedule_.finals();
    for (std::size_t k = 0; !finals.empty() && k < run_.parts(); ++k) {
      all.push_back(rows(k, finals));
    }
    return all;
  }

 private:
  // Where a state row comes from: a level, or, with level -1, the external states.
  struct Origin {
    std::int64_t level = -1, row = 0;
  };

  void place_rows() {
    origins_.resize(static_cast<std::size_t>(schedule_.state_rows()));
    for (std::int64_t l = 0; l < schedule_.levels(); ++l) {
      const Schedule::Level level = schedule_.level(l);
      for (std::int64_t i = 0; i < level.count; ++i) origin(level.state + i) = {l, i};
    }
    const Schedule::Rows external = schedule_.external_rows(), from = schedule_.external_from();
    for (std::int64_t i = 0; i < external.size(); ++i) origin(external[i]) = {-1, from[i]};
  }
  Origin& origin(std::int64_t row) { return origins_[static_cast<std::size_t>(row)]; }

  // Part k of the states in these rows: slices of levels side by side.
  Var rows(std::size_t k, const Schedule::Rows& list) {
    PoolVector<Var> pieces;
    for (std::int64_t i = 0; i < list.size();) {
      const Origin start = origin(list[i]);
      const bool zeros = start.level < 0 && (start.row < 0 || !run_.initial[k].defined());
      std::int64_t end = i + 1;
      const auto follows = [&](const Origin& other) {
        if (other.level != start.level) return false;
        if (zeros) return other.row < 0 || !run_.initial[k].defined();
        return other.row == start.row + (end - i);
      };
      while (end < list.size() && follows(origin(list[end]))) ++end;
      if (zeros) {
        pieces.emplace_back(Tensor::zeros({end - i, run_.part_size(k)}, run_.dtype, run_.device));
      } else {
        const Var& from =
            start.level < 0 ? run_.initial[k] : levels_[static_cast<std::size_t>(start.level)][k];
        const bool whole = start.row == 0 && end - i == from.dim(0);
        pieces.push_back(whole ? from : slice(from, 0, start.row, start.row + end - i));
      }
      i = end;
    }
    return pieces.size() == 1 ? pieces[0] : concat(pieces, 0);
  }

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
      if (value.from != From::state) continue;
      states[v] = rows(static_cast<std::size_t>(value.index), schedule_.slot(l, value.predecessor));
    }
    PoolVector<Tensor> extras;
    for (const Tensor& x : run_.extras) {
      extras.push_back(x.slice(0, level.first, level.first + level.count));
    }
    PoolVector<Var> next =
        step_by_operations(run_.layout(), run_.recurrence, input, std::move(states), extras);
    if (run_.part.logged()) next[0] = watch_state(run_.part, run_.time(l), next[0]);
    return next;
  }

  Var of_nodes(std::size_t k) const {
    const std::int64_t levels = schedule_.levels();
    const bool descends = levels > 1 && schedule_.level(1).first < schedule_.level(0).first;
    PoolVector<Var> parts;
    for (std::int64_t l = 0; l < levels; ++l) {
      parts.push_back(levels_[static_cast<std::size_t>(descends ? levels - 1 - l : l)][k]);
    }
    return parts.size() == 1 ? parts[0] : concat(parts, 0);
  }

  // zx with its history. Where a product was calculated in its columns, they are the product minus
  // its terms.
  Var original_zx() {
    if (!run_.in_place) return run_.zx;
    const PauseRecording pause;
    const Tensor value = run_.zx.value().clone().reshape(Shape{run_.nodes(), run_.zx.dim(-1)});
    for (const StepLayout::Operation& op : run_.layout().operations) {
      if (!in_input_columns(run_.layout(), op)) continue;
      const Tensor columns = value.slice(1, op.add.first, op.add.first + op.add.size);
      for (const StepLayout::Term& term : op.terms) {
        const Var w(run_.recurrence.weights()[static_cast<std::size_t>(term.weight)].value());
        add_in_place(columns, (-linear(Var(operand_of(run_, memory_, term.x)), w)).value());
      }
      if (op.bias >= 0) {
        const auto unit = static_cast<std::size_t>(run_.value(op.bias).index);
        const Var bias = expand(Var(run_.recurrence.units()[unit].value()), columns.shape());
        add_in_place(columns, (-bias).value());
      }
    }
    return same_variable(run_.zx, value.reshape(run_.zx.shape()));
  }

  const RecurrentRun& run_;
  const Schedule& schedule_;
  const RecurrentMemory& memory_;
  PoolVector<Origin> origins_;
  PoolVector<PoolVector<Var>> levels_;  // the states after each level
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
