// SPDX-License-Identifier: MIT
// The operation recurrent(): checks, memory, and the tape entry. A kernel of the device runs the
// loop over time steps. The gradient for a recorded backward pass is in recurrent_recorded.cpp.
#include "tapeloop/autograd/sequence/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/context/scope.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::RecurrentRun;

std::array<RecurrentRun::Piece, 2> RecurrentRun::previous_h(const Tensor& hs) const {
  const Tensor start = initial[0].value().insert_axis(0);
  if (reverse) return {{{0, hs.slice(0, 1, steps())}, {steps() - 1, start}}};
  return {{{0, start}, {1, hs.slice(0, 0, steps() - 1)}}};
}

detail::StepArguments detail::step_arguments(const Recurrence& r, const Var& zx,
                                             std::span<const Var> state) {
  const int gates = static_cast<int>(r.w_hh.dim(0) / r.w_hh.dim(1));
  StepArguments result;
  PoolVector<int> columns;
  const auto add = [&](Var&& x, int count) {
    result.vars.push_back(std::move(x));
    columns.push_back(count);
  };
  if (r.apart) add(Var(zx), gates);
  add(linear(state[0], r.w_hh, r.apart ? r.b_hh : zx), gates);
  const bool takes_h = r.kernel->inputs == gates * (r.apart ? 2 : 1) + r.parts();
  for (std::size_t k = takes_h ? 0 : 1; k < state.size(); ++k) add(Var(state[k]), 1);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    result.inputs.push_back({&result.vars[i], columns[i]});
  }
  return result;
}

namespace {

constexpr std::size_t kMostParts = 8;

void check(const RecurrentRun& run) {
  const Recurrence& r = run.recurrence;
  const PointwiseKernel& kernel = *r.kernel;
  const auto no = [&](const std::string& text) {
    fail("recurrent", fmt::format("\"{}\": {}", kernel.name, text));
  };
  if (!r.w_hh.defined()) no("w_hh is undefined; expected [G*H, H], the weights of G gates");
  for (std::size_t k = 0; k < run.initial.size(); ++k) {
    if (!run.initial[k].defined()) {
      no(fmt::format("part {} of the initial state is undefined; give zeros [N, H] to start from",
                     k));
    }
  }
  const Shape& w = r.w_hh.shape();
  if (w.rank() != 2 || w.dim(1) < 1 || w.dim(0) < 1 || w.dim(0) % w.dim(1) != 0) {
    no(fmt::format("w_hh is {}; expected [G*H, H], the weights of G gates", w.str()));
  }
  const int few = run.gate_arguments() + r.parts() - 1;
  if (kernel.inputs != few && kernel.inputs != few + 1) {
    no(fmt::format(
        "the formula takes {} arguments; with w_hh {} ({} gates{}) and {} results it must "
        "take {}, or {} with h before the other parts of the state",
        kernel.inputs, w.str(), run.gates(), r.apart ? ", products apart" : "", r.parts(), few,
        few + 1));
  }
  if (!run.zx.defined() || run.zx.rank() != 3 || run.zx.dim(2) != w.dim(0)) {
    no(fmt::format("zx is {}, expected [T, N, {}] for w_hh {}",
                   run.zx.defined() ? run.zx.shape().str() : "undefined", w.dim(0), w.str()));
  }
  if (run.initial.size() != static_cast<std::size_t>(r.parts()) ||
      r.parts() > static_cast<int>(kMostParts)) {
    no(fmt::format(
        "{} parts of a state were given, the formula returns {} (at most {} are possible)",
        run.initial.size(), r.parts(), kMostParts));
  }
  if (r.b_hh.defined() && !r.apart) {
    no("b_hh is given, but only a recurrence of with_products_apart() has a bias of its own; add "
       "b_hh to zx");
  }
  if (r.b_hh.defined() && r.b_hh.shape() != Shape{w.dim(0)}) {
    no(fmt::format("b_hh is {}, expected [{}]", r.b_hh.shape().str(), w.dim(0)));
  }
  for (std::size_t k = 0; k < run.initial.size(); ++k) {
    if (run.initial[k].shape() != Shape{run.batch(), run.hidden()}) {
      no(fmt::format("part {} of the initial state is {}, expected [N={}, {}]", k,
                     run.initial[k].shape().str(), run.batch(), run.hidden()));
    }
  }
  if (!run.lengths.empty() && static_cast<std::int64_t>(run.lengths.size()) != run.batch()) {
    no(fmt::format("{} lengths were given for a batch of {}; give one for each sequence",
                   run.lengths.size(), run.batch()));
  }
  for (std::int64_t length : run.lengths) {
    if (length < 0 || length > run.steps()) {
      no(fmt::format("length {} is outside 0..{}, the steps of zx {}", length, run.steps(),
                     run.zx.shape().str()));
    }
  }
  if (run.zx.dtype() == DType::int64) no("zx is int64, expected float32 or float64");
  const auto same = [&](const Var& x) {
    if (x.defined() && (x.dtype() != run.zx.dtype() || x.device() != run.zx.device())) {
      no(
          fmt::format("zx is {}, another operand {}; all must be of one type on one device: "
                      "convert one by to(x, dtype) or copy it by to(x, device)",
                      run.zx.value().describe(), x.value().describe()));
    }
  };
  same(r.w_hh);
  same(r.b_hh);
  for (const Var& part : run.initial) same(part);
}

PoolVector<Tensor> contiguous(std::span<const Var> vars) {
  PoolVector<Tensor> result;
  for (const Var& var : vars) result.push_back(var.value().contiguous());
  return result;
}

RecurrentSequence sequence(const RecurrentRun& run, const PointwiseKernel& kernel) {
  RecurrentSequence result{};
  result.kernel = &kernel;
  result.functor = run.recurrence.formula.bytes;
  result.apart = run.apart();
  result.takes_h = run.takes_h();
  result.reverse = run.reverse;
  result.lengths = run.lengths;
  result.w = run.w().value();
  return result;
}

// Checks that the backward pass reads the same values as the forward pass.
struct SavedStamps {
  detail::Stamp zx, w, b;
  std::array<detail::Stamp, kMostParts> initial, states;

