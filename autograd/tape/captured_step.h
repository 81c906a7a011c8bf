// SPDX-License-Identifier: MIT
// CapturedStep: captures a training step once as a CUDA graph and then runs the graph. For steps
// that are short compared with the time to launch each of their operations. On the CPU it only
// calls the step.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

struct CapturedStepOptions {
  // Calls that run without a graph for each new set of shapes, so that everything is loaded before
  // the capture.
  int warm_up = 1;
  int most_shapes = 8;  // sets of shapes kept; the least recently used one is dropped first
  // Gets the reason once if the step runs without a graph. If empty, a line goes to stderr.
  std::function<void(const std::string&)> tell = {};
};

namespace detail {

// CapturedStep without the types of its step.
class StepRunner {
 public:
  using Call = void (*)(void* step, std::span<const Tensor> inputs, PoolVector<Tensor>& results);

  StepRunner(Device device, const CapturedStepOptions& options);
  ~StepRunner();
  StepRunner(const StepRunner&) = delete;
  StepRunner& operator=(const StepRunner&) = delete;

  PoolVector<Tensor> run(std::span<const Tensor> inputs, Call call, void* step);
  const std::string& reason() const { return reason_; }
  std::int64_t graph_runs() const { return graph_runs_; }
  std::size_t bytes() const;

 private:
  struct Entry;
  Entry& entry_for(std::span<const Tensor> inputs);
  void capture(Entry& entry, Call call, void* step);
  void run_as_it_is(const std::string& reason);

  Device device_;
  CapturedStepOptions options_;
  std::string reason_;
  std::int64_t graph_runs_ = 0;
  std::uint64_t calls_ = 0;
  std::vector<std::unique_ptr<Entry>> entries_;
};

template <class R>
struct StepResult {  // Var, Tensor
  static void take(R&& result, PoolVector<Tensor>& to) {
    if constexpr (std::is_same_v<R, Var>) {
      to.push_back(result.defined() ? result.value() : Tensor());
    } else {
      to.push_back(std::move(result));
    }
  }
  static R give(const Tensor* from) { return from->defined() ? R(*from) : R(); }
};
template <>
struct StepResult<void> {};
template <class T, std::size_t N>
struct StepResult<std::array<T, N>> {
  static void take(std::array<T, N>&& result, PoolVector<Tensor>& to) {
    for (T& one : result) StepResult<T>::take(std::move(one), to);
  }
  static std::array<T, N> give(const Tensor* from) {
    std::array<T, N> result;
    for (std::size_t i = 0; i < N; ++i) result[i] = StepResult<T>::give(from + i);
    return result;
  }
};

}  // namespace detail

//   CapturedStep step(Device::cuda, [&](const Tensor& tokens, const Tensor& next) {
//     Tape tape;
//     const Var loss = cross_entropy(head(lstm(embed(tokens)).ys), next);
//     tape.backward(loss);
//     optim::clip_grad_norm(adam.parameters(), 5.0);
//     adam.step();
//     adam.zero_grad();
//     return loss;
//   });
//   for (...) loss = step(batch.tokens, batch.next);    // a Var; loss.item() waits for the GPU
//
// `step` takes Tensors and returns nothing, a Var, a Tensor, or a std::array of these. Results are
// new tensors, detached from the tape. Inputs may be on any device: the step gets them on `device`.
// With new shapes or types, the first `warm_up` calls run the step without a graph, and the next
// one captures it. Later calls copy the inputs into the graph's memory and run the graph.
// A graph run also updates learning rates and step counts of optimizers, positions in Random
// streams (dropout), and steps(). Other host code runs only when the step itself is called: apply a
// schedule outside of the step. Pass a recurrent state in and return it; do not capture it by
// reference. Everything that the step uses must outlive this object and stay on its device.
// A graph cannot contain: waiting for the GPU (item(), cpu()), copies from the CPU, random numbers
// drawn on the host. In these cases, or without a GPU, the step runs without a graph, with the same
// results, and reports that once.
// A step may use a Schedule that was made outside and that an earlier call has used. A Schedule
// that the step makes is a copy from the CPU; so are the lengths and resets of sequences. If a
// Schedule that a graph reads ends, the next call captures the step again.
// While a step is captured, other threads that use the GPU wait. So a step must not wait for them.
// Results have the same bits as without a graph. A graph keeps its memory while it lives. Not for
// several threads at once.
template <class F>
class CapturedStep {
 public:
  CapturedStep(Device device, F step, const CapturedStepOptions& options = {})
      : step_(std::move(step)), runner_(device, options) {}

  template <std::same_as<Tensor>... In>
  auto operator()(const In&... inputs) {
    using R = std::invoke_result_t<F&, const In&...>;
    const std::array<Tensor, sizeof...(In)> list{inputs...};
    const auto call = [](void* step, std::span<const Tensor> given, PoolVector<Tensor>& results) {
      const auto with = [&]<std::size_t... I>(std::index_sequence<I...>)->R {
        return (*static_cast<F*>(step))(given[I]...);
      };
      if constexpr (std::is_void_v<R>) {
        with(std::index_sequence_for<In...>{});
      } else {
        detail::StepResult<R>::take(with(std::index_sequence_for<In...>{}), results);
      }
    };
    const PoolVector<Tensor> results = runner_.run(list, call, &step_);
    if constexpr (!std::is_void_v<R>) return detail::StepResult<R>::give(results.data());
  }

  // The reason why the step runs without a graph, at least for some shapes; else empty.
  const std::string& reason() const { return runner_.reason(); }
  std::int64_t graph_runs() const { return runner_.graph_runs(); }  // calls that a graph ran
  std::size_t bytes() const { return runner_.bytes(); }             // of memory kept by graphs

 private:
  F step_;
  detail::StepRunner runner_;
};

}  // namespace tapeloop
