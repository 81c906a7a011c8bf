// SPDX-License-Identifier: MIT
// The gradient of recurrent() by ordinary operations, for second derivatives. Slower than the
// kernel, and keeps the results of every time step on the tape.
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent_run.h"

namespace tapeloop::detail {

namespace {

class Replay {
 public:
  Replay(const RecurrentRun& run, const Tensor& hs) : run_(run), hs_(hs) {}

  void operator()(std::span<const Var> douts, Grads& grads) {
    const std::size_t parts = run_.initial.size();
    const PoolVector<Var> zxs = clean_zx();
    const PoolVector<PoolVector<Var>> states = forward(zxs);
    PoolVector<Var> d;  // the gradient of the state after the current step
    for (std::size_t k = 0; k < parts; ++k)
      d.push_back(douts[k + 1].defined() ? douts[k + 1] : zeros());
    const PoolVector<Var> dhs = douts[0].defined() ? unstack(douts[0]) : PoolVector<Var>();
    PoolVector<Var> dzs(zxs.size()), dzxs(zxs.size()), befores(zxs.size());
    for (std::int64_t step = run_.steps(); step-- > 0;) {
      const auto t = static_cast<std::size_t>(run_.time(step));
      const PoolVector<Var>& before = states[static_cast<std::size_t>(step)];
      if (!dhs.empty()) d[0] = d[0] + dhs[t];
      const Var running = mask(static_cast<std::int64_t>(t));
      if (run_.part.logged()) {
        const Var dh = running.defined() ? select(running, d[0], zeros()) : d[0];
        run_.part.note(static_cast<std::int64_t>(t), dh.value());
      }
      StepArguments arguments = step_arguments(run_.recurrence, zxs[t], before);
      PoolVector<PointwiseInput>& inputs = arguments.inputs;
      PoolVector<int> columns;
      for (const PointwiseInput& input : inputs) columns.push_back(input.columns);
      PoolVector<Var> dinputs(inputs.size());
      PoolVector<Var> upstream = d;
      for (Var& dy : upstream) {
        if (running.defined()) dy = select(running, dy, zeros());
        inputs.push_back({&dy, 1});
      }
      detail::pointwise(*run_.recurrence.kernel->backward, run_.recurrence.formula, inputs, columns,
                        dinputs);
      const PoolVector<Var> after = d;
      std::size_t next = run_.apart() ? 2 : 1;
      dzxs[t] = dinputs[0];
      dzs[t] = dinputs[next - 1];
      befores[t] = before[0];
      d[0] = linear(dzs[t], transpose(run_.w()));
      if (run_.takes_h()) d[0] = d[0] + dinputs[next++];
      for (std::size_t k = 1; k < parts; ++k) d[k] = dinputs[next++];
      for (std::size_t k = 0; running.defined() && k < parts; ++k)
        d[k] = select(running, d[k], after[k]);
    }
    const Shape flat{run_.steps() * run_.batch(), run_.w().dim(0)};
    const Var dz = reshape(stack(dzs), flat);
    grads.add(0, stack(dzxs));
    grads.add(1, [&] {
      return matmul(transpose(dz), reshape(stack(befores), flat.with(1, run_.hidden())));
    });
    grads.add(2, [&] { return sum(dz, {0}); });
    for (std::size_t k = 0; k < parts; ++k) grads.add(static_cast<int>(k) + 3, d[k]);
  }

 private:
  // zx by time step, 0 after the end of a sequence: a NaN there would give 0 * NaN in the gradient.
  PoolVector<Var> clean_zx() const {
    PoolVector<Var> zxs = unstack(original_zx());
    for (std::size_t t = 0; t < zxs.size(); ++t) {
      const Var running = mask(static_cast<std::int64_t>(t));
      if (running.defined()) {
        zxs[t] = select(running, zxs[t], Var(Tensor::zeros({}, hs_.dtype(), hs_.device())));
      }
    }
    return zxs;
  }
  // The states before each step.
  PoolVector<PoolVector<Var>> forward(const PoolVector<Var>& zxs) const {
    PoolVector<PoolVector<Var>> states;
    states.push_back(run_.initial);
    for (std::int64_t step = 0; step < run_.steps(); ++step) {
      const std::int64_t t = run_.time(step);
      const PoolVector<Var> before = states.back();
      PoolVector<Var> next = run_.recurrence.step(zxs[static_cast<std::size_t>(t)], before);
      if (const Var running = mask(t); running.defined()) {
        for (std::size_t k = 0; k < next.size(); ++k) next[k] = select(running, next[k], before[k]);
      }
      states.push_back(std::move(next));
    }
    return states;
  }
  Var zeros() const {
    return Var(Tensor::zeros({run_.batch(), run_.hidden()}, hs_.dtype(), hs_.device()));
  }
  // [N, 1]: 1 if a sequence runs at time t, else 0; undefined if all sequences have T steps.
  Var mask(std::int64_t t) const {
    if (run_.lengths.empty()) return Var();
    const Tensor result = Tensor::zeros({run_.batch(), 1}, hs_.dtype(), hs_.device());
    for (std::size_t n = 0; n < run_.lengths.size(); ++n) {
      if (t < run_.lengths[n]) result.select(0, static_cast<std::int64_t>(n)).fill(1);
    }
    return Var(result);
  }
  // zx with its history. If its values were overwritten, they are calculated as z - w h.
  Var original_zx() const {
    if (!run_.in_place) return run_.zx;
    const Tensor value = run_.zx.value().clone();
    for (const auto& [first, h] : run_.previous_h(hs_)) {
      if (h.dim(0) == 0) continue;
      const Tensor part = value.slice(0, first, first + h.dim(0));
      add_in_place(part, (-linear(Var(h), Var(run_.w().value()))).value());
    }
    return same_variable(run_.zx, value);
  }

  const RecurrentRun& run_;
  const Tensor& hs_;
};

}  // namespace

void recorded_gradient(const RecurrentRun& run, const Tensor& hs, std::span<const Var> douts,
                       Grads& grads) {
  Replay(run, hs)(douts, grads);
}

}  // namespace tapeloop::detail
