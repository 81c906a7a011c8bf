// SPDX-License-Identifier: MIT
// Rows of states by level.
#include "tapeloop/nn/structures/level_states.h"

#include <fmt/format.h>

#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn::detail {

LevelStates::LevelStates(const Schedule& schedule, std::span<const Var> outside,
                         std::span<const std::int64_t> sizes, const Var& inputs)
    : schedule_(schedule),
      outside_(outside.begin(), outside.end()),
      sizes_(sizes.begin(), sizes.end()),
      dtype_(inputs.dtype()),
      device_(inputs.device()) {
  for (std::size_t k = 0; k < outside_.size(); ++k) {
    const Shape expected{schedule.initial_rows(), sizes_[k]};
    if (outside_[k].defined() && outside_[k].shape() != expected) {
      fail("grid", fmt::format("part {} of the states outside of the grid is {}, expected {}", k,
                               outside_[k].shape().str(), expected.str()));
    }
  }
  origins_.resize(static_cast<std::size_t>(schedule.state_rows()));
  const bool descends = schedule.levels() > 1 && schedule.level(1).first < schedule.level(0).first;
  PoolVector<std::int64_t> counts;
  for (std::int64_t i = 0; i < schedule.levels(); ++i) {
    const std::int64_t l = descends ? schedule.levels() - 1 - i : i;
    const Schedule::Level level = schedule.level(l);
    counts.push_back(level.count);
    for (std::int64_t row = 0; row < level.count; ++row)
      origins_[static_cast<std::size_t>(level.state + row)] = {l, row};
  }
  const Schedule::Rows rows = schedule.external_rows(), from = schedule.external_from();
  for (std::int64_t i = 0; i < rows.size(); ++i)
    origins_[static_cast<std::size_t>(rows[i])] = {-1, from[i]};
  if (counts.empty()) return;
  inputs_ = split(inputs, counts, 0);
  if (descends) std::reverse(inputs_.begin(), inputs_.end());
}

Var LevelStates::predecessor(std::int64_t l, int slot, std::size_t k) const {
  const Schedule::Rows list = schedule_.slot(l, slot);
  const auto origin = [&](std::int64_t i) { return origins_[static_cast<std::size_t>(list[i])]; };
  const auto is_zero = [&](const Origin& o) {
    return o.level < 0 && (o.row < 0 || !outside_[k].defined());
  };
  PoolVector<Var> pieces;
  for (std::int64_t i = 0; i < list.size();) {
    const Origin start = origin(i);
    const bool zeros = is_zero(start);
    std::int64_t end = i + 1;
    const auto follows = [&](const Origin& o) {
      if (zeros || is_zero(o)) return zeros && is_zero(o);
      return o.level == start.level && o.row == start.row + (end - i);
    };
    while (end < list.size() && follows(origin(end))) ++end;
    if (zeros) {
      pieces.emplace_back(Tensor::zeros({end - i, sizes_[k]}, dtype_, device_));
    } else {
      const Var& from =
          start.level < 0 ? outside_[k] : levels_[static_cast<std::size_t>(start.level)][k];
      const bool whole = start.row == 0 && end - i == from.dim(0);
      pieces.push_back(whole ? from : slice(from, 0, start.row, start.row + end - i));
    }
    i = end;
  }
  return pieces.size() == 1 ? pieces[0] : concat(pieces, 0);
}

void LevelStates::append(std::span<const Var> parts) {
  const Schedule::Level level = schedule_.level(static_cast<std::int64_t>(levels_.size()));
  for (std::size_t k = 0; k < parts.size(); ++k) {
    const Shape expected{level.count, sizes_[k]};
    if (!parts[k].defined() || parts[k].shape() != expected) {
      fail("grid", fmt::format("step() returned {} as part {} of the state, expected {}",
                               parts[k].defined() ? parts[k].shape().str() : "an undefined value",
                               k, expected.str()));
    }
  }
  levels_.emplace_back(parts.begin(), parts.end());
}

Var LevelStates::of_nodes(std::size_t k) const {
  if (levels_.empty()) return Var(Tensor::zeros({0, sizes_[k]}, dtype_, device_));
  const bool descends = levels_.size() > 1 && schedule_.level(1).first < schedule_.level(0).first;
  PoolVector<Var> all;
  for (std::size_t i = 0; i < levels_.size(); ++i)
    all.push_back(levels_[descends ? levels_.size() - 1 - i : i][k]);
  return all.size() == 1 ? all[0] : concat(all, 0);
}

}  // namespace tapeloop::nn::detail
