// SPDX-License-Identifier: MIT
// Construction of a GridLstm, the step of a block, and its sides.
#include "tapeloop/nn/structures/grid_lstm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tapeloop/nn/cells/gates/rnn.h"
#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/structures/grid.h"

namespace tapeloop::nn {

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

[[noreturn]] void fail_with(const std::string& text) { fail("grid_lstm", text); }

void check_options(const GridLstmOptions& o) {
  if (o.dimensions < 1 || o.dimensions > 4) {
    fail_with(fmt::format("{} dimensions were given, expected 1 to 4", o.dimensions));
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (o.hidden < 1 || o.hidden > kMost) {
    fail_with(fmt::format("hidden is {}, expected 1 or more, at most 2^40", o.hidden));
  }
  if (!o.cells.empty() && static_cast<int>(o.cells.size()) != o.dimensions) {
    fail_with(
        fmt::format("{} kinds of cells were given for {} dimensions; give one for each, or "
                    "none",
                    o.cells.size(), o.dimensions));
  }
  for (std::size_t i = 0; i < o.priority.size(); ++i) {
    const int d = o.priority[i];
    if (d < 0 || d >= o.dimensions || std::count(o.priority.begin(), o.priority.end(), d) != 1) {
      fail_with(fmt::format("the priority dimension {} must be one of 0 to {}, and be given once",
                            d, o.dimensions - 1));
    }
  }
  if (o.untied >= o.dimensions || o.untied < -1 || (o.untied >= 0) != (o.untied_size > 0)) {
    fail_with(
        fmt::format("untied is {} and untied_size {}; give a dimension from 0 to {} and the "
                    "size of the grid along it, or -1 and 0",
                    o.untied, o.untied_size, o.dimensions - 1));
  }
  const auto lstm = [](GridCellKind kind) { return kind == GridCellKind::lstm; };
  if (o.shared && std::any_of(o.cells.begin(), o.cells.end(), lstm) &&
      !std::all_of(o.cells.begin(), o.cells.end(), lstm)) {
    fail_with(
        "the dimensions share one weight, but some are LSTMs with four times as many rows; choose "
        "LSTMs for all or for none, or set `shared` to false");
  }
}

// side [others.., N, H] as rows; zeros if it is undefined.
Var side_rows(const PoolVector<Var>& sides, int d, std::int64_t rows, std::int64_t size,
              DType dtype, Device device) {
  if (at(d) < sides.size() && sides[at(d)].defined()) {
    return reshape(sides[at(d)], Shape{rows, size});
  }
  return Var(Tensor::zeros({rows, size}, dtype, device));
}

// The nodes of the last cells along dimension d, in the order of a side.
Tensor far_nodes(const Schedule& schedule, const Shape& sizes, int d, Device device) {
  const std::span<const std::int64_t> order = schedule.order();
  PoolVector<std::int64_t> node(at(schedule.nodes()));  // by the user's number
  for (std::int64_t i = 0; i < schedule.nodes(); ++i)
    node[at(order.empty() ? i : order[at(i)])] = i;
  std::int64_t inner = schedule.nodes();  // user's numbers between neighbours along dimension d
  for (int e = 0; e <= d; ++e) inner /= sizes[e];
  PoolVector<std::int64_t> result;
  result.reserve(at(schedule.nodes() / sizes[d]));
  for (std::int64_t first = (sizes[d] - 1) * inner; first < schedule.nodes();
       first += sizes[d] * inner) {
    result.insert(result.end(), node.begin() + first, node.begin() + first + inner);
  }
  return Tensor::from({static_cast<std::int64_t>(result.size())},
                      std::span<const std::int64_t>(result))
      .to(device);
}

}  // namespace

GridLstm::GridLstm(const GridLstmOptions& options, Random& random) : options_(options) {
  check_options(options);
  const int D = options.dimensions;
  if (options_.cells.empty()) options_.cells.assign(at(D), GridCellKind::lstm);
  const std::int64_t H = options.hidden;
  const double bound = 1.0 / std::sqrt(static_cast<double>(H));
  for (int d = 0; d < (options.shared ? 1 : D); ++d) {
    const std::int64_t rows = (is_lstm(d) ? 4 : 1) * H;
    for (std::int64_t k = 0; k < layers(); ++k) {
      weights_.push_back(uniform_parameter({rows, D * H}, bound, random, options.dtype));
      biases_.push_back(options.bias ? uniform_parameter({rows}, bound, random, options.dtype)
                                     : Var());
    }
  }
  const std::string forward(at(D), '0');
  schedules_ = std::make_shared<detail::GridSchedules>(std::span(&forward, 1));
}

std::size_t GridLstm::place(int d, std::int64_t k) const {
  return at((options_.shared ? 0 : d) * layers() + k);
}

void GridLstm::visit(Visitor& v) const {
  if (weights_.empty()) return;
  for (int d = 0; d < (options_.shared ? 1 : options_.dimensions); ++d) {
    for (std::int64_t k = 0; k < layers(); ++k) {
      const std::string name =
          options_.untied < 0 ? fmt::format("_d{}", d) : fmt::format("_d{}_k{}", d, k);
      v("weight" + name, weight(d, k));
      v("bias" + name, bias(d, k));
    }
  }
}

// Parts of the state: h_1 .. h_D, then m of each LSTM dimension. Slot d is the predecessor along
// dimension d.
Recurrence GridLstm::recurrence(std::int64_t k) const {
  const int D = options_.dimensions;
  const PoolVector<std::int64_t> columns(at(D), options_.hidden);
  Recurrence r;
  PoolVector<of::Source> h, next(at(D)), ms;
  for (int d = 0; d < D; ++d) h.push_back(of::state(d, d));
  const auto run = [&](int d) {
    const PoolVector<Var> w = split(weight(d, k), columns, 1);
    of::Source z = of::product(w[0], h[0], bias(d, k));
    for (int e = 1; e < D; ++e) z = z + of::product(w[at(e)], h[at(e)]);
    if (is_lstm(d)) {
      const auto m = of::state(
          D + static_cast<int>(std::count(options_.cells.begin(), options_.cells.begin() + d,
                                          GridCellKind::lstm)),
          d);
      const PoolVector<of::Source> made = options_.output == GridOutput::tanh_om
                                              ? r.stage(GridGates{}, z, m)
                                              : r.stage(LstmGates{}, z, m);
      next[at(d)] = made[0];
      return made[1];
    }
    switch (options_.cells[at(d)]) {
      case GridCellKind::tanh: next[at(d)] = r.stage(ElmanTanh{}, z)[0]; break;
      case GridCellKind::relu: next[at(d)] = r.stage(ElmanRelu{}, z)[0]; break;
      default: next[at(d)] = r.value(z);
    }
    return of::Source();
  };
  PoolVector<of::Source> m(at(D));
  const auto has_priority = [&](int d) {
    return std::find(options_.priority.begin(), options_.priority.end(), d) !=
           options_.priority.end();
  };
  for (int d = 0; d < D; ++d) {
    if (!has_priority(d)) m[at(d)] = run(d);
  }
  for (int d = 0; d < D; ++d) {
    if (!has_priority(d)) h[at(d)] = next[at(d)];
  }
  for (const int d : options_.priority) {
    m[at(d)] = run(d);
    h[at(d)] = next[at(d)];
  }
  for (int d = 0; d < D; ++d) {
    if (is_lstm(d)) next.push_back(m[at(d)]);
  }
  r.next(next);
  return r;
}

std::int64_t GridLstm::check(const GridSides& in, const Shape& sizes) const {
  detail::check_grid_built(!weights_.empty());
  const int D = options_.dimensions;
  if (sizes.rank() != D || sizes.numel() < 1) {
    fail_with(fmt::format("the sizes are {}, expected {} of 1 or more", sizes.str(), D));
  }
  if (options_.untied >= 0 && sizes[options_.untied] != options_.untied_size) {
    fail_with(
        fmt::format("the sizes are {}, but there are weights for {} indices along dimension {}",
                    sizes.str(), options_.untied_size, options_.untied));
  }
  if (static_cast<int>(in.h.size()) > D || static_cast<int>(in.m.size()) > D) {
    fail_with(fmt::format("{} sides h and {} sides m were given for {} dimensions", in.h.size(),
                          in.m.size(), D));
  }
  std::int64_t n = -1;
  const auto check_side = [&](const char* name, int d, const Var& side) {
    const Shape others = sizes.removed(d);
    if (n < 0 && side.rank() == D + 1) n = side.dim(-2);
    const bool fits = side.rank() == D + 1 &&
                      side.shape() == others.inserted(D - 1, n).inserted(D, options_.hidden);
    if (!fits) {
      fail_with(
          fmt::format("side {} of dimension {} is {}, expected {} and [N{}, {}]: the sizes of "
                      "the other dimensions, the batch, H",
                      name, d, side.shape().str(), others.str(), n < 0 ? "" : fmt::format("={}", n),
                      options_.hidden));
    }
  };
  for (int d = 0; d < D; ++d) {
    if (at(d) < in.h.size() && in.h[at(d)].defined()) check_side("h", d, in.h[at(d)]);
    if (at(d) >= in.m.size() || !in.m[at(d)].defined()) continue;
    if (!is_lstm(d)) {
      fail_with(
          fmt::format("m was given for dimension {}, which is no LSTM; leave it undefined", d));
    }
    check_side("m", d, in.m[at(d)]);
  }
  if (n < 1) fail_with("no side was given, or a batch of 0; give at least one side");
  return n;
}

GridSides GridLstm::operator()(const GridSides& in, const Shape& sizes) const {
  const std::int64_t n = check(in, sizes);
  return options_.untied < 0 ? run(in, sizes, n, 0) : run_untied(in, sizes, n);
}

// One grid with the weights of index k.
GridSides GridLstm::run(const GridSides& in, const Shape& sizes, std::int64_t n,
                        std::int64_t k) const {
  const int D = options_.dimensions;
  const std::int64_t H = options_.hidden;
  const Schedule schedule = schedules_->get(sizes, n, {})[0];
  const DType dtype = weights_[0].dtype();
  const Device device = weights_[0].device();
  PoolVector<Var> state;
  PoolVector<int> dimension;  // of each part
  const auto enter = [&](const PoolVector<Var>& sides, int d) {
    PoolVector<Var> rows;  // of all sides; a step reads part h_d or m_d on side d alone
    for (int e = 0; e < D; ++e) {
      const std::int64_t count = sizes.numel() / sizes[e] * n;
      rows.push_back(e == d ? side_rows(sides, d, count, H, dtype, device)
                            : Var(Tensor::zeros({count, H}, dtype, device)));
    }
    state.push_back(D == 1 ? rows[0] : concat(rows, 0));
    dimension.push_back(d);
  };
  for (int d = 0; d < D; ++d) enter(in.h, d);
  for (int d = 0; d < D; ++d) {
    if (is_lstm(d)) enter(in.m, d);
  }
  const PoolVector<std::int64_t> part_sizes(state.size(), H);
  const RecurrentResult result =
      recurrent(recurrence(k), Var(), state, part_sizes, schedule, {.all_parts = true});
  GridSides out{PoolVector<Var>(at(D)), PoolVector<Var>(at(D))};
  for (int d = 0; d < D; ++d) {
    const Tensor far = far_nodes(schedule, sizes, d, device);
    Shape shape = sizes.removed(d);
    shape = shape.inserted(D - 1, n).inserted(D, H);
    for (std::size_t part = 0; part < state.size(); ++part) {
      if (dimension[part] != d) continue;
      (part < at(D) ? out.h : out.m)[at(d)] = reshape(take(result.states[part], far, 0), shape);
    }
  }
  return out;
}

// Runs the slices along the untied dimension one after the other. The values that leave a slice
// along this dimension enter the next one.
GridSides GridLstm::run_untied(const GridSides& in, const Shape& sizes, std::int64_t n) const {
  const int D = options_.dimensions, e = options_.untied;
  const auto axis = [&](int d) { return e < d ? e : e - 1; };  // of dimension e in side d
  PoolVector<GridSides> slices;
  for (std::int64_t k = 0; k < sizes[e]; ++k) {
    GridSides entering{PoolVector<Var>(at(D)), PoolVector<Var>(at(D))};
    const auto take_part = [&](const PoolVector<Var>& whole, const PoolVector<Var>* before,
                               PoolVector<Var>& part) {
      for (int d = 0; d < D; ++d) {
        if (d == e && before != nullptr) {
          part[at(d)] = (*before)[at(d)];
        } else if (at(d) < whole.size() && whole[at(d)].defined()) {
          part[at(d)] = d == e ? whole[at(d)] : slice(whole[at(d)], axis(d), k, k + 1);
        }
      }
    };
    take_part(in.h, k > 0 ? &slices.back().h : nullptr, entering.h);
    take_part(in.m, k > 0 ? &slices.back().m : nullptr, entering.m);
    slices.push_back(run(entering, sizes.with(e, 1), n, k));
  }
  GridSides out = slices.back();
  const auto join = [&](PoolVector<Var> GridSides::*part) {
    for (int d = 0; d < D; ++d) {
      if (d == e || !(out.*part)[at(d)].defined() || slices.size() == 1) continue;
      PoolVector<Var> pieces;
      for (const GridSides& one : slices) pieces.push_back((one.*part)[at(d)]);
      (out.*part)[at(d)] = concat(pieces, axis(d));
    }
  };
  join(&GridSides::h);
  join(&GridSides::m);
  return out;
}

}  // namespace tapeloop::nn
