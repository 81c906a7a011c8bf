// SPDX-License-Identifier: MIT
// Schedules of grids. A level is a set of cells at equal distance from the corner in which a
// direction starts.
//   D dimensions, S_d sizes, N batch; p: a cell in the user's coordinates; q: the same cell counted
//   from the starting corner.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tapeloop/autograd/schedule/builder.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

using detail::at;
using detail::ScheduleBuilder;

constexpr const char* kName = "Schedule::grid";
constexpr int kMaxDimensions = 5;

void check(const Shape& sizes, std::int64_t N, const GridOrder& order) {
  const int D = sizes.rank();
  if (D < 1 || D > kMaxDimensions) {
    fail(kName, fmt::format("the sizes {} have {} dimensions; give 1 to {}", sizes.str(), D,
                            kMaxDimensions));
  }
  if (N < 1 || *std::min_element(sizes.begin(), sizes.end()) < 1) {
    fail(kName,
         fmt::format("the sizes are {} and N is {}; all must be at least 1", sizes.str(), N));
  }
  // A node has D predecessors and one state: there are at most N (D + 1) S_0 S_1 .. state rows.
  std::int64_t rows = detail::product(kName, N, D + 1);
  for (const std::int64_t size : sizes) rows = detail::product(kName, rows, size);
  if (order.directions >> D != 0) {
    fail(kName, fmt::format("directions is {}, but a grid of {} dimensions has directions 0 to {}: "
                            "bit d reverses dimension d",
                            order.directions, D, (1 << D) - 1));
  }
  const auto given = static_cast<std::int64_t>(order.sample_sizes.size());
  if (given != 0 && given != N * D) {
    fail(kName, fmt::format("{} sample sizes were given for N = {} and {} dimensions; give {}, all "
                            "of one sample before the next",
                            given, N, D, N * D));
  }
  for (std::int64_t i = 0; i < given; ++i) {
    const std::int64_t size = order.sample_sizes[at(i)];
    const int d = static_cast<int>(i % D);
    if (size < 0 || size > sizes[d]) {
      fail(kName, fmt::format("the size {} of sample {} in dimension {} is outside 0..{}, the size "
                              "of the grid",
                              size, i / D, d, sizes[d]));
    }
  }
}

// Whether every sample fills the grid.
bool is_full(const Shape& sizes, const GridOrder& order) {
  for (std::size_t i = 0; i < order.sample_sizes.size(); ++i) {
    if (order.sample_sizes[i] != sizes[static_cast<int>(i) % sizes.rank()]) return false;
  }
  return true;
}

bool reversed(const GridOrder& order, int d) { return (order.directions >> d & 1) != 0; }

// Two dimensions, all samples of full size. The cells of an anti-diagonal stand in the order of
// q_0. Before and behind them are the external states that the next level reads. So both slots are
// ranges: rows of the level before and of the blocks at its ends.
Schedule plane(std::int64_t rows, std::int64_t columns, std::int64_t N, const GridOrder& order) {
  ScheduleBuilder builder(2);
  builder.order().reserve(at(rows * columns * N));
  PoolVector<std::int64_t> external_rows, external_from;
  external_rows.reserve(at((rows + columns) * N));
  external_from.reserve(at((rows + columns) * N));
  std::int64_t next = 0;  // state row
  const auto external = [&](std::int64_t from) {
    for (std::int64_t n = 0; n < N; ++n) {
      external_rows.push_back(next++);
      external_from.push_back(from + n);
    }
  };
  const auto row = [&](std::int64_t q) { return reversed(order, 0) ? rows - 1 - q : q; };
  const auto column = [&](std::int64_t q) { return reversed(order, 1) ? columns - 1 - q : q; };

  std::int64_t origin = 0;  // the state of the level before with q_0 is in row origin + q_0 N
  for (std::int64_t s = -1; s < rows + columns - 1; ++s) {
    const std::int64_t low = std::max<std::int64_t>(0, s - columns + 1);  // of q_0
    const std::int64_t high = std::min(s, rows - 1);
    const std::int64_t before = origin;
    origin = next - low * N;
    if (s + 1 < columns) {
      origin += N;
      external(column(s + 1) * N);  // q_0 = -1
    }
    if (s >= 0) {
      const std::int64_t count = (high - low + 1) * N;
      builder.level(static_cast<std::int64_t>(builder.order().size()), count, next);
      builder.range(before + (low - 1) * N);
      builder.range(before + low * N);
      for (std::int64_t q = low; q <= high; ++q) {
        const std::int64_t cell = row(q) * columns + column(s - q);
        for (std::int64_t n = 0; n < N; ++n) builder.order().push_back(cell * N + n);
      }
      next += count;
    }
    if (s + 1 < rows) external((columns + row(s + 1)) * N);  // q_1 = -1
  }
  builder.externals(
      static_cast<std::int64_t>(external_rows.size()),
      [&](std::int64_t i) { return external_rows[at(i)]; },
      [&](std::int64_t i) { return external_from[at(i)]; });
  return std::move(builder).finish(rows * columns * N, (rows + columns) * N);
}