  SavedStamps(const RecurrentRun& run, std::span<const Tensor> all_states)
      : zx(run.in_place ? detail::Stamp() : stamp(run.zx, 0)),
        w(stamp(run.w(), 1)),
        b(run.recurrence.b_hh.defined() ? stamp(run.recurrence.b_hh, 2) : detail::Stamp()) {
    for (std::size_t k = 0; k < all_states.size(); ++k) {
      initial[k] = stamp(run.initial[k], static_cast<unsigned>(k) + 3);
      states[k] = detail::Stamp(all_states[k], kSavedResult);
    }
  }
  // A recorded pass runs the steps again. A pass that is not recorded reads zx only if the products
  // are separate arguments, and never reads the bias.
  void check(const RecurrentRun& run, std::span<const Tensor> all_states, bool recorded) const {
    if (!run.in_place && (recorded || run.apart())) check_one(zx, run.zx.value());
    check_one(w, run.w().value());
    if (recorded && run.recurrence.b_hh.defined()) check_one(b, run.recurrence.b_hh.value());
    for (std::size_t k = 0; k < all_states.size(); ++k) {
      check_one(initial[k], run.initial[k].value());
      check_one(states[k], all_states[k]);
    }
  }

 private:
  static detail::Stamp stamp(const Var& x, unsigned argument) {
    return detail::Stamp(x.value(), argument, detail::pointers_to(x));
  }
  static void check_one(const detail::Stamp& stamp, const Tensor& tensor) {
    if (!stamp.holds(tensor)) detail::saved_value_was_written(tensor, stamp.label());
  }
};

// The backward function. Its arguments are the gradients of hs and of the
// K parts of the last state.
struct RecurrentGradient {
  RecurrentRun run;
  Tensor z;                   // [T, N, G*H]
  PoolVector<Tensor> states;  // [T, N, H], h first
  SavedStamps stamps;

