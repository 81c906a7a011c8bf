// SPDX-License-Identifier: MIT
// Construction and the step of MdLstmCell.
#include "tapeloop/nn/structures/md_lstm.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tapeloop/nn/layers/init.h"

namespace tapeloop::nn {

namespace {

bool has_mean(MdVariant variant) {
  return variant == MdVariant::stable || variant == MdVariant::leaky;
}

// scale times the sum of sigmoid(f_d) c_d over D predecessors. f: [D * H] columns.
of::Source forget_sum(Recurrence& r, const of::Source& f, int D, std::int64_t H, double scale) {
  const auto gate = [&](int d) { return f.columns(d * H, H); };
  of::Source m =
      D == 1 ? r.stage(MdForgetFirst{scale}, gate(0), of::state(1, 0))[0]
             : r.stage(MdForgetPair{scale}, gate(0), gate(1), of::state(1, 0), of::state(1, 1))[0];
  for (int d = 2; d < D; ++d) m = r.stage(MdForgetNext{scale}, m, gate(d), of::state(1, d))[0];
  return m;
}

// The mean of the c_d, weighted by l: [D * H] columns.
of::Source weighted_mean(Recurrence& r, const of::Source& l, int D, std::int64_t H,
                         MdWeights weights) {
  const auto weight = [&](int d) { return l.columns(d * H, H); };
  const auto c = [](int d) { return of::state(1, d); };
  PoolVector<of::Source> sums;
  if (weights == MdWeights::sigmoid) {
    sums = r.stage(MdWeighFirst{}, weight(0), c(0));
    for (int d = 1; d < D; ++d) sums = r.stage(MdWeighNext{}, sums[0], sums[1], weight(d), c(d));
  } else {
    of::Source top = weight(0);
    for (int d = 1; d < D; ++d) top = r.stage(MdLargest{}, top, weight(d))[0];
    sums = r.stage(MdSoftmaxFirst{}, top, weight(0), c(0));
    for (int d = 1; d < D; ++d)
      sums = r.stage(MdSoftmaxNext{}, sums[0], sums[1], top, weight(d), c(d));
  }
  return r.stage(MdMean{}, sums[0], sums[1])[0];
}

}  // namespace

MdLstmCell::MdLstmCell(const GridOptions& grid, Random& random, const Options& own)
    : options(own), hidden_(grid.hidden), dimensions_(grid.dimensions) {
  detail::check_grid_cell("md_lstm", grid);
  if (own.peepholes && has_mean(own.variant)) {
    fail("md_lstm",
         "peepholes apply to the variants standard and mean; leave `peepholes` at false, or choose "
         "one of these");
  }
  if (own.weights != MdWeights::sigmoid && !has_mean(own.variant)) {
    fail("md_lstm",
         "the option `weights` applies to the variants stable and leaky; leave it at its default");
  }
  const std::int64_t H = hidden_, D = dimensions_;
  const std::int64_t gates = (has_mean(own.variant) ? 4 : 3) + D;
  const double bound = 1.0 / std::sqrt(static_cast<double>(H));
  weight_ih = uniform_parameter({gates * H, grid.input}, bound, random, grid.dtype);
  weight_hh = uniform_parameter({gates * H, D * H}, bound, random, grid.dtype);
  if (grid.bias) bias_ih = uniform_parameter({gates * H}, bound, random, grid.dtype);
  if (own.peepholes) {
    weight_ch = uniform_parameter({(2 * D + 1) * H}, bound, random, grid.dtype);
  }
}

Linear MdLstmCell::input_projection() const {
  Linear result;
  result.weight = weight_ih;
  result.bias = bias_ih;
  return result;
}

Var MdLstmCell::input(const Var& x) const {
  if (x.dim(-1) != weight_ih.dim(1)) {
    fail("md_lstm", fmt::format("x has {} features, the cell was built with input = {}; x is {}",
                                x.dim(-1), weight_ih.dim(1), x.value().describe()));
  }
  return input_projection()(x);
}

Recurrence MdLstmCell::recurrence() const {
  const std::int64_t H = hidden_;
  const int D = dimensions_;
  Recurrence r;
  of::Source sum = of::input();
  const PoolVector<Var> columns =
      split(weight_hh, PoolVector<std::int64_t>(static_cast<std::size_t>(D), H), 1);
  for (int d = 0; d < D; ++d) {
    sum = sum + of::product(columns[static_cast<std::size_t>(d)], of::state(0, d));
  }
  const of::Source z = r.value(sum);
  if (has_mean(options.variant)) {
    const of::Source l = z.columns(4 * H, D * H);
    const of::Source m = weighted_mean(r, l, D, H, options.weights);
    const of::Source gates = z.columns(0, 4 * H);
    r.next(options.variant == MdVariant::stable ? r.stage(LstmGates{}, gates, m)
                                                : r.stage(MdLeakyGates{}, gates, m));
    return r;
  }
  const double scale = options.variant == MdVariant::mean ? 1.0 / D : 1.0;
  const of::Source forget = z.columns(H, D * H), g = z.columns((1 + D) * H, H),
                   o = z.columns((2 + D) * H, H);
  of::Source i = z.columns(0, H);
  if (!weight_ch.defined()) {
    const of::Source m = forget_sum(r, forget, D, H, scale);
    r.next(r.stage(MdGates{}, i, g, o, m));
    return r;
  }
  const of::Source p = of::unit(weight_ch);
  of::Source m;
  for (int d = 0; d < D; ++d) {
    const of::Source f = forget.columns(d * H, H), c = of::state(1, d);
    const of::Source pi = p.columns(d * H, H), pf = p.columns((D + d) * H, H);
    const PoolVector<of::Source> made = d == 0 ? r.stage(MdPeepholeFirst{scale}, i, f, c, pi, pf)
                                               : r.stage(MdPeepholeNext{scale}, i, m, f, c, pi, pf);
    i = made[0];
    m = made[1];
  }
  r.next(r.stage(MdPeepholeGates{}, i, g, o, m, p.columns(2 * D * H, H)));
  return r;
}

}  // namespace tapeloop::nn
