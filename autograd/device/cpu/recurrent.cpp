// SPDX-License-Identifier: MIT
// The time loop of recurrent(). Each thread owns some hidden units, with all of their gates, for
// the whole sequence. A time step is a product for the thread's own columns, the formula on them
// while they are in the cache, and one barrier.
#include "tapeloop/autograd/device/cpu/recurrent.h"

#include <algorithm>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cpu/packed_weight.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/device/cpu/walk.h"

namespace tapeloop::cpu {
namespace {

// With fewer flops per thread, a time step ends before another thread could help: a barrier costs
// some 200 ns.
constexpr double kFlopsPerMember = 4e5;

// A tensor [T, N, width] as a matrix [N, width] for each time step. A tensor with a single matrix
// gives the same matrix at each step.
template <class T>
struct Steps {
  T* data = nullptr;
  std::int64_t width = 0;
  std::int64_t per_step = 0;

  Steps() = default;
  explicit Steps(const Tensor& tensor) {
    if (!tensor.defined()) return;
    data = static_cast<T*>(tensor.raw());
    width = tensor.dim(-1);
    per_step = tensor.rank() == 3 && tensor.dim(0) > 1 ? tensor.stride(0) : 0;
  }
  T* at(std::int64_t t) const { return data == nullptr ? nullptr : data + t * per_step; }
};

// Shared by forward and backward: sizes, the rows that run at a time step, and the operands of the
// pointwise kernel.
template <class T>
class Sequence {
 public:
  Sequence(const RecurrentSequence& run)
      : run_(run),
        steps_(run.zx.dim(0)),
        n_(run.zx.dim(1)),
        h_(run.w.dim(1)),
        gates_(run.w.dim(0) / run.w.dim(1)),
        zx_(run.zx),
        z_(run.z) {
    for (std::size_t k = 0; k < run.states.size(); ++k) {
      states_[k] = Steps<T>(run.states[k]);
      initial_[k] = Steps<T>(run.initial[k]);
    }
    plan_.rank = 2;
    plan_.sizes[0] = n_;
  }

  int members() const {
    const double flops = 2.0 * static_cast<double>(n_ * run_.w.numel());
    const double most = std::min(flops / kFlopsPerMember, 1e9);
    return std::max(1, std::min(num_threads(), static_cast<int>(most)));
  }
  std::int64_t time(std::int64_t step) const { return run_.reverse ? steps_ - 1 - step : step; }
  int parts() const { return static_cast<int>(run_.states.size()); }

  // Part k of the state before the given step.
  T* previous(int k, std::int64_t step) const {
    const auto i = static_cast<std::size_t>(k);
    return step == 0 ? initial_[i].data : states_[i].at(time(step - 1));
  }

  // Calls body(first row, last row, running) for each range of adjacent rows. running: the time
  // step is within the lengths of all these sequences; otherwise it is past all of them.
  template <class Body>
  void by_rows(std::int64_t t, Body body) const {
    const auto running = [&](std::int64_t n) {
      return run_.lengths.empty() || t < run_.lengths[static_cast<std::size_t>(n)];
    };
    for (std::int64_t n = 0; n < n_;) {
      const bool kind = running(n);
      std::int64_t end = run_.lengths.empty() ? n_ : n + 1;
      while (end < n_ && running(end) == kind) ++end;
      body(n, end, kind);
      n = end;
    }
  }

  // Collects the operands of the pointwise kernel, in the order of its arguments: the first element
  // and the distance between rows.
  struct Operands {
    LoopPlan& plan;
    int count = 0;
    void add(T* data, std::int64_t row) {
      plan.operands[count].data = reinterpret_cast<char*>(data);
      plan.operands[count].strides[0] = row;
      plan.operands[count].strides[1] = 1;
      ++count;
    }
    void add_gates(T* z, std::int64_t gates, std::int64_t h) {
      for (std::int64_t g = 0; g < gates; ++g) add(z == nullptr ? nullptr : z + g * h, gates * h);
    }
  };

