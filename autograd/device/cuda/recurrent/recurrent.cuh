// SPDX-License-Identifier: MIT
// register_recurrent<F>(): the CUDA kernels that run a whole sequence of recurrent() in float32 in
// one launch. recurrent_plan.cpp decides for which shapes they are used. Without them the sequence
// runs step by step.
//
// A block keeps the weights of its hidden units, all gates, in shared memory. In each time step a
// block waits for h (backward: dz) of the other blocks, multiplies, adds up the sums of its warps,
// applies the formula to its own units, and passes the result on. There is no barrier over the
// grid. Two buffers are enough: before a block writes a buffer again, it has waited until all
// blocks have read it.
#pragma once

#include "tapeloop/autograd/device/cuda/pointwise.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/slice.cuh"

namespace tapeloop {

namespace cuda {

// Applies the formula: results of values.
template <class F, std::size_t... I, std::size_t... O>
__device__ __forceinline__ void apply_formula(const F& formula, const float* values, float* results,
                                              std::index_sequence<I...>,
                                              std::index_sequence<O...>) {
  using V = Vec<float, isa::Lane>;
  const auto all = as_outputs(formula(V{values[I]}...));
  ((results[O] = dual::As<V>::convert(output<O>(all)).raw), ...);
}
template <class F>
__device__ __forceinline__ void apply_formula(const F& formula, const float* values,
                                              float* results) {
  apply_formula(formula, values, results,
                std::make_index_sequence<static_cast<std::size_t>(kArity<F>)>{},
                std::make_index_sequence<static_cast<std::size_t>(kResultCount<F>)>{});
}

// An operand of the formula has the number of its argument. Loops over arguments are unrolled: the
// number of gates is known only at run time, but it is less than the number of arguments.
template <class F>
__global__ void __launch_bounds__(kBlockThreads, 1)
    persistent_forward_kernel(F formula, PersistentRun run) {
  const Slice<false> s(run);
  using Element = typename Slice<false>::Element;
  constexpr int kArguments = kArity<F>, kParts = kResultCount<F>;
  const int gate_arguments = run.gates * (run.apart ? 2 : 1);
  const int first_gate = run.apart ? run.gates : 0;  // of z
  // If the formula does not take h, h is the last operand.
  const auto part = [&](int k) {
    return gate_arguments + (run.takes_h ? k : (k + kParts - 1) % kParts);
  };
  const auto fetch = [&](std::int64_t step) {
    const float* const zx = run.zx.at(s.time(step));
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        copy_async<sizeof(float)>(&s.operand(g, e), zx + s.gate_at(e, g));
      }
    });
    end_batch();
  };
  fetch(0);
  s.load_constants();
  s.for_elements([&](const Element& e) {
    for (int k = 0; k < kParts; ++k) s.operand(part(k), e) = run.initial[k][e.state];
  });
  __syncthreads();
  for (std::int64_t step = 0; step < run.steps; ++step) {
    const std::int64_t t = s.time(step);
    s.multiply(step, step);
    s.for_elements([&](const Element& e) {
      float values[kArguments], results[kParts];
#pragma unroll
      for (int k = 0; k < kArguments; ++k) {
        values[k] = s.operand(k, e);
        const int g = k - first_gate;
        if (g < 0 || g >= run.gates) continue;
        values[k] = (run.apart ? s.bias[g * s.units + s.unit] : values[k]) + s.total(e, g);
        s.operand(k, e) = values[k];
      }
      apply_formula(formula, values, results);
#pragma unroll
      for (int k = 0; k < kParts; ++k) s.operand(part(k), e) = results[k];
      if (step + 1 < run.steps) s.hand_on(step + 1, e, s.hidden_unit, results[0]);
    });
    if (step + 1 < run.steps) s.publish_step(step + 1);
    // Work that no other block waits for, while the others read the values passed on.
    float* const z = run.z.at(t);
    s.for_elements([&](const Element& e) {
      if (run.z.step != 0 || run.steps == 1) {
        for (int g = 0; g < run.gates; ++g) z[s.gate_at(e, g)] = s.operand(first_gate + g, e);
      }
      for (int k = 0; k < kParts; ++k) run.states[k].at(t)[e.state] = s.operand(part(k), e);
    });
    if (step + 1 < run.steps) fetch(step + 1);
  }
}