  void operator()(std::span<const Var> douts, Grads& grads) {
    const PointwiseKernel* backward = run.recurrence.kernel->backward;
    if (backward == nullptr) {
      fail("recurrent",
           fmt::format("\"{}\": the gradient of this formula is not compiled: it would have more "
                       "than {} inputs, results and gradients together; use fewer arguments",
                       run.recurrence.kernel->name, kMaxOperands));
    }
    stamps.check(run, states, grads.recording());
    if (grads.recording()) return detail::recorded_gradient(run, states[0], douts, grads);
    RecurrentBackward pass{sequence(run, *backward), {}, {}, {}, {}, {}};
    const PoolVector<Tensor> initial = contiguous(run.initial);
    pass.initial = initial;
    pass.states = states;
    pass.z = z;
    pass.zx = run.in_place ? z : run.zx.value().contiguous();
    if (douts[0].defined()) pass.dhs = douts[0].value().contiguous();
    PoolVector<Tensor> dstates;
    for (std::size_t k = 0; k < initial.size(); ++k) {
      dstates.push_back(douts[k + 1].defined()
                            ? douts[k + 1].value().contiguous().clone()
                            : Tensor::zeros(initial[k].shape(), z.dtype(), z.device()));
    }
    pass.dstates = dstates;
    // If no later backward pass reads z, dz overwrites z.
    pass.dz = grads.last() ? z : Tensor::empty(z.shape(), z.dtype(), z.device());
    pass.dzx = run.apart() ? Tensor::empty(z.shape(), z.dtype(), z.device()) : pass.dz;
    pass.dz.mark_written();
    if (detail::observes_states(run, grads)) {
      pass.dh = Tensor::empty(states[0].shape(), z.dtype(), z.device());
    }
    backend(z.device()).recurrent_backward(pass);
    if (pass.dh.defined()) detail::observe_backward(run, grads, pass.dh, pass.dz, pass.dzx);

    grads.add(0, Var(pass.dzx));
    add_weight_gradients(pass.dz, grads);
    for (std::size_t k = 0; k < dstates.size(); ++k)
      grads.add(static_cast<int>(k) + 3, Var(dstates[k]));
  }

  // In blocks of time steps from the last to the first, in the order of a
  // backward pass of single steps.
  void add_weight_gradients(const Tensor& dz, Grads& grads) const {
    const std::int64_t group = backend(dz.device()).gradient_rows();
    const std::int64_t size = (group + run.batch() - 1) / run.batch();
    for (std::int64_t end = run.steps(); end > 0; end -= size) {
      const std::int64_t begin = std::max<std::int64_t>(0, end - size);
      const std::int64_t first = std::min(run.time(begin), run.time(end - 1));
      const std::int64_t last = first + end - begin;
      for (const auto& [start, h] : run.previous_h(states[0])) {
        const std::int64_t from = std::max(first, start);
        const std::int64_t to = std::min(last, start + h.dim(0));
        if (from >= to || !grads.needs(1)) continue;
        const Tensor dz_part = dz.slice(0, from, to);
        const Tensor h_part = h.slice(0, from - start, to - start);
        detail::defer_weight_gradient(grads, 1, Var(dz_part), Var(h_part));
      }
      if (grads.needs(2)) detail::defer_bias_gradient(grads, 2, Var(dz.slice(0, first, last)));
    }
  }
};

// For zero time steps or an empty batch: all gradients are zeros.
struct NothingToDo {
  RecurrentRun run;

  void operator()(const Var& dy, Grads& grads) const {
    const Var nothing = sum(dy);
    const auto add = [&](int input, const Var& x) {
      grads.add(input, [&] { return expand(nothing, x.shape()); });
    };
    add(0, run.zx);
    add(1, run.w());
    add(2, run.recurrence.b_hh);
    for (std::size_t k = 0; k < run.initial.size(); ++k) {
      add(static_cast<int>(k) + 3, run.initial[k]);
    }
  }
};

}  // namespace

