// SPDX-License-Identifier: MIT
// Rows of states by operations.
#include "tapeloop/autograd/sequence/level_states.h"

#include "tapeloop/autograd/ops/ops.h"

namespace tapeloop::detail {

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

LevelStates::LevelStates(const Schedule& schedule, std::span<const Var> initial,
                         std::span<const std::int64_t> sizes, DType dtype, Device device)
    : schedule_(schedule),
      initial_(initial.begin(), initial.end()),
      sizes_(sizes.begin(), sizes.end()),
      dtype_(dtype),
      device_(device),
      origins_(at(schedule.state_rows())),
      begins_(at(schedule.nodes() + schedule.initial_rows()), false),
      piece_(begins_.size(), 0),
      cuts_(at(schedule.levels() + 1), PoolVector<Cut>(initial.size())) {
  place_rows();
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    for (int p = 0; p < schedule.slots(); ++p) mark_cuts(schedule.slot(l, p));
    for (int table = 0; table < schedule.edge_tables(); ++table) {
      const Schedule::Edges edges = schedule.edges(l);
      mark_cuts({0, schedule.edge_rows(table) + edges.first, edges.count});
    }
  }
  mark_cuts(schedule.finals());
  const auto number = [&](std::int64_t first, std::int64_t count) {
    std::int64_t pieces = 0;
    for (std::int64_t i = first; i < first + count; ++i) {
      begins_[at(i)] = begins_[at(i)] || i == first;
      pieces += begins_[at(i)];
      piece_[at(i)] = pieces - 1;
    }
  };
  for (std::int64_t l = 0; l < schedule.levels(); ++l) {
    number(schedule.level(l).first, schedule.level(l).count);
  }
  number(schedule.nodes(), schedule.initial_rows());
}

std::int64_t LevelStates::source_row(const Origin& origin) const {
  return origin.row + (origin.level < 0 ? schedule_.nodes() : schedule_.level(origin.level).first);
}

void LevelStates::place_rows() {
  for (std::int64_t l = 0; l < schedule_.levels(); ++l) {
    const Schedule::Level level = schedule_.level(l);
    for (std::int64_t i = 0; i < level.count; ++i) origin(level.state + i) = {l, i};
  }
  const Schedule::Rows external = schedule_.external_rows(), from = schedule_.external_from();
  for (std::int64_t i = 0; i < external.size(); ++i) origin(external[i]) = {-1, from[i]};
}

void LevelStates::mark_cuts(const Schedule::Rows& list) {
  for (std::int64_t i = 0; i < list.size();) {
    const Origin start = origin(list[i]);
    std::int64_t end = i + 1;
    const auto follows = [&](const Origin& next) {
      if (zeros(start) || zeros(next)) return zeros(start) && zeros(next);
      return next.level == start.level && next.row == start.row + (end - i);
    };
    while (end < list.size() && follows(origin(list[end]))) ++end;
    if (!zeros(start)) {
      const std::int64_t first = source_row(start), after = first + (end - i);
      begins_[at(first)] = true;
      if (after < static_cast<std::int64_t>(begins_.size())) begins_[at(after)] = true;
    }
    i = end;
  }
}

// The piece of part k that begins with this row.
const Var& LevelStates::piece(std::size_t k, const Origin& start) {
  const std::int64_t levels = schedule_.levels();
  const Var& whole = start.level < 0 ? initial_[k] : levels_[at(start.level)][k];
  PoolVector<Var>& pieces = cuts_[at(start.level < 0 ? levels : start.level)][k].pieces;
  if (pieces.empty()) {
    const std::int64_t first = source_row({start.level, 0});
    PoolVector<std::int64_t> sizes;
    for (std::int64_t i = 0; i < whole.dim(0); ++i) {
      if (begins_[at(first + i)]) sizes.push_back(0);
      ++sizes.back();
    }
    pieces = sizes.size() == 1 ? PoolVector<Var>{whole} : split(whole, sizes, 0);
  }
  return pieces[at(piece_[at(source_row(start))])];
}

Var LevelStates::rows(std::size_t k, const Schedule::Rows& list) {
  PoolVector<Var> pieces;
  const auto of_zeros = [&](const Origin& x) {
    return zeros(x) || (x.level < 0 && !initial_[k].defined());
  };
  for (std::int64_t i = 0; i < list.size();) {
    const Origin start = origin(list[i]);
    if (!of_zeros(start)) {
      pieces.push_back(piece(k, start));
      i += pieces.back().dim(0);
      continue;
    }
    std::int64_t end = i + 1;
    while (end < list.size() && of_zeros(origin(list[end]))) ++end;
    pieces.emplace_back(Tensor::zeros({end - i, sizes_[k]}, dtype_, device_));
    i = end;
  }
  if (pieces.empty()) return Var(Tensor::empty({0, sizes_[k]}, dtype_, device_));
  return pieces.size() == 1 ? pieces[0] : concat(pieces, 0);
}

Var LevelStates::edge(std::int64_t l, int table, std::size_t k) {
  const Schedule::Edges edges = schedule_.edges(l);
  return rows(k, {0, schedule_.edge_rows(table) + edges.first, edges.count});
}

void LevelStates::add_level(std::span<const Var> parts) {
  levels_.emplace_back(parts.begin(), parts.end());
}

Var LevelStates::of_nodes(std::size_t k) const {
  const std::int64_t levels = schedule_.levels();
  const bool descends = levels > 1 && schedule_.level(1).first < schedule_.level(0).first;
  PoolVector<Var> parts;
  for (std::int64_t l = 0; l < levels; ++l) {
    parts.push_back(levels_[at(descends ? levels - 1 - l : l)][k]);
  }
  return parts.size() == 1 ? parts[0] : concat(parts, 0);
}

}  // namespace tapeloop::detail
