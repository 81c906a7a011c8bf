// SPDX-License-Identifier: MIT
// register_recurrent<F>(): the CUDA kernels that run a whole sequence of recurrent() in one launch.
// recurrent_plan.cpp decides for which shapes they are used. Without them the sequence runs step by
// step.
//
// A block keeps the weights of its hidden units, all gates, in shared memory. In each time step a
// block waits for h (backward: dz) of the other blocks, multiplies, adds up the sums of its warps,
// applies the formula to its own units, and passes the result on. There is no barrier over the
// grid: each warp waits for those blocks whose units it multiplies. Two buffers are enough: before
// a block writes a buffer again, it has waited until all blocks have read it. By estimate, the
// exchange limits a step with few rows (two trips to L2, 1.3 us), and the FMAs limit a step with
// many rows.
#pragma once

#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/slice.cuh"

namespace tapeloop {

namespace cuda {

// Applies the formula to a thread's operands in shared memory. Calls store(number of the result,
// value).
template <class F, class T, std::size_t... I, std::size_t... O, class Load, class Store>
__device__ __forceinline__ void apply_formula(const F& formula, Load load, Store store,
                                              std::index_sequence<I...>,
                                              std::index_sequence<O...>) {
  using V = Vec<T, isa::Lane>;
  const auto results = as_outputs(formula(V{load(static_cast<int>(I))}...));
  (store(static_cast<int>(O), dual::As<V>::convert(output<O>(results)).raw), ...);
}
template <class F, class T, class Load, class Store>
__device__ __forceinline__ void apply_formula(const F& formula, Load load, Store store) {
  apply_formula<F, T>(formula, load, store,
                      std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
                      std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

template <class F, class T>
__global__ void __launch_bounds__(kWarps * 32, 1)
    persistent_forward_kernel(F formula, PersistentRun run) {
  const Slice<T, false> s(run);
  using Element = typename Slice<T, false>::Element;
  constexpr int kParts = kResultCount<F>;
  const int gate_arguments = run.gates * (run.apart ? 2 : 1);
  const int first_gate = run.apart ? run.gates : 0;  // of z
  // If the formula does not take h, h is the last operand.
  const auto part = [&](int k) {
    return gate_arguments + (run.takes_h ? k : (k + kParts - 1) % kParts);
  };
  const auto fetch = [&](std::int64_t step) {
    const T* const zx = static_cast<const T*>(run.zx.data) + run.zx.step * s.time(step);
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        copy_async<sizeof(T)>(&s.operand(g, e), zx + s.gate_at(e, g));
      }
    });
    end_batch();
  };
  fetch(0);
  s.load_weights();
  s.for_elements([&](const Element& e) {
    for (int k = 0; k < kParts; ++k) {
      s.operand(part(k), e) = static_cast<const T*>(run.initial[k])[s.state_at(e)];
    }
  });
  if (s.cluster) {
    for (int i = static_cast<int>(threadIdx.x); i < 2 * s.chunks * s.row_step; i += kWarps * 32) {
      const int row = i % s.row_step, chunk = i / s.row_step;
      for (int v = 0; v < Chunk<T>::size; ++v) {
        const int k = chunk * Chunk<T>::size + v, n = s.first_row + row;
        s.exchange[i].at[v] =
            k < s.inner && n < run.batch
                ? static_cast<const T*>(run.initial[0])[std::int64_t{n} * run.hidden + k]
                : T{0};
      }
    }
    meet_cluster();  // before this no other block may write here
  }
  __syncthreads();
  for (std::int64_t step = 0; step < run.steps; ++step) {
    const std::int64_t t = s.time(step);
    s.multiply(step, step);
    wait_for_batches<0>();
    __syncthreads();
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        T first = 0;
        if (!run.apart) {
          first = s.operand(g, e);
        } else if (run.bias != nullptr) {
          first = static_cast<const T*>(run.bias)[g * run.hidden + e.j];
        }
        s.operand(first_gate + g, e) = first + s.sum(e.row, g * s.units + e.unit);
      }
      if (s.running(e, t)) {  // otherwise the state does not change
        apply_formula<F, T>(
            formula, [&](int i) { return s.operand(i, e); },
            [&](int k, T value) { s.operand(part(k), e) = value; });
      }
      if (step + 1 < run.steps) {
        s.hand_on(step + 1, e, e.j, 1, [&](int) { return s.operand(part(0), e); });
      }
    });
    if (step + 1 < run.steps) s.publish_step(step + 1);
    // Work that no other block waits for, while the others read the values passed on.
    T* const z = static_cast<T*>(run.z.data) + run.z.step * t;
    s.for_elements([&](const Element& e) {
      if (run.z.step != 0 || run.steps == 1) {
        for (int g = 0; g < run.gates; ++g) z[s.gate_at(e, g)] = s.operand(first_gate + g, e);
      }
      for (int k = 0; k < kParts; ++k) {
        const StepMemory<void*> to = run.states[k];
        static_cast<T*>(to.data)[to.step * t + s.state_at(e)] = s.operand(part(k), e);
      }
    });
    if (step + 1 < run.steps) fetch(step + 1);
  }
}

