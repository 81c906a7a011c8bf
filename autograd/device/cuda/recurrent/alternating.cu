// SPDX-License-Identifier: MIT
// The alternating form of recurrent(): a product and one pointwise kernel in turn, all enqueued
// without a wait, for every formula and shape. The form with a single launch is in persistent.cu.
// The reference for tests is the same formula unrolled on the tape. The gradient of the weights is
// not calculated here.
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"

namespace tapeloop::cuda {
namespace {

// Sets the rows of sequences that have ended (with `running`: that have not) to `from`, or to 0 if
// it is null.
template <class T>
__global__ void __launch_bounds__(kThreads)
    set_rows_kernel(T* to, const T* from, std::int64_t rows, std::int64_t width, Running at,
                    bool running) {
  const std::int64_t i = thread_number();
  if (i >= rows * width) return;
  if ((at.lengths[divide(i, width).quotient] > at.time) != running) return;
  to[i] = from == nullptr ? T{0} : from[i];
}

template <class T>
__global__ void __launch_bounds__(kThreads) add_kernel(T* to, const T* more, std::int64_t count) {
  const std::int64_t i = thread_number();
  if (i < count) to[i] += more[i];
}

void set_rows(const Tensor& to, const Tensor& from, const Running& at, bool running) {
  const Grid grid(to.numel());
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(set_rows_kernel<T>, grid.blocks, grid.threads, 0, static_cast<T*>(to.raw()),
           from.defined() ? static_cast<const T*>(from.raw()) : nullptr, to.dim(0), to.dim(1), at,
           running);
  });
}

void add(const Tensor& to, const Tensor& more) {
  const Grid grid(to.numel());
  with_float_type(to.dtype(), [&]<class T>(T) {
    launch(add_kernel<T>, grid.blocks, grid.threads, 0, static_cast<T*>(to.raw()),
           static_cast<const T*>(more.raw()), to.numel());
  });
}

class Sequence {
 public:
  explicit Sequence(const RecurrentSequence& run)
      : run_(run),
        steps_(run.zx.dim(0)),
        n_(run.zx.dim(1)),
        h_(run.w.dim(1)),
        gates_(run.w.dim(0) / run.w.dim(1)),
        launch_(find_pointwise(*run.kernel, run.zx.dtype())),
        lengths_(run.lengths.size() * sizeof(std::int64_t)) {
    upload(lengths_.as<std::int64_t>(), run.lengths.data(), run.lengths.size_bytes());
    plan_.rank = 2;
    plan_.sizes[0] = n_;
    plan_.sizes[1] = h_;
  }

  std::int64_t time(std::int64_t step) const { return run_.reverse ? steps_ - 1 - step : step; }
  std::size_t parts() const { return run_.states.size(); }
  bool has_lengths() const { return !run_.lengths.empty(); }
  Running running(std::int64_t t) const {
    return has_lengths() ? Running{lengths_.as<std::int64_t>(), t} : Running{};
  }
  // The matrix of a time step. A tensor with a single matrix gives the same matrix at each step.
  static Tensor at(const Tensor& tensor, std::int64_t t) {
    return tensor.select(0, tensor.dim(0) == 1 ? 0 : t);
  }
  Tensor previous(std::size_t k, std::int64_t step) const {
    return step == 0 ? run_.initial[k] : at(run_.states[k], time(step - 1));
  }

  // The operands of the pointwise kernel, in the order of its arguments.
  void begin() { operands_ = 0; }
  void give(const Tensor& matrix) { give(static_cast<char*>(matrix.raw()), h_); }
  void give_gates(const Tensor& matrix) {
    for (std::int64_t g = 0; g < gates_; ++g) {
      give(static_cast<char*>(matrix.raw()) + g * h_ * size_of(matrix.dtype()), gates_ * h_);
    }
  }
  void formula(std::int64_t t) const { launch_(run_.functor, plan_, running(t)); }

 private:
  void give(char* data, std::int64_t row) {
    LoopPlan::Operand& operand = plan_.operands[operands_++];
    operand.data = data;
    operand.strides[0] = row;
    operand.strides[1] = 1;
  }

