// SPDX-License-Identifier: MIT
// The mLSTM: its weights, a single step, and a sequence chunk by chunk.
#include "tapeloop/nn/cells/xlstm/mlstm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/schedule/lengths.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gate_weights.h"

namespace tapeloop::nn {

namespace {

// i of a step that is no part of a sequence, and m of no state: less than any other, and less than
// each other, so that e^(i - m) is 0.
constexpr double kNoInput = -1e35, kNoState = -1e30;

// The logarithm of the forget gate.
Var log_forget(ForgetGate forget, const Var& f) {
  return forget == ForgetGate::sigmoid ? -softplus(-f) : f;
}

// m [.., heads, 1] where there is a state: n [.., heads, D] is not 0.
Var known_maximum(const Var& n, const Var& m) {
  const Var zero(Tensor::zeros({}, m.dtype(), m.device()));
  const Var none = equal(max(abs(n.detach()), {-1}, true), zero);
  return select(none, Var(Tensor::full({}, kNoState, m.dtype(), m.device())), m);
}

// The largest element up to each one, along the last axis.
Var running_maximum(Var x) {
  const std::int64_t size = x.dim(-1);
  for (std::int64_t shift = 1; shift < size; shift *= 2) {
    const Var later = max(slice(x, -1, shift, size), slice(x, -1, 0, size - shift));
    x = concat({slice(x, -1, 0, shift), later}, -1);
  }
  return x;
}

// [L, N, heads * size] -> [N, heads, L, size]
Var by_head(const Var& x, int heads) {
  const std::int64_t size = x.dim(2) / heads;
  return permute(reshape(x, {x.dim(0), x.dim(1), heads, size}), {1, 2, 0, 3});
}

Var last_of(const Var& x, int axis) { return slice(x, axis, x.dim(axis) - 1, x.dim(axis)); }

// The state of all heads: C [N, heads, D, D], n [N, heads, D], m [N, heads, 1]. No C: no state.
struct Memory {
  Var c, n, m;
};

// One chunk of L steps: q, k, v, o [N, heads, L, D], i and log f [N, heads, L].
struct Chunk {
  Var q, k, v, o, i, log_f;
};

// The outputs [N, heads, L, D], and the next state in `memory`.
Var run_chunk(const Chunk& x, Memory& memory, double epsilon) {
  const std::int64_t steps = x.i.dim(-1);
  const bool started = memory.c.defined();
  const Var sum = cumsum(x.log_f, -1), a = x.i - sum;
  const Var known = started ? known_maximum(memory.n, memory.m) : Var();
  Var most = running_maximum(a);
  if (started) most = max(most, known);
  const Var m = sum + most, d = -most;
  const Var at = cumsum(Var(Tensor::full({steps}, 1, x.i.dtype(), x.i.device())), 0);
  const Var w = pointwise(MlstmScore{}, matmul(x.q, transpose(x.k)), insert_axis(d, -1),
                          insert_axis(a, -2), insert_axis(at, -1), at);
  Var r = matmul(w, x.v), nq = tapeloop::sum(w, {-1}, true);
  const Var take = exp(a + last_of(d, -1));  // how much of each step is in the next state
  Var c = matmul(transpose(x.v * insert_axis(take, -1)), x.k);
  Var n = matmul(insert_axis(take, -2), x.k);  // [N, heads, 1, D]
  if (started) {
    const Var keep = insert_axis(exp(d + known), -1);  // [N, heads, L, 1]
    r = r + keep * matmul(x.q, transpose(memory.c));
    nq = nq + keep * matmul(x.q, insert_axis(memory.n, -1));
    const Var kept = last_of(keep, -2);
    c = c + kept * memory.c;
    n = n + kept * insert_axis(memory.n, -2);
  }
  memory = {c, select_index(n, -2, 0), last_of(m, -1)};
  const Var below = insert_axis(m, -1);
  return x.o.defined() ? pointwise(MlstmOutput{epsilon}, x.o, r, nq, below)
                       : pointwise(MlstmRead{epsilon}, r, nq, below);
}

}  // namespace

// Of sequences without steps the state before, of others the last one. running [T, N].
static void keep_of_empty(State<4>& last, const State<4>& start, const Tensor& running) {
  const Var has_steps = max(Var(running), {0}, false);
  const Var zero(Tensor::zeros({}, running.dtype(), running.device()));
  for (std::size_t k = 1; k < State<4>::parts; ++k) {
    last[k] = select(insert_axis(has_steps, 1), last[k], start[k].defined() ? start[k] : zero);
  }
}

Unrolled<State<4>> detail::run_mlstm(const MlstmSequence& s, const State<4>& start,
                                     const Tensor& running, const MlstmOptions& own) {
  const std::int64_t steps = s.q.dim(0), batch = s.q.dim(1), size = s.q.dim(2);
  const std::int64_t heads = own.heads, d = size / heads;
  const std::int64_t chunk = own.chunk == 0 ? steps : own.chunk;
  Var i = s.i, log_f = log_forget(own.forget, s.f);
  if (running.defined()) {
    const Var mask(running.insert_axis(2));
    i = select(mask, i, Var(Tensor::full({}, kNoInput, i.dtype(), i.device())));
    log_f = select(mask, log_f, Var(Tensor::zeros({}, i.dtype(), i.device())));
  }
  Memory memory;
  if (start[1].defined()) {
    memory = {reshape(start[1], {batch, heads, d, d}), reshape(start[2], {batch, heads, d}),
              insert_axis(start[3], -1)};
  }
  PoolVector<Var> outputs;
  for (std::int64_t first = 0; first < steps; first += chunk) {
    const std::int64_t end = std::min(first + chunk, steps);
    const auto part = [&](const Var& x) { return by_head(slice(x, 0, first, end), own.heads); };
    const auto gates = [&](const Var& x) { return permute(slice(x, 0, first, end), {1, 2, 0}); };
    const Chunk x{part(s.q), part(s.k),   part(s.v), s.o.defined() ? part(s.o) : Var(),
                  gates(i),  gates(log_f)};
    const Var h = permute(run_chunk(x, memory, own.epsilon), {2, 0, 1, 3});
    outputs.push_back(reshape(h, {end - first, batch, size}));
  }
  State<4> last(Var(), reshape(memory.c, {batch, size * d}), reshape(memory.n, {batch, size}),
                select_index(memory.m, -1, 0));
  if (running.defined()) keep_of_empty(last, start, running);
  return {outputs.size() == 1 ? outputs[0] : concat(outputs, 0), last};
}

MlstmCell::MlstmCell(const RecurrentOptions& o, Random& random, const Options& given) : own(given) {
  detail::check_sizes("mlstm", o);
  if (own.heads < 1 || o.hidden % own.heads != 0) {
    fail("mlstm", fmt::format("hidden is {}, heads {}; expected heads that divide the hidden units",
                              o.hidden, own.heads));
  }
  if (own.chunk < 0) {
    fail("mlstm", fmt::format("chunk is {}, expected a number of steps, or 0: the whole sequence",
                              own.chunk));
  }
  for (Var* w : {&weight_q, &weight_k, &weight_v, &weight_o}) {
    *w = detail::drawn({o.hidden, o.input}, o, random);
  }
  weight_if = detail::drawn({2 * own.heads, o.input}, o, random);
  if (!o.bias) return;
  for (Var* b : {&bias_q, &bias_k, &bias_v, &bias_o}) *b = detail::drawn({o.hidden}, o, random);
  bias_if = detail::drawn({2 * own.heads}, o, random);
}

Linear MlstmCell::input_projection() const {
  const std::int64_t head = weight_q.dim(0) / own.heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head));
  Linear result;
  result.weight = concat({weight_q, weight_k * scale, weight_v, weight_o, weight_if}, 0);
  if (bias_q.defined()) {
    result.bias = concat({bias_q, bias_k * scale, bias_v, bias_o, bias_if}, 0);
  }
  return result;
}

