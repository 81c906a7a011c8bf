// SPDX-License-Identifier: MIT
// The operations of level_loop.h on the CPU. Each thread of a team owns some units of every value,
// with all of their gates, for the whole run. A product gives the thread's own columns; the formula
// reads them while they are in the cache.
#include "tapeloop/autograd/device/cpu/levels.h"

#include <algorithm>
#include <optional>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cpu/packed_weight.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/device/cpu/walk.h"
#include "tapeloop/autograd/device/level_loop.h"

namespace tapeloop::cpu {
namespace {

using detail::LevelProgram;
using detail::LevelRows;

// With fewer flops per thread, a level ends before another thread could help: a barrier costs some
// 200 ns.
constexpr double kFlopsPerMember = 4e5;

// The weights of a step, packed for its products.
template <class T>
class PackedWeights {
 public:
  // `transposed`: for the gradients of the operands.
  PackedWeights(const LevelProgram& program, bool transposed) {
    const StepLayout& step = program.layout();
    packed_.resize(program.run().weights.size());
    for (const StepLayout::Operation& op : step.operations) {
      const StepLayout::Value& y = step.values[static_cast<std::size_t>(op.result)];
      for (const StepLayout::Term& term : op.terms) {
        const auto i = static_cast<std::size_t>(term.weight);
        const Tensor& w = program.run().weights[i];
        const T* data = w.read<T>();
        flops_ += 2.0 * static_cast<double>(w.numel() * program.widest(y));
        const std::int64_t group = term.group_size();
        if (transposed && term.groups > 1) {  // each block of rows by itself
          packed_[i].emplace(w, MatrixView<T>{data, w.stride(0), w.stride(1)}, group, y.size,
                             y.size / group, group * w.stride(0));
        } else if (transposed) {
          packed_[i].emplace(w, MatrixView<T>{data, w.stride(0), w.stride(1)}, y.size, group);
        } else {
          packed_[i].emplace(w, MatrixView<T>{data, w.stride(1), w.stride(0)}, group, y.size,
                             y.size / y.unit);
        }
      }
    }
  }
  const PackedWeight<T>& operator[](int i) const { return *packed_[static_cast<std::size_t>(i)]; }

  // The number of threads for the widest level.
  int members() const {
    const double most = std::min(flops_ / kFlopsPerMember, 1e9);
    return std::max(1, std::min(num_threads(), static_cast<int>(most)));
  }

 private:
  PoolVector<std::optional<PackedWeight<T>>> packed_;
  double flops_ = 0;
};

// One thread of the team: see level_loop.h.
template <class T>
class Member {
 public:
  Member(const PackedWeights<T>& weights, internal::Team& team, int member)
      : weights_(weights), team_(team), member_(member) {}

  int members() const { return team_.size(); }
  void wait() { team_.wait(); }

  // The first of this thread's units of a value, and how many there are.
  std::pair<std::int64_t, std::int64_t> own_units(std::int64_t units) {
    const Share share = own(units);
    return {share.begin, std::max<std::int64_t>(0, share.end - share.begin)};
  }

