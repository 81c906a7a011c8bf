// SPDX-License-Identifier: MIT
// minGRU and minLSTM: gates that do not see the state. Feng et al. 2024, arXiv:2410.01201
//   minGRU   z n = W x + b          h' = (1 - sigmoid(z)) h + sigmoid(z) n
//   minLSTM  i f g = W x + b        h' = F h + I g
// F = sigmoid(f) and I = sigmoid(i), each divided by F + I if `normalise`.
// `positive` replaces the candidate v by v + 0.5 if v >= 0, else by sigmoid(v).
#pragma once

#include "tapeloop/nn/cells/gate_weights.h"
#include "tapeloop/nn/cells/gates/diagonal.h"

namespace tapeloop::nn {

// What a given initial state v is: the state, or, with `positive`, the positive function of v, as
// in much public code.
enum class MinInitial { state, through_g };

struct MinGruOptions {
  bool positive = false;                   // of the candidate
  MinInitial initial = MinInitial::state;  // what a given initial state is
  void visit(OptionTable& table) {
    table("positive", positive), table("initial", initial, {"state", "through_g"});
  }
};

namespace detail {
// The state that a stack starts with. Throws if `initial` needs `positive`, and that is false.
void check_min_initial(const char* cell, MinInitial initial, bool positive);
State<1> min_initial(MinInitial initial, const State<1>& given);
}  // namespace detail

// The state is h.
struct MinGruCell {
  using State = nn::State<1>;
  using Options = MinGruOptions;
  Linear from_x;  // [2H, I] in the order z n
  Options own;
  MinGruCell() = default;
  MinGruCell(const RecurrentOptions& options, Random& random, const Options& given = {})
      : from_x(detail::drawn_linear("min_gru", 2 * options.hidden, options, random)), own(given) {
    detail::check_min_initial("min_gru", own.initial, own.positive);
  }
  // What a stack makes of a given initial state.
  State initial(const State& given) const { return detail::min_initial(own.initial, given); }
  std::array<std::int64_t, 1> state_sizes() const { return {from_x.weight.dim(0) / 2}; }
  Var input(const Var& x) const { return from_x(x); }
  Linear input_projection() const { return from_x; }
  Recurrence recurrence() const {
    const auto h = of::state(0);
    return own.positive ? Recurrence(MinGruStep<true>{}, of::input(), h)
                        : Recurrence(MinGruStep<false>{}, of::input(), h);
  }
  void visit(Visitor& v) const { v("weight_ih", from_x.weight), v("bias_ih", from_x.bias); }
};

struct MinLstmOptions {
  bool positive = false;                   // of the candidate
  bool normalise = true;                   // F and I are divided by their sum
  MinInitial initial = MinInitial::state;  // what a given initial state is
  void visit(OptionTable& table) {
    table("positive", positive), table("normalise", normalise);
    table("initial", initial, {"state", "through_g"});
  }
};

// The state is h.
struct MinLstmCell {
  using State = nn::State<1>;
  using Options = MinLstmOptions;
  Linear from_x;  // [3H, I] in the order i f g
  Options own;
  MinLstmCell() = default;
  MinLstmCell(const RecurrentOptions& options, Random& random, const Options& given = {})
      : from_x(detail::drawn_linear("min_lstm", 3 * options.hidden, options, random)), own(given) {
    detail::check_min_initial("min_lstm", own.initial, own.positive);
  }
  // What a stack makes of a given initial state.
  State initial(const State& given) const { return detail::min_initial(own.initial, given); }
  std::array<std::int64_t, 1> state_sizes() const { return {from_x.weight.dim(0) / 3}; }
  Var input(const Var& x) const { return from_x(x); }
  Linear input_projection() const { return from_x; }
  Recurrence recurrence() const {
    return own.positive ? recurrence_of<true>() : recurrence_of<false>();
  }
  void visit(Visitor& v) const { v("weight_ih", from_x.weight), v("bias_ih", from_x.bias); }

 private:
  template <bool kPositive>
  Recurrence recurrence_of() const {
    const auto h = of::state(0);
    return own.normalise ? Recurrence(NormalisedMinLstmStep<kPositive>{}, of::input(), h)
                         : Recurrence(MinLstmStep<kPositive>{}, of::input(), h);
  }
};

using MinGru = Recurrent<MinGruCell>;    // a stack of them
using MinLstm = Recurrent<MinLstmCell>;  // a stack of them

}  // namespace tapeloop::nn
