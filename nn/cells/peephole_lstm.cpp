// SPDX-License-Identifier: MIT
// The steps of the variants of the LSTM. `gates` are the pre-activations i and f, or the one that
// the variant has.
#include "tapeloop/nn/cells/peephole_lstm.h"

namespace tapeloop::nn {

using of::Source;

namespace {

// Peephole weights for `gates` gates; undefined without peepholes.
Var peephole_weight(Peephole peephole, int gates, const RecurrentOptions& o, Random& random) {
  if (peephole == Peephole::none || gates == 0) return {};
  const Shape diagonal{gates * o.hidden}, full{gates * o.hidden, o.hidden};
  return detail::drawn(peephole == Peephole::full ? full : diagonal, o, random);
}

// Peepholes of some gates: rows first .. first + size - 1 of weight_ch.
struct Peepholes {
  Var weight;
  std::int64_t first, size;
  bool full() const { return weight.defined() && size > 0 && weight.rank() == 2; }
  bool diagonal() const { return weight.defined() && size > 0 && weight.rank() == 1; }
  Source unit() const { return of::unit(weight).columns(first, size); }
  Source product(const Source& c) const {
    return of::product(slice(weight, 0, first, first + size), c);
  }
};

// The results of F, first c'.
template <class F>
PoolVector<Source> next_state(Recurrence& r, const Source& gates, const Source& g,
                              const Peepholes& p) {
  const Source c = of::state(1);
  if (!p.diagonal()) return r.stage(F{}, p.full() ? gates + p.product(c) : gates, g, c);
  if constexpr (kArity<F> == 4) {
    return r.stage(TwoPeepholes<F>{}, gates, g, p.unit(), c);
  } else {
    return r.stage(OnePeephole<F>{}, gates, g, p.unit(), c);
  }
}

// The results of F, first h'.
template <class F>
PoolVector<Source> next_output(Recurrence& r, const Source& o, const Source& c,
                               const Peepholes& p) {
  if (p.diagonal()) return r.stage(OutputPeephole<F>{}, o, p.unit(), c);
  return r.stage(F{}, p.full() ? o + p.product(c) : o, c);
}

Source projected(const Var& weight_hr, const Source& h) {
  return weight_hr.defined() ? of::product(weight_hr, h) : h;
}

PoolVector<Source> next_state(LstmVariant variant, Recurrence& r, const Source& gates,
                              const Source& g, const Peepholes& p) {
  switch (variant) {
    case LstmVariant::no_input_gate: return next_state<NoInputGate>(r, gates, g, p);
    case LstmVariant::no_forget_gate: return next_state<NoForgetGate>(r, gates, g, p);
    case LstmVariant::coupled: return next_state<CoupledGates>(r, gates, g, p);
    case LstmVariant::no_input_activation: return next_state<NoInputActivation>(r, gates, g, p);
    default: return next_state<LstmState>(r, gates, g, p);
  }
}

bool has_output_gate(LstmVariant variant) { return variant != LstmVariant::no_output_gate; }

// How many of the gates i and f the variant has.
int inner_gates(LstmVariant variant) {
  return variant == LstmVariant::no_input_gate || variant == LstmVariant::no_forget_gate ||
                 variant == LstmVariant::coupled
             ? 1
             : 2;
}

}  // namespace

int PeepholeLstmCell::gates(LstmVariant variant) {
  return inner_gates(variant) + 1 + (has_output_gate(variant) ? 1 : 0);
}

PeepholeLstmCell::PeepholeLstmCell(const RecurrentOptions& o, Random& random, const Options& given)
    : own(given) {
  detail::check_projection("peephole_lstm", o, own.projection);
  w = GateWeights("peephole_lstm", gates(own.variant), o, random, own.projection);
  weight_ch = peephole_weight(own.peephole, gates(own.variant) - 1, o, random);
  weight_hr = detail::projection_weight(o, own.projection, random);
}

Recurrence PeepholeLstmCell::recurrence() const {
  const std::int64_t inner = inner_gates(own.variant) * size();
  Recurrence r;
  const auto z = r.value(of::input() + of::product(w.weight_hh));
  const auto c = next_state(own.variant, r, z.columns(0, inner), z.columns(inner, size()),
                            {weight_ch, 0, inner})[0];
  PoolVector<Source> h;
  if (!has_output_gate(own.variant)) {
    h = r.stage(NoOutputGate{}, c);
  } else {
    const auto o = z.columns(inner + size(), size());
    const Peepholes p{weight_ch, inner, size()};
    h = own.variant == LstmVariant::no_output_activation
            ? next_output<NoOutputActivation>(r, o, c, p)
            : next_output<LstmOutput>(r, o, c, p);
  }
  r.next({projected(weight_hr, h[0]), c});
  return r;
}

FullGateLstmCell::FullGateLstmCell(const RecurrentOptions& o, Random& random, const Options& own) {
  detail::check_projection("full_gate_lstm", o, own.projection);
  w = GateWeights("full_gate_lstm", 4, o, random, own.projection);
  weight_gg = detail::drawn({3 * o.hidden, 3 * o.hidden}, o, random);
  weight_ch = peephole_weight(own.peephole, 3, o, random);
  weight_hr = detail::projection_weight(o, own.projection, random);
}

Recurrence FullGateLstmCell::recurrence() const {
  const std::int64_t n = size();
  Recurrence r;
  const auto z = r.value(of::input() + of::product(w.weight_hh));
  const auto by_gate = split(weight_gg, std::array{n, n, n}, 1);  // [3H, H], of i, f and o
  // `own` plus the products with rows first .. end - 1 of W_gg.
  const auto with_gates = [&](const Source& own, std::int64_t first, std::int64_t end) {
    Source sum = own;
    for (int k = 0; k < 3; ++k) {
      const Var& weight = by_gate[static_cast<std::size_t>(k)];
      sum = sum + of::product(slice(weight, 0, first, end), of::state(2 + k));
    }
    return sum;
  };
  const auto state = next_state<FullGateState>(r, with_gates(z.columns(0, 2 * n), 0, 2 * n),
                                               z.columns(2 * n, n), {weight_ch, 0, 2 * n});
  const auto output = next_output<FullGateOutput>(r, with_gates(z.columns(3 * n, n), 2 * n, 3 * n),
                                                  state[0], {weight_ch, 2 * n, n});
  r.next({projected(weight_hr, output[0]), state[0], state[1], state[2], output[1]});
  return r;
}

}  // namespace tapeloop::nn