  // y = start + x w. In groups: see StepLayout::Term.
  void product(int weight, std::int64_t count, LevelRows<T> x, std::int64_t x_size,
               LevelRows<T> start, LevelRows<T> y, std::int64_t size, std::int64_t unit,
               int groups) {
    const PackedWeight<T>& w = weights_[weight];
    const Share share = own(unit);
    const std::int64_t group = x_size / groups;
    PanelProduct<T> product{
        count, group,      x.data,       x.stride, w.panels(), share.first_panel, share.last_panel,
        unit,  start.data, start.stride, y.data,   y.stride};
    if (groups == 1 && team_.size() == 1 && share.whole_panels) {  // all groups at once
      product.last = w.panels_of_all();
      product.n = size;
      return kernels_.multiply_panels(product);
    }
    for (std::int64_t first = 0, g = 0; first < size; first += unit, ++g) {
      product.panels = w.panels(g);
      product.a = x.data + first % x_size / group * group;
      product.init = start.data == nullptr ? nullptr : start.data + first;
      product.c = y.data + first;
      kernels_.multiply_panels(product);
    }
  }
  // dx = start + dy w
  void product_gradient(int weight, std::int64_t count, LevelRows<T> dy, std::int64_t dy_size,
                        LevelRows<T> start, LevelRows<T> dx, std::int64_t size, int groups) {
    const PackedWeight<T>& w = weights_[weight];
    const std::int64_t group = size / groups;
    const Share share = own(group);
    PanelProduct<T> product{count,      dy_size,           dy.data,          dy.stride,
                            w.panels(), share.first_panel, share.last_panel, group,
                            start.data, start.stride,      dx.data,          dx.stride};
    if (groups == 1) return kernels_.multiply_panels(product);
    product.k = group;
    for (std::int64_t column = 0; column < size; column += group) {
      product.init = start.data == nullptr ? nullptr : start.data + column;
      product.ld_init = start.stride;
      product.c = dx.data + column;
      for (std::int64_t row = column; row < dy_size; row += size) {  // each block has such a group
        product.a = dy.data + row;
        product.panels = w.panels(row / group);
        kernels_.multiply_panels(product);
        product.init = product.c;
        product.ld_init = product.ldc;
      }
    }
  }

  void formula(const PointwiseKernel& kernel, const void* functor, const LoopPlan& plan) {
    walk<T>(kernel, functor, plan, 0, plan.sizes[0]);
  }

  void add(LevelRows<T> to, LevelRows<T> from, std::int64_t count, std::int64_t size,
           std::int64_t unit) {
    if (adjacent(to, size) && adjacent(from, size)) merge_rows(count, size);
    each(count, size, unit, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
      T* sum = to.data + n * to.stride;
      const T* more = from.data + n * from.stride;
      for (std::int64_t j = begin; j < end; ++j) sum[j] += more[j];
    });
  }
  void zero(LevelRows<T> to, std::int64_t count, std::int64_t size, std::int64_t unit) {
    if (adjacent(to, size)) merge_rows(count, size);
    each(count, size, unit, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
      std::fill(to.data + n * to.stride + begin, to.data + n * to.stride + end, T{0});
    });
  }
  // Adds the sum of the rows.
  void add_rows(T* to, LevelRows<T> from, std::int64_t count, std::int64_t units) {
    const Share share = own(units);
    T* const sum = from.data;  // the first row
    for (std::int64_t n = 1; n < count; ++n) {
      const T* more = from.data + n * from.stride;
      for (std::int64_t j = share.begin; j < share.end; ++j) sum[j] += more[j];
    }
    for (std::int64_t j = share.begin; j < share.end; ++j) to[j] += sum[j];
  }

  // The same without a change of `from`: row after row.
  void sum(T* to, LevelRows<T> from, std::int64_t count, std::int64_t size, std::int64_t unit) {
    add({to, 0}, from, count, size, unit);
  }

