// SPDX-License-Identifier: MIT
// Checks of grids, names of directions, and the schedules that a layer keeps.
#include "tapeloop/nn/structures/grid.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

namespace {

constexpr int kMaxDimensions = 5;

void check_dimensions(const char* what, int D) {
  if (D < 1 || D > kMaxDimensions) {
    fail(what, fmt::format("{} dimensions were given, expected 1 to {}", D, kMaxDimensions));
  }
}

}  // namespace

std::vector<std::string> all_directions(int D) {
  check_dimensions("all_directions", D);
  std::vector<std::string> result;
  for (int bits = 0; bits < 1 << D; ++bits) {
    std::string digits;
    for (int d = D - 1; d >= 0; --d) digits += (bits >> d & 1) != 0 ? '1' : '0';
    result.push_back(digits);
  }
  return result;
}

Var join_sides(std::span<const Var> sides) {
  if (sides.empty()) fail("join_sides", "no sides were given; give one for each dimension");
  PoolVector<Var> rows;
  for (const Var& side : sides) {
    if (!side.defined() || side.rank() < 2 || side.dim(-1) != sides[0].dim(-1)) {
      fail("join_sides",
           fmt::format("side {} is {}, expected [sizes of the other dimensions.., N, {}]",
                       &side - sides.data(), side.defined() ? side.shape().str() : "undefined",
                       sides[0].defined() && sides[0].rank() > 0 ? sides[0].dim(-1) : 0));
    }
    rows.push_back(reshape(side, Shape{side.shape().numel() / side.dim(-1), side.dim(-1)}));
  }
  return rows.size() == 1 ? rows[0] : concat(rows, 0);
}