template <class F, class T>  // F: the backward of a formula
__global__ void __launch_bounds__(kWarps * 32, 1)
    persistent_backward_kernel(F formula, PersistentRun run) {
  const Slice<T, true> s(run);
  using Element = typename Slice<T, true>::Element;
  const int gate_arguments = run.gates * (run.apart ? 2 : 1);
  const int first_gate = run.apart ? run.gates : 0;  // of z
  const int first_part = run.takes_h ? 0 : 1;
  // Operands: the formula's arguments, of which the last are the gradients of the state; then dhs.
  const int dstate = gate_arguments + run.parts - first_part;
  const int dhs = dstate + run.parts;
  const auto fetch = [&](std::int64_t step) {
    const std::int64_t t = s.time(step);
    const T* const zx = static_cast<const T*>(run.zx.data) + run.zx.step * t;
    const T* const z = static_cast<const T*>(run.z.data) + run.z.step * t;
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        if (run.apart) copy_async<sizeof(T)>(&s.operand(g, e), zx + s.gate_at(e, g));
        copy_async<sizeof(T)>(&s.operand(first_gate + g, e), z + s.gate_at(e, g));
      }
      for (int k = first_part; k < run.parts; ++k) {
        copy_async<sizeof(T)>(&s.operand(gate_arguments + k - first_part, e),
                              s.previous(k, step) + s.state_at(e));
      }
      if (run.dhs != nullptr) {
        copy_async<sizeof(T)>(&s.operand(dhs, e),
                              static_cast<const T*>(run.dhs) + s.state_step() * t + s.state_at(e));
      }
    });
    end_batch();
  };
  fetch(run.steps - 1);
  s.load_weights();
  s.for_elements([&](const Element& e) {
    for (int k = 0; k < run.parts; ++k) {
      s.operand(dstate + k, e) = static_cast<const T*>(run.dstates[k])[s.state_at(e)];
    }
  });
  if (s.cluster) {
    for (int i = static_cast<int>(threadIdx.x); i < 2 * s.chunks * s.row_step; i += kWarps * 32) {
      s.exchange[i] = Chunk<T>{};
    }
    meet_cluster();  // before this no other block may write here
  }
  // Iteration i adds the product of dz from iteration i - 1 to dh, which completes dh. Then it
  // applies the formula to step run.steps - 1 - i.
  for (std::int64_t i = 0; i <= run.steps; ++i) {
    if (i > 0) s.multiply(i - 1, i);
    wait_for_batches<0>();
    __syncthreads();
    const bool last = i == run.steps;
    const std::int64_t t = last ? 0 : s.time(run.steps - 1 - i);
    s.for_elements([&](const Element& e) {
      T& dh = s.operand(dstate, e);
      if (i > 0) dh += s.sum(e.row, e.unit);
      if (last) {
        for (int k = 0; k < run.parts; ++k) {
          static_cast<T*>(run.dstates[k])[s.state_at(e)] = s.operand(dstate + k, e);
        }
        return;
      }
      if (run.dhs != nullptr) dh += s.operand(dhs, e);
      // Each gradient takes the place of its argument.
      if (s.running(e, t)) {
        apply_formula<F, T>(
            formula, [&](int k) { return s.operand(k, e); },
            [&](int k, T value) {
              const int state_part = first_part + k - gate_arguments;
              s.operand(k < gate_arguments ? k : dstate + state_part, e) = value;
            });
        if (!run.takes_h) dh = 0;  // all of dh went through the formula
      } else {                     // the state did not change: its gradient passes through
        for (int k = 0; k < gate_arguments; ++k) s.operand(k, e) = 0;
      }
      s.hand_on(i, e, e.j * run.gates, run.gates,
                [&](int g) { return s.operand(first_gate + g, e); });
    });
    if (last) return;
    s.publish_step(i + 1);
    // Work that no other block waits for, while the others read the values passed on.
    T* const dz = static_cast<T*>(run.dz) + s.gate_step() * t;
    T* const dzx = static_cast<T*>(run.dzx) + s.gate_step() * t;
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        if (run.apart) dzx[s.gate_at(e, g)] = s.operand(g, e);
        dz[s.gate_at(e, g)] = s.operand(first_gate + g, e);
      }
    });
    if (i + 1 < run.steps) fetch(run.steps - 2 - i);
  }
}