  const RecurrentSequence& run_;
  std::int64_t steps_, n_, h_, gates_;
  PointwiseLaunch launch_;
  Scratch lengths_;
  LoopPlan plan_{};
  int operands_ = 0;
};

// Matrix product: to = (accumulate ? to : 0) + a b
void multiply(const Tensor& to, const Tensor& a, const Tensor& b, bool accumulate) {
  const Product one[] = {{a.insert_axis(0), b.insert_axis(0)}};
  matmul(to.insert_axis(0), one, accumulate);
}

}  // namespace

void recurrent_forward(const RecurrentForward& run) {
  if (persistent_forward(run)) return;
  Sequence s(run);
  const bool each_step = run.z.dim(0) == 1;  // the pre-activations are not read later
  const bool added = !run.apart || run.bias.defined();
  // The product is added to zx, or to the bias if the formula gets zx separately.
  const Tensor first = run.apart ? run.bias : run.zx;
  const bool in_place = added && first.raw() == run.z.raw();
  if (added && !in_place && !each_step) {
    copy(run.z, run.apart ? first.expand(run.z.shape()) : first);
  }
  const Tensor w = run.w.transpose(0, 1);
  for (std::int64_t step = 0; step < run.zx.dim(0); ++step) {
    const std::int64_t t = s.time(step);
    const Tensor z = Sequence::at(run.z, t);
    if (added && !in_place && each_step) {
      copy(z, run.apart ? first.expand(z.shape()) : Sequence::at(first, t));
    }
    multiply(z, s.previous(0, step), w, added);
    s.begin();
    if (run.apart) s.give_gates(Sequence::at(run.zx, t));
    s.give_gates(z);
    for (std::size_t k = run.takes_h ? 0 : 1; k < s.parts(); ++k) s.give(s.previous(k, step));
    for (const Tensor& state : run.states) s.give(Sequence::at(state, t));
    s.formula(t);
    if (!s.has_lengths()) continue;
    // Past the end of its sequence a state does not change.
    for (std::size_t k = 0; k < s.parts(); ++k) {
      const Tensor before = s.previous(k, step);
      const Tensor now = Sequence::at(run.states[k], t);
      if (before.raw() != now.raw()) set_rows(now, before, s.running(t), false);
    }
  }
}

void recurrent_backward(const RecurrentBackward& run) {
  if (persistent_backward(run)) return;
  Sequence s(run);
  const Tensor& dh = run.dstates[0];
  for (std::int64_t step = run.zx.dim(0); step-- > 0;) {
    const std::int64_t t = s.time(step);
    const Tensor dz = Sequence::at(run.dz, t);
    if (run.dhs.defined()) add(dh, Sequence::at(run.dhs, t));
    if (run.dh.defined()) copy(Sequence::at(run.dh, t), dh);
    s.begin();
    if (run.apart) s.give_gates(Sequence::at(run.zx, t));
    s.give_gates(Sequence::at(run.z, t));
    for (std::size_t k = run.takes_h ? 0 : 1; k < s.parts(); ++k) s.give(s.previous(k, step));
    for (const Tensor& dstate : run.dstates) s.give(dstate);
    // Results: the gradients of the inputs, each in the place of the gradient that it replaces.
    if (run.apart) s.give_gates(Sequence::at(run.dzx, t));
    s.give_gates(dz);
    for (std::size_t k = run.takes_h ? 0 : 1; k < s.parts(); ++k) s.give(run.dstates[k]);
    s.formula(t);
    if (s.has_lengths()) {  // the state did not change: its gradient passes through
      set_rows(dz, {}, s.running(t), false);
      if (run.apart) set_rows(Sequence::at(run.dzx, t), {}, s.running(t), false);
      if (!run.takes_h) set_rows(dh, {}, s.running(t), true);
    }
    // dh of the previous time step: dz w, and the part of dh that did not pass through the product.
    multiply(dh, dz, run.w, run.takes_h || s.has_lengths());
  }
}

}  // namespace tapeloop::cuda