template <class F>  // the backward of a formula
__global__ void __launch_bounds__(kBlockThreads, 1)
    persistent_backward_kernel(F formula, PersistentRun run) {
  const Slice<true> s(run);
  using Element = typename Slice<true>::Element;
  // The arguments are those of the formula, then the gradients of the state. The results are the
  // gradients of the formula's arguments. Behind the arguments there is one more operand, dhs.
  constexpr int kArguments = kArity<F>, kResults = kResultCount<F>;
  constexpr int kDstate = kResults, kDhs = kArguments;
  const int gate_arguments = run.gates * (run.apart ? 2 : 1);
  const int first_gate = run.apart ? run.gates : 0;  // of z
  const int first_part = run.takes_h ? 0 : 1;
  const bool whole_chunks = run.gates % kChunkSize == 0;
  const auto fetch = [&](std::int64_t step) {
    const std::int64_t t = s.time(step);
    const float *const zx = run.zx.at(t), *const z = run.z.at(t);
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        if (run.apart) copy_async<sizeof(float)>(&s.operand(g, e), zx + s.gate_at(e, g));
        copy_async<sizeof(float)>(&s.operand(first_gate + g, e), z + s.gate_at(e, g));
      }
      for (int k = first_part; k < run.parts; ++k) {
        copy_async<sizeof(float)>(&s.operand(gate_arguments + k - first_part, e),
                                  s.previous(k, step) + e.state);
      }
      if (run.dhs != nullptr) {
        copy_async<sizeof(float)>(&s.operand(kDhs, e), run.dhs + s.state_step() * t + e.state);
      }
    });
    end_batch();
  };
  fetch(run.steps - 1);
  s.load_constants();
  s.for_elements([&](const Element& e) {
    for (int k = 0; k < run.parts; ++k) s.operand(kDstate + k, e) = run.dstates[k][e.state];
  });
  // Iteration i adds the product of dz from iteration i - 1 to dh, which completes dh. Then it
  // applies the formula to step run.steps - 1 - i.
  for (std::int64_t i = 0; i <= run.steps; ++i) {
    if (i > 0) {
      s.multiply(i - 1, i);
    } else {
      wait_for_batches<0>();
      __syncthreads();
    }
    const bool last = i == run.steps;
    const std::int64_t t = last ? 0 : s.time(run.steps - 1 - i);
    s.for_elements([&](const Element& e) {
      float dh = s.operand(kDstate, e);
      if (i > 0) dh += s.total(e, 0);
      if (last) {
        run.dstates[0][e.state] = dh;
        for (int k = 1; k < run.parts; ++k) run.dstates[k][e.state] = s.operand(kDstate + k, e);
        return;
      }
      if (run.dhs != nullptr) dh += s.operand(kDhs, e);
      float values[kArguments], results[kResults];
#pragma unroll
      for (int k = 0; k < kArguments; ++k) values[k] = s.operand(k, e);
      values[kDstate] = dh;
      apply_formula(formula, values, results);
      if (!run.takes_h) s.operand(kDstate, e) = 0;  // all of dh went through the formula
#pragma unroll
      for (int k = 0; k < kResults; ++k) {
        if (k >= gate_arguments)
          s.operand(kDstate + first_part + k - gate_arguments, e) = results[k];
      }
      // Each gradient of a gate takes the place of its argument.
#pragma unroll
      for (int k = 0; k < kResults; ++k) {
        if (k >= gate_arguments) continue;
        s.operand(k, e) = results[k];
        const int g = k - first_gate, to = s.hidden_unit * run.gates + g;
        if (g < 0) continue;
        if (!whole_chunks) {
          s.hand_on(i, e, to, results[k]);
        } else if (k + 3 < kResults && g % kChunkSize == 0) {
          s.hand_on(i, e, to, Chunk{{results[k], results[k + 1], results[k + 2], results[k + 3]}});
        }
      }
    });
    if (last) return;
    s.publish_step(i + 1);
    // Work that no other block waits for, while the others read the values passed on.
    float* const dz = run.dz + s.gate_step() * t;
    float* const dzx = run.dzx + s.gate_step() * t;
    s.for_elements([&](const Element& e) {
      for (int g = 0; g < run.gates; ++g) {
        if (run.apart) dzx[s.gate_at(e, g)] = s.operand(g, e);
        dz[s.gate_at(e, g)] = s.operand(first_gate + g, e);
      }
    });
    if (i + 1 < run.steps) fetch(run.steps - 2 - i);
  }
}

template <class F>
constexpr auto persistent_kernel() {
  if constexpr (kIsBackward<F>) {
    return &persistent_backward_kernel<F>;
  } else {
    return &persistent_forward_kernel<F>;
  }
}

template <class F>
bool launch_persistent(const void* functor, const PersistentRun& run) {
  return launch_resident<persistent_kernel<F>()>(
      dim3{static_cast<unsigned>(run.plan.slices), static_cast<unsigned>(run.plan.groups)},
      dim3{kBlockThreads}, static_cast<std::size_t>(run.plan.shared_bytes),
      *static_cast<const F*>(functor), run);
}

}  // namespace cuda

// Calls register_pointwise<F>() and registers the kernels that run recurrent(F{}, ...) as a whole
// sequence, forward and backward, in float32:
//   static const bool kMyGate = tapeloop::register_recurrent<MyGate>();
// In float64, or for a formula that is registered by register_pointwise alone, recurrent() takes
// two launches for each time step.
template <class F>
bool register_recurrent() {
  static_assert(kResultCount<F> <= cuda::kMostParts);
  cuda::add_recurrent(&kFunctorId<F>, &cuda::launch_persistent<F>);
  if constexpr (kDifferentiable<F> && kArity<Backward<F>> + kArity<F> <= kMaxOperands) {
    using B = Backward<F>;
    cuda::add_recurrent(&kFunctorId<B>, &cuda::launch_persistent<B>);
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