inline ResidentGrid grid_of(const RecurrentPlan& plan) {
  const auto slices = static_cast<unsigned>(plan.slices);
  return {dim3{slices, static_cast<unsigned>(plan.groups)}, dim3{kWarps * 32},
          static_cast<std::size_t>(plan.shared_bytes),
          plan.form == RecurrentForm::cluster ? slices : 0};
}

template <class F, class T>
constexpr auto persistent_kernel() {
  if constexpr (kIsBackward<F>) {
    return &persistent_backward_kernel<F, T>;
  } else {
    return &persistent_forward_kernel<F, T>;
  }
}

template <class F, class T>
void launch_persistent(const void* functor, const PersistentRun& run) {
  launch_resident(persistent_kernel<F, T>(), grid_of(run.plan), *static_cast<const F*>(functor),
                  run);
}
template <class F, class T>
bool room_for_persistent(const RecurrentPlan& plan) {
  return has_room(reinterpret_cast<const void*>(persistent_kernel<F, T>()), grid_of(plan));
}

// Whether this file is compiled for an architecture with clusters. Code for older architectures
// also runs on newer GPUs, but without clusters.
#if defined(__CUDA_ARCH_LIST__)
inline constexpr bool kCompiledForClusters = [] {
  for (const int architecture : {__CUDA_ARCH_LIST__}) {
    if (architecture >= 900) return true;
  }
  return false;
}();
#else
inline constexpr bool kCompiledForClusters = true;  // emulated
#endif

template <class F>
RecurrentEntry recurrent_entry() {
  return {{&launch_persistent<F, float>, &launch_persistent<F, double>},
          {&room_for_persistent<F, float>, &room_for_persistent<F, double>},
          kCompiledForClusters};
}

}  // namespace cuda

// Calls register_pointwise<F>() and registers the kernels that run recurrent(F{}, ...) as a whole
// sequence, forward and backward, in float32 and float64:
//   static const bool kMyGate = tapeloop::register_recurrent<MyGate>();
// A formula that is registered by register_pointwise alone also runs in recurrent(), with two
// launches for each time step.
template <class F>
bool register_recurrent() {
  cuda::add_recurrent(&kFunctorId<F>, cuda::recurrent_entry<F>());
  if constexpr (kDifferentiable<F> && kArity<Backward<F>> + kArity<F> <= kMaxOperands) {
    using B = Backward<F>;
    cuda::add_recurrent(&kFunctorId<B>, cuda::recurrent_entry<B>());
  }
  return register_pointwise<F>();
}

namespace cuda {
template <class... F>
void register_sequences(Page<F...>) {
  (register_recurrent<F>(), ...);
}
}  // namespace cuda

}  // namespace tapeloop