// Any number of dimensions; samples of full size, or each of a size of its own. All external states
// stand before the first level, side by side.
class Grid {
 public:
  Grid(const Shape& sizes, std::int64_t N, const GridOrder& order)
      : D_(sizes.rank()), N_(N), order_(order), sizes_(sizes), input_rows_(N) {
    for (const std::int64_t size : sizes) input_rows_ *= size;
    for (int d = 0; d < D_; ++d) {
      side_[at(d)] = initial_rows_;
      initial_rows_ += input_rows_ / sizes[d];
    }
  }

  Schedule build() && {
    count();
    number();
    ScheduleBuilder builder(D_);
    std::int64_t first = 0;
    for (const std::int64_t end : level_ends_) {
      builder.level(first, end - first, externals_ + first);
      for (int d = 0; d < D_; ++d) {
        const std::int64_t* const rows = predecessors_.data() + d * nodes_ + first;
        builder.slot([rows](std::int64_t i) { return rows[i]; });
      }
      first = end;
    }
    builder.order() = std::move(numbers_);
    builder.externals(
        externals_, [](std::int64_t i) { return i; }, [&](std::int64_t i) { return from_[at(i)]; });
    return std::move(builder).finish(input_rows_, initial_rows_);
  }

 private:
  using Cell = std::array<std::int64_t, kMaxDimensions>;

  // Calls work(samples, first) for groups of samples of equal size: once for all of them if they
  // fill the grid, else once for each.
  template <class Work>
  void each_group(Work work) {
    if (order_.sample_sizes.empty()) {
      for (int d = 0; d < D_; ++d) size_[at(d)] = sizes_[d];
      work(N_, 0);
      return;
    }
    for (std::int64_t n = 0; n < N_; ++n) {
      for (int d = 0; d < D_; ++d) size_[at(d)] = order_.sample_sizes[at(n * D_ + d)];
      work(1, n);
    }
  }
  // Calls work(q, distance) for each cell of the group, row-major in q.
  template <class Work>
  void each_cell(Work work) const {
    for (int d = 0; d < D_; ++d) {
      if (size_[at(d)] == 0) return;
    }
    Cell q{};
    std::int64_t distance = 0;
    for (int d = D_; d >= 0;) {
      work(q, distance);
      for (d = D_ - 1; d >= 0; --d) {
        ++distance;
        if (++q[at(d)] < size_[at(d)]) break;
        distance -= std::exchange(q[at(d)], 0);
      }
    }
  }
  // The number of cells of a sample of the group; `without` d: of those with q_d = 0.
  std::int64_t cells(int without = -1) const {
    std::int64_t result = 1;
    for (int d = 0; d < D_; ++d) result *= d == without ? 1 : size_[at(d)];
    return result;
  }