namespace detail {

void check_grid_cell(const char* cell, const GridOptions& o) {
  check_dimensions(cell, o.dimensions);
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (o.input < 1 || o.hidden < 1 || o.hidden > kMost) {
    fail(cell, fmt::format("input is {}, hidden {}; expected 1 or more, hidden at most 2^40",
                           o.input, o.hidden));
  }
}

void check_grid(const GridOptions& o) {
  check_dimensions("grid", o.dimensions);
  if (o.layers < 1) fail("grid", fmt::format("layers is {}, expected 1 or more", o.layers));
  if (!(o.dropout >= 0 && o.dropout < 1)) {
    fail("grid", fmt::format("dropout is {}, expected 0 <= p < 1", o.dropout));
  }
  for (std::size_t i = 0; i < o.directions.size(); ++i) {
    const std::string& digits = o.directions[i];
    const bool fits = static_cast<int>(digits.size()) == o.dimensions &&
                      digits.find_first_not_of("01") == std::string::npos;
    if (!fits) {
      fail("grid", fmt::format("the direction \"{}\" is not {} digits of 0 and 1; give a digit for "
                               "each dimension, 1 where it runs from last to first",
                               digits, o.dimensions));
    }
    if (std::find(o.directions.begin(), o.directions.begin() + static_cast<std::ptrdiff_t>(i),
                  digits) != o.directions.begin() + static_cast<std::ptrdiff_t>(i)) {
      fail("grid", fmt::format("the direction \"{}\" was given twice; give each once", digits));
    }
  }
}

Shape grid_sizes(const Var& xs, int dimensions) {
  if (!xs.defined() || xs.rank() != dimensions + 2) {
    fail("grid",
         fmt::format("xs is {}, expected {} axes: the sizes of {} dimensions, N, I{}",
                     xs.defined() ? xs.shape().str() : "undefined", dimensions + 2, dimensions,
                     dimensions + 2 > kMaxRank
                         ? "; a tensor has at most six axes, so give rows to rows()"
                         : ""));
  }
  return Shape(std::span(xs.shape().begin(), static_cast<std::size_t>(dimensions)));
}

std::int64_t grid_batch(const Var& xs, const Shape& sizes, int dimensions) {
  if (sizes.rank() != dimensions) {
    fail("grid", fmt::format("the sizes {} have {} dimensions, the cells have {}", sizes.str(),
                             sizes.rank(), dimensions));
  }
  const std::int64_t cells = sizes.numel();
  if (cells < 1) fail("grid", fmt::format("the sizes are {}, expected 1 or more", sizes.str()));
  if (!xs.defined() || xs.rank() != 2 || xs.dim(0) < 1 || xs.dim(0) % cells != 0) {
    fail("grid", fmt::format("xs has the rows {}, expected [{} N, I] with N of 1 or more for the "
                             "cells of a grid {}",
                             xs.defined() ? xs.shape().str() : "undefined", cells, sizes.str()));
  }
  return xs.dim(0) / cells;
}

void check_grid_built(bool built) {
  if (!built)
    fail("grid",
         "the layers were made by the default constructor and have no weights; construct them with "
         "options first");
}

void check_outside(const Schedule& schedule, std::span<const Var> outside,
                   std::span<const std::int64_t> sizes) {
  for (std::size_t k = 0; k < outside.size(); ++k) {
    const Shape expected{schedule.initial_rows(), sizes[k]};
    if (!outside[k].defined() || outside[k].shape() == expected) continue;
    fail("grid", fmt::format("part {} of the states outside of the grid is {}, expected {}", k,
                             outside[k].shape().str(), expected.str()));
  }
}

void check_step(std::span<const Var> made, std::int64_t nodes,
                std::span<const std::int64_t> sizes) {
  for (std::size_t k = 0; k < made.size(); ++k) {
    const Shape expected{nodes, sizes[k]};
    if (made[k].defined() && made[k].shape() == expected) continue;
    fail("grid", fmt::format("step() returned {} as part {} of the state, expected {}",
                             made[k].defined() ? made[k].shape().str() : "an undefined value", k,
                             expected.str()));
  }
}

PoolVector<Var> inputs_of_levels(const Schedule& schedule, const Var& inputs) {
  const std::int64_t levels = schedule.levels();
  if (levels == 0) return {};
  const bool descends = schedule.level(levels - 1).first < schedule.level(0).first;
  PoolVector<std::int64_t> counts;  // in the order of the rows
  for (std::int64_t l = 0; l < levels; ++l)
    counts.push_back(schedule.level(descends ? levels - 1 - l : l).count);
  PoolVector<Var> result = split(inputs, counts, 0);
  if (descends) std::reverse(result.begin(), result.end());
  return result;
}

void check_sides(std::size_t given, std::size_t expected) {
  if (given == expected) return;
  fail("grid", fmt::format("{} states of sides were given, expected one for each layer and "
                           "direction: {}",
                           given, expected));
}

std::string direction_suffix(int layer, const std::string& direction) {
  const std::string result = fmt::format("_l{}", layer);
  if (direction.find('1') == std::string::npos) return result;
  return result + (direction.size() == 1 ? "_reverse" : "_r" + direction);
}

Var joined_directions(std::span<const Var> outputs, bool sum) {
  if (outputs.size() == 1) return outputs[0];
  if (!sum) return concat(outputs, -1);
  Var total = outputs[0];
  for (const Var& more : outputs.subspan(1)) total = total + more;
  return total;
}

GridSchedules::GridSchedules(std::span<const std::string> directions) {
  for (const std::string& digits : directions) {
    unsigned bits = 0;
    for (std::size_t d = 0; d < digits.size(); ++d) bits |= unsigned{digits[d] == '1'} << d;
    directions_.push_back(bits);
  }
}

PoolVector<Schedule> GridSchedules::get(const Shape& sizes, std::int64_t n,
                                        std::span<const std::int64_t> sample_sizes) {
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_) {
    if (!entry.schedules.empty() && entry.sizes == sizes && entry.batch == n &&
        std::ranges::equal(entry.sample_sizes, sample_sizes)) {
      return entry.schedules;
    }
  }
  PoolVector<Schedule> made;
  for (const unsigned bits : directions_) {
    made.push_back(Schedule::grid(sizes, n, {.directions = bits, .sample_sizes = sample_sizes}));
  }
  Entry& entry = entries_[next_];
  next_ = (next_ + 1) % entries_.size();
  entry = {sizes, n, {sample_sizes.begin(), sample_sizes.end()}, made};
  return made;
}

}  // namespace detail

}  // namespace tapeloop::nn