  const RecurrentSequence& run_;
  std::int64_t steps_, n_, h_, gates_;
  Steps<T> zx_, z_;
  std::array<Steps<T>, kMaxOperands> states_, initial_;
  LoopPlan plan_{};  // each team member works on a copy
};

// One team member's share: panels [first_panel, last_panel) of `width` hidden units each, which are
// units [begin, end).
struct Share {
  std::int64_t first_panel, last_panel, begin, end;
  Share(std::int64_t panels, std::int64_t units, std::int64_t width, int member, int members)
      : first_panel(panels * member / members),
        last_panel(panels * (member + 1) / members),
        begin(first_panel * width),
        end(std::min(units, last_panel * width)) {}
};

void zero_rows(auto* data, std::int64_t row, std::int64_t first, std::int64_t last,
               const Share& share) {
  for (std::int64_t n = first; n < last; ++n) {
    std::fill(data + n * row + share.begin, data + n * row + share.end, 0);
  }
}

}  // namespace

template <class T>
void recurrent_forward(const RecurrentForward& run) {
  const Sequence<T> s(run);
  const auto& kernels = cpu::kernels().of<T>();
  const std::int64_t width = kernels.panel_width, gh = s.gates_ * s.h_;
  const PackedWeight<T> packed(run.w, {run.w.read<T>(), run.w.stride(1), run.w.stride(0)}, s.h_, gh,
                               s.gates_);
  const std::int64_t panels = packed.panels_per_group();
  const T* bias = run.bias.defined() ? run.bias.read<T>() : nullptr;
  parallel_team(s.members(), [&](internal::Team& team, int member) {
    const Share share(panels, s.h_, width, member, team.size());
    LoopPlan plan = s.plan_;
    plan.sizes[1] = share.end - share.begin;
    for (std::int64_t step = 0; step < s.steps_; ++step) {
      const std::int64_t t = s.time(step);
      // z = zx + w h; if `apart`, z = w h + bias, and the formula gets zx and z separately.
      PanelProduct<T> product{
          s.n_, s.h_, s.previous(0, step), s.h_, nullptr, 0, 0, 0, nullptr, 0, nullptr, gh};
      product.ld_init = run.apart ? 0 : gh;
      const T* init = run.apart ? bias : s.zx_.at(t);
      const bool at_once = team.size() == 1 && s.h_ % width == 0;
      for (std::int64_t g = 0; g < (at_once ? 1 : s.gates_); ++g) {
        product.panels = packed.panels(g);
        product.first = at_once ? 0 : share.first_panel;
        product.last = at_once ? panels * s.gates_ : share.last_panel;
        product.n = at_once ? gh : s.h_;
        product.init = init == nullptr ? nullptr : init + g * s.h_;
        product.c = s.z_.at(t) + g * s.h_;
        kernels.multiply_panels(product);
      }
      typename Sequence<T>::Operands operands{plan};
      if (run.apart) operands.add_gates(s.zx_.at(t) + share.begin, s.gates_, s.h_);
      operands.add_gates(s.z_.at(t) + share.begin, s.gates_, s.h_);
      for (int k = run.takes_h ? 0 : 1; k < s.parts(); ++k)
        operands.add(s.previous(k, step) + share.begin, s.h_);
      for (std::size_t k = 0; k < run.states.size(); ++k)
        operands.add(s.states_[k].at(t) + share.begin, s.h_);
      s.by_rows(t, [&](std::int64_t first, std::int64_t last, bool running) {
        if (running) return walk<T>(*run.kernel, run.functor, plan, first, last);
        // Past the end of its sequence a state does not change.
        for (int k = 0; k < s.parts(); ++k) {
          const T* from = s.previous(k, step);
          T* to = s.states_[static_cast<std::size_t>(k)].at(t);
          for (std::int64_t n = first; n < last && from != to; ++n) {
            std::copy(from + n * s.h_ + share.begin, from + n * s.h_ + share.end,
                      to + n * s.h_ + share.begin);
          }
        }
      });
      team.wait();
    }
  });
}

template <class T>
void recurrent_backward(const RecurrentBackward& run) {
  const Sequence<T> s(run);
  const auto& kernels = cpu::kernels().of<T>();
  const std::int64_t gh = s.gates_ * s.h_;
  const PackedWeight<T> packed(run.w, {run.w.read<T>(), run.w.stride(0), run.w.stride(1)}, gh,
                               s.h_);
  const Steps<T> dhs(run.dhs), dz(run.dz), dzx(run.dzx), every_dh(run.dh);
  T* const dh = static_cast<T*>(run.dstates[0].raw());
  // True if the product alone gives dh of the previous time step. dhs is added afterwards, step by
  // step: a sequence in two parts then has the same bits as the whole.
  const bool only_product = !run.takes_h && run.lengths.empty();
  parallel_team(s.members(), [&](internal::Team& team, int member) {
    const Share share(packed.panels_per_group(), s.h_, kernels.panel_width, member, team.size());
    LoopPlan plan = s.plan_;
    plan.sizes[1] = share.end - share.begin;
    for (std::int64_t step = s.steps_; step-- > 0;) {
      const std::int64_t t = s.time(step);
      if (dhs.data != nullptr) {
        for (std::int64_t n = 0; n < s.n_; ++n) {
          T* sum = dh + n * s.h_;
          const T* more = dhs.at(t) + n * s.h_;
          for (std::int64_t j = share.begin; j < share.end; ++j) sum[j] += more[j];
        }
      }
      if (every_dh.data != nullptr) {
        for (std::int64_t n = 0; n < s.n_; ++n) {
          std::copy(dh + n * s.h_ + share.begin, dh + n * s.h_ + share.end,
                    every_dh.at(t) + n * s.h_ + share.begin);
        }
      }
      typename Sequence<T>::Operands operands{plan};
      if (run.apart) operands.add_gates(s.zx_.at(t) + share.begin, s.gates_, s.h_);
      operands.add_gates(s.z_.at(t) + share.begin, s.gates_, s.h_);
      for (int k = run.takes_h ? 0 : 1; k < s.parts(); ++k)
        operands.add(s.previous(k, step) + share.begin, s.h_);
      for (const Tensor& dstate : run.dstates)
        operands.add(static_cast<T*>(dstate.raw()) + share.begin, s.h_);
      // Results: the gradients of the inputs, each in the place of the gradient that it replaces.
      if (run.apart) operands.add_gates(dzx.at(t) + share.begin, s.gates_, s.h_);
      operands.add_gates(dz.at(t) + share.begin, s.gates_, s.h_);
      for (std::size_t k = run.takes_h ? 0 : 1; k < run.dstates.size(); ++k)
        operands.add(static_cast<T*>(run.dstates[k].raw()) + share.begin, s.h_);
      if (step == s.steps_ - 1) plan.overwritten = overwritten_inputs(*run.kernel, plan);
      s.by_rows(t, [&](std::int64_t first, std::int64_t last, bool running) {
        if (running) {
          walk<T>(*run.kernel, run.functor, plan, first, last);
          if (!run.takes_h && !only_product) zero_rows(dh, s.h_, first, last, share);
          return;
        }
        // The state did not change at this step: its gradient passes through.
        for (std::int64_t g = 0; g < s.gates_; ++g) {
          zero_rows(dz.at(t) + g * s.h_, gh, first, last, share);
          if (run.apart) zero_rows(dzx.at(t) + g * s.h_, gh, first, last, share);
        }
      });
      team.wait();
      // dh of the previous time step: dz w, plus what dh already holds unless the product alone
      // gives it.
      const T* init = only_product ? nullptr : dh;
      kernels.multiply_panels({s.n_, gh, dz.at(t), gh, packed.panels(), share.first_panel,
                               share.last_panel, s.h_, init, s.h_, dh, s.h_});
    }
    team.wait();
  });
}

template void recurrent_forward<float>(const RecurrentForward&);
template void recurrent_forward<double>(const RecurrentForward&);
template void recurrent_backward<float>(const RecurrentBackward&);
template void recurrent_backward<double>(const RecurrentBackward&);

}  // namespace tapeloop::cpu
