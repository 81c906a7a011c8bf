// SPDX-License-Identifier: MIT
// Shared by the tests of recurrent(): formulas of several kinds, and the oracle: the same steps
// unrolled on the tape by ordinary operations. Uses nothing of the tested kernel.
#pragma once

#include <random>

#include "tapeloop/nn/nn.h"
#include "tests/sequence/recurrent_formulas.h"
#include "tests/support.h"

namespace tapeloop::test {

struct Kind {
  const char* name;
  int gates;
  int parts;
  bool bias;  // of the recurrent product
  Recurrence (*make)(const Var& w, const Var& b);
};

inline const Kind kKinds[] = {
    {"lstm", 4, 2, false,
     [](const Var& w, const Var&) {
       return Recurrence(nn::LstmGates{}, of::input() + of::product(w), of::state(1));
     }},
    {"relu", 1, 1, false,
     [](const Var& w, const Var&) {
       return Recurrence(nn::ElmanRelu{}, of::input() + of::product(w));
     }},
    {"gru with a bias", 3, 1, true,
     [](const Var& w, const Var& b) {
       return Recurrence(nn::GruGates{}, of::input(), of::product(w, of::state(0), b),
                         of::state(0));
     }},
    {"gru without a bias", 3, 1, false,
     [](const Var& w, const Var&) {
       return Recurrence(nn::GruGates{}, of::input(), of::product(w), of::state(0));
     }},
    {"three parts", 3, 3, false,
     [](const Var& w, const Var&) {
       return Recurrence(ThreeParts{}, of::input() + of::product(w), of::state(0), of::state(1),
                         of::state(2));
     }},
    {"leaky", 1, 1, false,
     [](const Var& w, const Var&) {
       return Recurrence(Leaky{0.3}, of::input() + of::product(w), of::state(0));
     }},
    {"apart", 1, 1, true,
     [](const Var& w, const Var& b) {
       return Recurrence(Apart{}, of::input(), of::product(w, of::state(0), b));
     }},
};

// The oracle: step by step, by Recurrence::step, which is linear() and pointwise(). It has the
// parameters of recurrent(), so that an Implementation can be either.
// NOLINTNEXTLINE(performance-unnecessary-value-param)
inline RecurrentResult unrolled(const Recurrence& recurrence, Var zx, std::span<const Var> initial,
                                const SequenceOptions& options) {
  const std::int64_t steps = zx.dim(0);
  const PoolVector<Var> inputs = unstack(zx);
  PoolVector<Var> state(initial.begin(), initial.end());
  PoolVector<Var> outputs(static_cast<std::size_t>(steps));
  for (std::int64_t i = 0; i < steps; ++i) {
    const auto t = static_cast<std::size_t>(options.reverse ? steps - 1 - i : i);
    PoolVector<Var> next = recurrence.step(inputs[t], state);
    if (!options.lengths.empty()) {
      std::vector<double> running;
      for (std::int64_t length : options.lengths)
        running.push_back(static_cast<std::int64_t>(t) < length ? 1 : 0);
      const Var mask(Tensor::from(Shape{zx.dim(1), 1}, running).to(zx.dtype()));
      for (std::size_t k = 0; k < next.size(); ++k) next[k] = select(mask, next[k], state[k]);
      const Var zero(Tensor::zeros({}, zx.dtype(), zx.device()));
      outputs[t] = select(mask, next[0], zero);
    } else {
      outputs[t] = next[0];
    }
    state = next;
  }
  return {stack(outputs), state, {}};
}

inline RecurrentResult fused(const Recurrence& recurrence, Var zx, std::span<const Var> initial,
                             const SequenceOptions& options) {
  return recurrent(recurrence, std::move(zx), initial, options);
}
using Implementation = decltype(&fused);

enum class Give { moved, held, itself };  // zx: no other handles; other handles; a parameter
enum class Use { all, hs, last, last_of_last, hs_and_h };  // the results in the loss

inline constexpr Give kGives[] = {Give::moved, Give::held, Give::itself};
inline constexpr Use kUses[] = {Use::all, Use::hs, Use::last, Use::last_of_last, Use::hs_and_h};

// Values and gradients of one run. At the second order the gradients are of sum_i <r_i,
// dloss/dp_i>.
struct Outcome {
  std::vector<Tensor> values;
  std::vector<Tensor> gradients;
};

struct Problem {
  const Kind& kind;
  std::int64_t steps, batch, hidden;
  DType dtype = DType::float64;
  Device device = Device::cpu;
  bool reverse = false;
  std::vector<std::int64_t> lengths{};
  Give give = Give::moved;
  Use use = Use::all;

  Var x, w, b;
  std::vector<Var> state;