PoolVector<Var> Recurrence::step(const Var& zx, std::span<const Var> state) const {
  if (!defined())
    fail("recurrent", "the recurrence is undefined; build it from a formula and w_hh");
  if (w_hh.rank() != 2 || w_hh.dim(1) < 1 || w_hh.dim(0) % w_hh.dim(1) != 0 ||
      state.size() != static_cast<std::size_t>(parts())) {
    fail("recurrent", fmt::format("\"{}\": step: w_hh is {} and the state has {} parts; expected "
                                  "w_hh [G*H, H], the weights of G gates, and {} parts",
                                  kernel->name, w_hh.shape().str(), state.size(), parts()));
  }
  const detail::StepArguments arguments = detail::step_arguments(*this, zx, state);
  PoolVector<Var> result(static_cast<std::size_t>(parts()));
  const PoolVector<int> ones(result.size(), 1);
  detail::pointwise(*kernel, formula, arguments.inputs, ones, result);
  return result;
}

RecurrentResult recurrent(const Recurrence& recurrence, Var zx, std::span<const Var> state,
                          const SequenceOptions& options) {
  if (!recurrence.defined())
    fail("recurrent", "the recurrence is undefined; build it from a formula and w_hh");
  RecurrentRun run{recurrence,
                   options.reverse,
                   {options.lengths.begin(), options.lengths.end()},
                   {state.begin(), state.end()},
                   std::move(zx),
                   false,
                   {}};
  check(run);
  run.part = detail::begin_sequence(options.part, run.steps(), run.reverse);
  std::array<const Var*, 3 + kMostParts> inputs = {&run.zx, &run.recurrence.w_hh,
                                                   &run.recurrence.b_hh};
  for (std::size_t k = 0; k < run.initial.size(); ++k) inputs[3 + k] = &run.initial[k];
  const std::span<const Var* const> input_list(inputs.data(), 3 + run.initial.size());
  const detail::Operation operation("recurrent");
  const bool recorded = Recorder::wanted("recurrent", input_list);
  if (run.steps() == 0 || run.batch() == 0) {
    Var hs(
        Tensor::empty({run.steps(), run.batch(), run.hidden()}, run.zx.dtype(), run.zx.device()));
    PoolVector<Var> last = run.initial;
    if (recorded) Recorder::record("recurrent", input_list, {&hs, 1}, NothingToDo{run});
    return {hs, std::move(last)};
  }

  const Tensor& given = run.zx.value();
  run.in_place = !run.apart() && !run.zx.is_parameter() &&
                 run.zx.body()->references.load(std::memory_order_relaxed) == 1 &&
                 !given.shares_memory_with_others() && given.is_contiguous();
  RecurrentForward pass{sequence(run, *recurrence.kernel), {}};
  pass.zx = given.contiguous();
  pass.z = run.in_place ? pass.zx
                        : Tensor::empty(given.shape().with(0, recorded ? run.steps() : 1),
                                        given.dtype(), given.device());
  if (recurrence.b_hh.defined()) pass.bias = recurrence.b_hh.value().contiguous();
  const PoolVector<Tensor> initial = contiguous(run.initial);
  PoolVector<Tensor> states;
  for (std::size_t k = 0; k < initial.size(); ++k) {
    const std::int64_t steps = recorded || k == 0 ? run.steps() : 1;
    states.push_back(
        Tensor::empty({steps, run.batch(), run.hidden()}, given.dtype(), given.device()));
  }
  pass.initial = initial;
  pass.states = states;
  pass.z.mark_written();
  backend(given.device()).recurrent_forward(pass);
  if (recorded) detail::observe_forward(run, pass.z, states);

  // The last state is a copy, so that a caller who keeps it does not keep the
  // memory of the whole sequence.
  std::array<Var, 1 + kMostParts> outputs;
  outputs[0] = Var(states[0]);
  const std::int64_t last = run.time(run.steps() - 1);
  for (std::size_t k = 0; k < states.size(); ++k) {
    outputs[1 + k] = Var(states[k].select(0, states[k].dim(0) == 1 ? 0 : last).clone());
  }
  const std::span<Var> output_list(outputs.data(), 1 + states.size());
  if (recorded) {
    RecurrentGradient gradient{run, pass.z, states, SavedStamps(run, states)};
    pass = {};
    Recorder::record("recurrent", input_list, output_list, std::move(gradient));
  }
  return {outputs[0],
          {outputs.begin() + 1, outputs.begin() + 1 + static_cast<std::ptrdiff_t>(states.size())}};
}

}  // namespace tapeloop