  // to[i] = from[rows[i]]
  void take(LevelRows<T> to, LevelRows<T> from, const std::int64_t* rows, std::int64_t count,
            std::int64_t size) {
    each_run(rows, count, [&](std::int64_t first, std::int64_t run) {
      const LevelRows<T> source{from.data + rows[first] * from.stride, from.stride};
      const LevelRows<T> target{to.data + first * to.stride, to.stride};
      std::int64_t columns = size;
      if (adjacent(source, size) && adjacent(target, size)) merge_rows(run, columns);
      each(run, columns, columns, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
        const T* row = source.data + n * source.stride;
        std::copy(row + begin, row + end, target.data + n * target.stride + begin);
      });
    });
  }
  // to[rows[i]] += from[i], in order
  void give(LevelRows<T> to, const std::int64_t* rows, LevelRows<T> from, std::int64_t count,
            std::int64_t size) {
    each_run(rows, count, [&](std::int64_t first, std::int64_t run) {
      add({to.data + rows[first] * to.stride, to.stride},
          {from.data + first * from.stride, from.stride}, run, size, size);
    });
  }

  // to[n] = start[n] + the sum or mean of from over the edges of node n. `start` may be `to`; its
  // data null: zeros. Row e of `from` is at rows[e], or at e if `rows` is null.
  void edge_sum(LevelRows<T> to, LevelRows<T> start, LevelRows<T> from, const std::int64_t* rows,
                const std::int64_t* begins, std::int64_t nodes, std::int64_t size,
                std::int64_t unit, bool mean) {
    each(nodes, size, unit, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
      T* const sum = to.data + n * to.stride;
      const T* const first = start.data + n * start.stride;
      if (start.data == nullptr) {
        std::fill(sum + begin, sum + end, T{0});
      } else if (first != sum) {
        std::copy(first + begin, first + end, sum + begin);
      }
      const T factor = mean ? T{1} / static_cast<T>(begins[n + 1] - begins[n]) : T{1};
      for (std::int64_t e = begins[n] - begins[0]; e < begins[n + 1] - begins[0]; ++e) {
        const T* const more = from.data + (rows == nullptr ? e : rows[e]) * from.stride;
        for (std::int64_t j = begin; j < end; ++j) sum[j] += factor * more[j];
      }
    });
  }
  // The other way, to the edges e of node n: to[e] = from[n], or += if `adds`; with `mean` divided
  // by the number of edges.
  void spread(LevelRows<T> to, const std::int64_t* rows, LevelRows<T> from,
              const std::int64_t* begins, std::int64_t nodes, std::int64_t size, std::int64_t unit,
              bool mean, bool adds) {
    each(nodes, size, unit, [&](std::int64_t n, std::int64_t begin, std::int64_t end) {
      const T* const x = from.data + n * from.stride;
      const T factor = mean ? T{1} / static_cast<T>(begins[n + 1] - begins[n]) : T{1};
      for (std::int64_t e = begins[n] - begins[0]; e < begins[n + 1] - begins[0]; ++e) {
        T* const y = to.data + (rows == nullptr ? e : rows[e]) * to.stride;
        if (adds) {
          for (std::int64_t j = begin; j < end; ++j) y[j] += factor * x[j];
        } else {
          for (std::int64_t j = begin; j < end; ++j) y[j] = factor * x[j];
        }
      }
    });
  }

  void layer_norm(int groups, double epsilon, LevelRows<T> x, const T* scale, const T* bias,
                  LevelRows<T> add, LevelRows<T> y, std::int64_t count, std::int64_t size,
                  std::int64_t unit) {
    const std::int64_t width = size / groups;
    for (std::int64_t n = 0; n < count; ++n) {
      for (int g = 0; g < groups; ++g) {
        const T* row = x.data + n * x.stride;
        const RowMoments<T> moments = kernels_.row_moments(row + g * width, width, epsilon);
        each_part(size, unit, [&](std::int64_t begin, std::int64_t end) {
          const std::int64_t from = std::max(begin, g * width), to = std::min(end, (g + 1) * width);
          if (from >= to) return;
          kernels_.normalise_row({to - from, row + from, scale == nullptr ? nullptr : scale + from,
                                  bias == nullptr ? nullptr : bias + from,
                                  add.data == nullptr ? nullptr : add.data + n * add.stride + from,
                                  y.data + n * y.stride + from},
                                 moments);
        });
      }
    }
  }

  void layer_norm_gradient(int groups, double epsilon, LevelRows<T> x, const T* scale,
                           LevelRows<T> dy, LevelRows<T> dx, bool adds, T* dscale, T* dbias,
                           std::int64_t count, std::int64_t size, std::int64_t unit) {
    const std::int64_t width = size / groups;
    for (std::int64_t n = 0; n < count; ++n) {
      for (int g = 0; g < groups; ++g) {
        const T* row = x.data + n * x.stride;
        const T* upstream = dy.data + n * dy.stride;
        const RowMoments<T> moments = kernels_.row_moments(row + g * width, width, epsilon);
        const RowSums<T> sums = kernels_.row_gradient_sums(
            row + g * width, scale == nullptr ? nullptr : scale + g * width, upstream + g * width,
            width, moments);
        each_part(size, unit, [&](std::int64_t begin, std::int64_t end) {
          const std::int64_t from = std::max(begin, g * width), to = std::min(end, (g + 1) * width);
          if (from >= to) return;
          kernels_.row_gradient(
              {to - from, row + from, scale == nullptr ? nullptr : scale + from, upstream + from,
               dx.data == nullptr ? nullptr : dx.data + n * dx.stride + from, adds,
               dscale == nullptr ? nullptr : dscale + from,
               dbias == nullptr ? nullptr : dbias + from},
              moments, sums, width);
        });
      }
    }
  }

 private:
  // The panels and units that this thread owns.
  struct Share {
    std::int64_t first_panel, last_panel, begin, end;
    bool whole_panels;  // the last panel of all is full
  };
  // Keeps the last result: most steps divide all values in the same units, and integer divisions
  // take long in a level of few flops. By value: callers that held a reference wrote past their
  // columns when compiled by g++ 12 with -O3 (tests/sequence/recurrent_corners_test.cpp).
  Share own(std::int64_t units) {
    if (units == units_) return share_;
    units_ = units;
    const std::int64_t panels = panel_count(units, width_);
    const std::int64_t first = panels * member_ / team_.size();
    const std::int64_t last = panels * (member_ + 1) / team_.size();
    share_ = {first, last, first * width_, std::min(units, last * width_), units % width_ == 0};
    return share_;
  }
  // True if the rows can be read as one long row: they are adjacent, and one thread runs the loop.
  bool adjacent(LevelRows<T> rows, std::int64_t size) const {
    return team_.size() == 1 && rows.stride == size;
  }
  static void merge_rows(std::int64_t& count, std::int64_t& size) {
    size *= count;
    count = 1;
  }
  // Calls body(first, count) for each run of a table whose rows follow each other.
  template <class Body>
  static void each_run(const std::int64_t* rows, std::int64_t count, Body body) {
    for (std::int64_t first = 0, end = 1; first < count; first = end++) {
      while (end < count && rows[end] == rows[end - 1] + 1) ++end;
      body(first, end - first);
    }
  }
  // Calls body(begin, end) for the thread's own columns of a value.
  template <class Body>
  void each_part(std::int64_t size, std::int64_t unit, Body body) {
    const Share share = own(unit);
    if (share.begin >= share.end) return;
    if (team_.size() == 1) return body(std::int64_t{0}, size);
    for (std::int64_t g = 0; g < size; g += unit) body(g + share.begin, g + share.end);
  }
  template <class Body>
  void each(std::int64_t count, std::int64_t size, std::int64_t unit, Body body) {
    for (std::int64_t n = 0; n < count; ++n) {
      each_part(size, unit, [&](std::int64_t begin, std::int64_t end) { body(n, begin, end); });
    }
  }

  const PackedWeights<T>& weights_;
  internal::Team& team_;
  int member_;
  const TypedKernels<T>& kernels_ = cpu::kernels().of<T>();
  std::int64_t width_ = kernels_.panel_width;
  std::int64_t units_ = -1;
  Share share_{};  // own(units_)
};

}  // namespace

template <class T>
void run_levels(const LevelForward& run) {
  const LevelProgram program(run);
  const PackedWeights<T> weights(program, false);
  parallel_team(weights.members(), [&](internal::Team& team, int member) {
    Member<T> self(weights, team, member);
    detail::LevelLoop<T, Member<T>>(program, self).forward();
  });
}

template <class T>
void run_levels(const LevelBackward& run) {
  const LevelProgram program(run);
  const PackedWeights<T> weights(program, true);
  parallel_team(weights.members(), [&](internal::Team& team, int member) {
    Member<T> self(weights, team, member);
    detail::LevelLoop<T, Member<T>>(program, self).backward(run.upstream);
  });
}

template void run_levels<float>(const LevelForward&);
template void run_levels<double>(const LevelForward&);
template void run_levels<float>(const LevelBackward&);
template void run_levels<double>(const LevelBackward&);

}  // namespace tapeloop::cpu