Var MlstmCell::input(const Var& x) const {
  detail::check_features("mlstm", x, weight_q.dim(1));
  return input_projection()(x);
}

namespace {

// The columns of zx [.., 4 H + 2 heads]: q, k, v, o, i, f.
PoolVector<Var> columns_of(const Var& zx, std::int64_t size, std::int64_t heads) {
  const std::int64_t sizes[] = {size, size, size, size, heads, heads};
  return split(zx, sizes, -1);
}

}  // namespace

MlstmCell::State MlstmCell::step(const Var& zx, const State& state) const {
  const std::int64_t n = zx.dim(0), size = weight_q.dim(0), heads = own.heads, d = size / heads;
  const PoolVector<Var> z = columns_of(zx, size, heads);
  const auto rows = [&](const Var& x) { return reshape(x, {n, heads, 1, d}); };
  const Var q = rows(z[0]), k = rows(z[1]), v = rows(z[2]);
  const Var log_f = log_forget(own.forget, z[5]);
  const Var c = reshape(state[1], {n, heads, d, d}), norm = rows(state[2]);
  const Var known =
      select_index(known_maximum(select_index(norm, 2, 0), insert_axis(state[3], -1)), -1, 0);
  const Var m = max(log_f + known, z[4]);
  const auto number = [&](const Var& x) { return reshape(x, {n, heads, 1, 1}); };
  const Var keep = number(exp(log_f + known - m)), take = number(exp(z[4] - m));
  const Var c_next = keep * c + take * matmul(transpose(v), k);
  const Var n_next = keep * norm + take * k;
  const Var r = matmul(q, transpose(c_next)), nq = sum(n_next * q, {-1}, true);
  const Var h = pointwise(MlstmOutput{own.epsilon}, rows(z[3]), r, nq, number(m));
  return State(reshape(h, {n, size}), reshape(c_next, {n, size * d}), reshape(n_next, {n, size}),
               m);
}

Unrolled<MlstmCell::State> MlstmCell::sequence(const Var& xs, const State& start,
                                               const UnrollOptions& options) const {
  const Var zx = input(options.reverse ? flip(xs, 0) : xs);
  Tensor running;
  if (!options.lengths.empty()) {
    running = tapeloop::detail::mask_within(options.lengths, xs.dim(0), xs.dtype(), xs.device());
    if (options.reverse) running = running.flip(0);
  }
  const PoolVector<Var> z = columns_of(zx, weight_q.dim(0), own.heads);
  Unrolled<State> result =
      detail::run_mlstm({z[0], z[1], z[2], z[3], z[4], z[5]}, start, running, own);
  if (options.reverse) result.ys = flip(result.ys, 0);
  return result;
}

}  // namespace tapeloop::nn