  Problem(const Kind& which, std::int64_t t, std::int64_t n, std::int64_t h,
          DType type = DType::float64, Device where = Device::cpu)
      : kind(which), steps(t), batch(n), hidden(h), dtype(type), device(where) {
    const double bound = 1 / std::sqrt(static_cast<double>(h));
    const std::int64_t width = kind.gates * h;
    const auto make = [&](const Tensor& values) { return parameter(values.to(where)); };
    x = make(random_tensor({t, n, width}, 1, type));
    w = make(random_tensor({width, h}, 2, type, -bound, bound));
    if (kind.bias) b = make(random_tensor({width}, 3, type));
    for (int k = 0; k < kind.parts; ++k)
      state.push_back(make(random_tensor({n, h}, 10 + static_cast<std::uint64_t>(k), type)));
  }

  // Lengths from 0 to T; a batch with two or more sequences has both 0 and T.
  void set_lengths(std::mt19937_64& random) {
    lengths.clear();
    for (std::int64_t n = 0; n < batch; ++n) {
      lengths.push_back(
          static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(steps + 1)));
    }
    lengths.front() = 0;
    lengths.back() = steps;
  }

  std::vector<Var> parameters() const {
    std::vector<Var> result = {x, w};
    if (b.defined()) result.push_back(b);
    result.insert(result.end(), state.begin(), state.end());
    return result;
  }
  Recurrence recurrence() const { return kind.make(w, b); }
  SequenceOptions options() const { return {.reverse = reverse, .lengths = lengths}; }

  RecurrentResult forward(Implementation f) const {
    if (give == Give::itself) return f(recurrence(), x, state, options());
    Var zx = x * 1.25;
    if (give == Give::moved) return f(recurrence(), std::move(zx), state, options());
    RecurrentResult result = f(recurrence(), zx, state, options());
    CHECK(distance(zx.value(), (x.detach() * 1.25).value()) == 0);  // unchanged
    return result;
  }
  Var loss(const RecurrentResult& run) const {
    const auto weighted = [](const Var& y, std::uint64_t seed) {
      return sum(y * Var(random_tensor(y.shape(), seed, y.dtype()).to(y.device())));
    };
    Var total;
    const auto add = [&](const Var& term) { total = total.defined() ? total + term : term; };
    const std::size_t parts = run.last.size();
    if (use == Use::all || use == Use::hs || use == Use::hs_and_h) add(weighted(run.hs, 20));
    for (std::size_t k = 0; k < parts; ++k) {
      const bool wanted = use == Use::all || use == Use::last ||
                          (use == Use::last_of_last && k + 1 == parts) ||
                          (use == Use::hs_and_h && k == 0);
      if (wanted) add(weighted(run.last[k], 30 + k));
    }
    return total;
  }
  Outcome run(Implementation f, int order = 1) const {
    Tape tape;
    RecurrentResult result = forward(f);
    Outcome outcome{{result.hs.value()}, {}};
    for (const Var& part : result.last) outcome.values.push_back(part.value());
    Var scalar = loss(result);
    const std::vector<Var> all = parameters();
    if (order == 2) {
      const std::vector<Var> first = tape.gradient(scalar, all, {.create_graph = true});
      for (const Var& gradient : first) outcome.values.push_back(gradient.value());
      Var contracted;
      for (std::size_t i = 0; i < first.size(); ++i) {
        const Var term =
            sum(first[i] * Var(random_tensor(first[i].shape(), 40 + i, dtype).to(device)));
        contracted = contracted.defined() ? contracted + term : term;
      }
      scalar = contracted;
    }
    for (const Var& gradient : tape.gradient(scalar, all))
      outcome.gradients.push_back(gradient.value().clone());
    return outcome;
  }
};

// The largest error, relative to the largest magnitude in the tensor (or to 1).
inline double error_of(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return INFINITY;
  double largest = 1, worst = 0;
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, std::abs(y[i]));
    const double error = std::abs(x[i] - y[i]);
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst / largest;
}

inline double allowed_error(DType dtype) { return dtype == DType::float64 ? 1e-12 : 1e-5; }

inline void check_same(const Outcome& a, const Outcome& b, double allowed) {
  REQUIRE(a.values.size() == b.values.size());
  REQUIRE(a.gradients.size() == b.gradients.size());
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    CAPTURE(i);
    CHECK(error_of(a.values[i], b.values[i]) <= allowed);
  }
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    CAPTURE(i);
    CHECK(error_of(a.gradients[i], b.gradients[i]) <= allowed);
  }
}
inline bool same_bits(const Outcome& a, const Outcome& b) {
  bool same = a.values.size() == b.values.size() && a.gradients.size() == b.gradients.size();
  for (std::size_t i = 0; same && i < a.values.size(); ++i)
    same = same_bits(a.values[i], b.values[i]);
  for (std::size_t i = 0; same && i < a.gradients.size(); ++i)
    same = same_bits(a.gradients[i], b.gradients[i]);
  return same;
}

}  // namespace tapeloop::test