  // Counts the nodes of each level and the external states of each side.
  void count() {
    std::array<std::int64_t, kMaxDimensions> borders{};
    each_group([&](std::int64_t samples, std::int64_t) {
      for (int d = 0; d < D_ && cells() > 0; ++d) borders[at(d)] += samples * cells(d);
      each_cell([&](const Cell&, std::int64_t distance) {
        if (distance == static_cast<std::int64_t>(level_ends_.size())) level_ends_.push_back(0);
        level_ends_[at(distance)] += samples;
      });
    });
    for (std::int64_t& end : level_ends_) end = nodes_ += end;
    for (int d = 0; d < D_; ++d) {
      next_external_[at(d)] = externals_;
      externals_ += borders[at(d)];
    }
  }

  // Numbers the nodes of each level in the order of the groups, then of q, then of the samples.
  void number() {
    numbers_.resize(at(nodes_));
    from_.resize(at(externals_));
    predecessors_.resize(at(nodes_ * D_));
    PoolVector<std::int64_t> next(level_ends_.size());  // node of each level
    for (std::size_t s = 1; s < next.size(); ++s) next[s] = level_ends_[s - 1];
    PoolVector<std::int64_t> node_of;  // by cell, row-major in q
    each_group([&](std::int64_t samples, std::int64_t sample) {
      Cell stride{};
      for (std::int64_t d = D_ - 1, step = 1; d >= 0; --d) {
        stride[at(d)] = step;
        step *= size_[at(d)];
      }
      node_of.clear();
      each_cell([&](const Cell& q, std::int64_t distance) {
        const std::int64_t node = next[at(distance)];
        next[at(distance)] += samples;
        const auto cell = static_cast<std::int64_t>(node_of.size());
        node_of.push_back(node);
        const std::int64_t number = place(q) * N_ + sample;
        for (std::int64_t k = 0; k < samples; ++k) numbers_[at(node + k)] = number + k;
        for (int d = 0; d < D_; ++d) {
          std::int64_t row = 0;
          if (q[at(d)] > 0) {
            row = externals_ + node_of[at(cell - stride[at(d)])];
          } else {
            row = std::exchange(next_external_[at(d)], next_external_[at(d)] + samples);
            const std::int64_t from = side_[at(d)] + place(q, d) * N_ + sample;
            for (std::int64_t k = 0; k < samples; ++k) from_[at(row + k)] = from + k;
          }
          std::int64_t* const rows = predecessors_.data() + d * nodes_ + node;
          for (std::int64_t k = 0; k < samples; ++k) rows[k] = row + k;
        }
      });
    });
  }

  // The cell's number among all cells in the user's coordinates; `without` d: in side d.
  std::int64_t place(const Cell& q, int without = -1) const {
    std::int64_t result = 0;
    for (int d = 0; d < D_; ++d) {
      if (d == without) continue;
      const std::int64_t p = reversed(order_, d) ? size_[at(d)] - 1 - q[at(d)] : q[at(d)];
      result = result * sizes_[d] + p;
    }
    return result;
  }

  int D_;
  std::int64_t N_;
  GridOrder order_;
  Shape sizes_;
  std::int64_t input_rows_;
  Cell size_{};  // of the group
  Cell side_{};  // where each side begins in the user's initial states
  Cell next_external_{};
  std::int64_t initial_rows_ = 0, nodes_ = 0, externals_ = 0;
  PoolVector<std::int64_t> level_ends_, numbers_, from_;
  PoolVector<std::int64_t> predecessors_;  // [D, nodes]: state rows
};

}  // namespace

Schedule Schedule::grid(const Shape& sizes, std::int64_t N, const GridOrder& order) {
  check(sizes, N, order);
  const bool full = is_full(sizes, order);
  if (sizes.rank() == 1) {
    return sequences(sizes[0], N, {.reverse = reversed(order, 0), .lengths = order.sample_sizes});
  }
  if (full && sizes.rank() == 2) return plane(sizes[0], sizes[1], N, order);
  return Grid(sizes, N, full ? GridOrder{.directions = order.directions} : order).build();
}

}  // namespace tapeloop
