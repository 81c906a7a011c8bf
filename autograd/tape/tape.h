// SPDX-License-Identifier: MIT
// Tape: records operations while it is in scope and plays them backwards. Knows no operation: each
// operation gives its backward function, written with operations, so that a gradient can be
// differentiated again.
// Threads: only the thread that made a tape records on it and plays it. Several threads may use one
// model's parameters at the same time, each on its own tape.
#pragma once

#include <concepts>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tapeloop/autograd/tape/observer.h"
#include "tapeloop/autograd/tape/saved.h"
#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

class Grads;
class Tape;
struct MemoryReport;
struct ProfileReport;
struct StateGradient;
struct TapeMemory;

namespace detail {

struct Leaf;
struct Node;

// One contribution to a gradient, deferred until all of its kind are known (see Grads::defer).
struct Deferred {
  Var a;
  Var b;
};
// Adds all contributions to `sum`, in their order; an undefined sum is zero. Two calls must give
// the same bits as one call if the list is cut between two blocks of rows
// (Backend::gradient_rows()).
using Combine = void (*)(std::span<const Deferred> contributions, Tensor& sum);

class RecomputedRun;
struct InnerTape;

// What operations keep in a thread from one training step to the next. Freed with the memory of
// ended tapes.
struct KeptByOperations {
  virtual ~KeptByOperations() = default;
};
KeptByOperations* kept_by_operations();  // null: nothing
void keep_for_operations(std::unique_ptr<KeptByOperations> kept);

struct BackwardFunction {
  virtual void operator()(std::span<const Var> doutputs, Grads& grads) = 0;
  virtual ~BackwardFunction() = default;
};

template <class F>
void call_backward(F& function, std::span<const Var> doutputs, Grads& grads) {
  if constexpr (std::invocable<F&, const Var&, Grads&>) {
    function(doutputs[0], grads);
  } else {
    function(doutputs, grads);
  }
}

template <class F>
struct BackwardOf final : BackwardFunction {
  explicit BackwardOf(F&& f) : function(std::move(f)) {}
  void operator()(std::span<const Var> doutputs, Grads& grads) override {
    call_backward(function, doutputs, grads);
  }
  F function;
};

}  // namespace detail

struct BackwardOptions {
  bool retain = false;  // keep the tape entries, so that backward can run again
  // Record the backward pass too, for derivatives of derivatives. Implies retain.
  bool create_graph = false;
};

// Which observers the tape has (autograd/look).
struct TapeOptions {
  bool measure = false;  // measure times and bytes for profile() and memory(); needs more memory
  bool state_gradients = false;  // keep |dL/dh_t| of unrolled layers for state_gradients()
  bool check_finite = false;  // throw NonFiniteError (inspect.h) at the first NaN or infinity; slow
};

class Tape {
 public:
  // Becomes the thread's current tape. An enclosing tape pauses until this one ends.
  Tape();
  explicit Tape(const TapeOptions& options);
  // Frees the tape entries; tensors made meanwhile stay valid. If another thread destroys the tape,
  // the tape's own thread must not be recording on it at that moment. The thread keeps the memory
  // of the entries for its next tapes. That memory is freed if 16 tapes in a row use less than a
  // quarter of it, and by memory::release_cached().
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Adds d(loss)/d(parameter) to the grad() of every parameter that loss depends on. Loss must be a
  // scalar. Throws if a parameter, or a value that an operation saved for its gradient, was written
  // since (see Saved). After this and any other error, no grad() has changed. So the pass keeps all
  // gradients of parameters until its end: one more set of them at the peak of memory.
  // Several threads may call this for the same parameters at once. Nothing is lost: each pass adds
  // its complete gradient of a parameter in one step. With three or more threads, the rounding
  // depends on the order in which the passes end, so the last bits may differ from run to run. For
  // the same bits, call gradient() in each thread and add the gradients in a fixed order.
  void backward(const Var& loss, const BackwardOptions& options = {});
  // sum(y * dy) instead of a loss: the gradient of any output, with the given upstream gradient.
  void backward(const Var& y, const Var& dy, const BackwardOptions& options = {});

  // d(loss)/dx for each x, a parameter or a computed value. If loss does not depend on x, the
  // result is zeros. Changes no grad().
  std::vector<Var> gradient(const Var& loss, std::span<const Var> xs,
                            const BackwardOptions& options = {});
  std::vector<Var> gradient(const Var& loss, std::initializer_list<Var> xs,
                            const BackwardOptions& options = {}) {
    return gradient(loss, std::span<const Var>(xs.begin(), xs.size()), options);
  }
  std::vector<Var> gradient(const Var& y, const Var& dy, std::span<const Var> xs,
                            const BackwardOptions& options = {});

  std::size_t size() const;  // operations recorded
  // Estimate of the bytes of the tape entries, without tensors. Depends only on the operations.
  std::int64_t record_bytes() const;
  // The parameters that were used so far, in the order of their first use.
  std::vector<Var> parameters() const;
  // The recorded graph for Graphviz: each operation with its name and the shapes of its results.
  std::string to_dot() const;
  // Times and bytes per scope and operation so far, also after backward (profile.h). Throws if the
  // tape does not measure. Cost: linear in the number of operations. On CUDA the times are those of
  // the launches, not of the GPU's work.
  ProfileReport profile() const;
  // This thread's tensor memory by scope and operation, now and at its peak since the tape began
  // (profile.h). Throws if the tape does not measure.
  MemoryReport memory() const;

  // |dL/dh_t| of every sequence unrolled so far, in that order (inspect.h). backward() computes it.
  // Throws if the tape was made without TapeOptions::state_gradients.
  std::vector<StateGradient> state_gradients() const;

  // The tape that records in this thread now; nullptr if there is none, or recording is paused.
  static Tape* current();

 private:
  friend class Grads;
  friend struct Recorder;
  friend class detail::RecomputedRun;
  friend struct detail::InnerTape;
  friend std::span<const std::unique_ptr<detail::Observer>> detail::observers();
  enum class Into { parameters, gradients, outer };  // where a parameter's gradient goes
  void start(std::span<const Var> ys);
  void add_upstream(std::span<const Var> ys, std::span<const Var> dys, bool recording);
  void play(std::size_t first_node, std::size_t last_node, bool recording, bool retain, Into into);
  void prepare_grad(const detail::Leaf& leaf);
  void add_to_grad(const detail::Leaf& leaf, bool recording);
  void run(const Var& y, const Var& dy, const BackwardOptions& options, Into into);
  void exchange_with_outer(Tape& outer);
  bool is_leaf(const Var& x) const;  // a parameter, or a computed value of an outer tape
  bool can_use(const Var& x) const;
  bool derived_from(const Var& y, std::span<const Var> xs) const;
  void check_leaves_independent(std::span<const Var> xs) const;
  std::uint32_t slot_of(const Var& x) const;  // kNone if x has none here
  Var with_history(const Var& dy) const;
  void* allocate_record(std::size_t bytes);
  void append(const char* name, std::span<const Var* const> inputs, std::span<Var> outputs,
              detail::BackwardFunction* backward);
  void append_node(detail::Node& node, std::span<const Var* const> inputs, std::span<Var> outputs);
  void play_node(std::size_t i, bool recording, bool retain, Into into);
  void finish_leaf(std::uint32_t slot);

  TapeMemory* memory_;
  std::uint64_t id_;
  const Tape* outer_ = nullptr;  // an InnerTape's enclosing tape: its values are leaves here
  bool played_ = false;
  bool playing_ = false;
  detail::Observers observers_;
};

// While it lives, this thread records nothing.
class PauseRecording {
 public:
  PauseRecording();
  ~PauseRecording();
  PauseRecording(const PauseRecording&) = delete;
  PauseRecording& operator=(const PauseRecording&) = delete;

 private:
  bool before_;
};

// Receives the results of a backward function. Contributions to one input are added up. While the
// backward pass is recorded (create_graph), each contribution must be computed by operations from
// the upstream gradients, or add() throws: without a history, second derivatives would silently be
// 0. Wrap a function that computes on tensors in once_differentiable(). If a gradient is zero for
// every input, as that of round(), add nothing. A pass calls each backward function once, with or
// without create_graph.
class Grads {
 public:
  // Whether the gradient of this input is wanted.
  bool needs(int input) const;
  // True while the backward pass itself is being recorded.
  bool recording() const { return recording_; }
  // True if the tape entry is played for the last time: its kept values may be overwritten.
  bool last() const { return last_; }
  // The observers of the tape.
  const detail::Observers& observers() const { return tape_.observers_; }
  // Adds a contribution to the gradient of the input.
  void add(int input, const Var& contribution) { add(input, Var(contribution)); }
  void add(int input, Var&& contribution);
  template <std::invocable F>
  void add(int input, F&& compute) {  // calls compute() only if needs(input)
    if (needs(input)) add(input, Var(compute()));
  }
  // Adds a contribution to a part of the input: part(whole) is a view of that part. Costs no more
  // than the part itself, however many parts there are. While recording, as_whole() must return the
  // contribution to the whole input.
  template <std::invocable<const Tensor&> Part, std::invocable AsWhole>
  void add_part(int input, const Shape& whole, const Var& contribution, Part&& part,
                AsWhole&& as_whole) {
    if (!needs(input)) return;
    if (recording_) return add(input, Var(as_whole()));
    accumulate_into(part(whole_gradient(input, whole, contribution)), contribution.value());
  }
  // Keeps (a, b) until the gradient of the input is needed. Then combine(all (a, b) of this input,
  // sum) adds all contributions at once. So those of all time steps to one weight become one matrix
  // product. Throws while recording.
  void defer(int input, const Var& a, const Var& b, detail::Combine combine);

 private:
  friend class Tape;
  friend class detail::RecomputedRun;
  template <class F>
  friend struct OnceDifferentiable;
  Grads(Tape& tape, const detail::Node& node, std::span<const Var> doutputs, bool recording,
        bool last);
  void check_history(int input, const Var& contribution);
  Var cut_history(const Var& contribution);
  Tensor whole_gradient(int input, const Shape& whole, const Var& contribution);
  static void accumulate_into(const Tensor& part, const Tensor& contribution);

  Tape& tape_;
  const char* name_;  // of the operation
  std::uint32_t first_input_;
  std::uint32_t inputs_;
  std::span<const Var> doutputs_;
  bool recording_;
  bool last_;
  bool once_ = false;  // the function is not recorded: differentiating its results throws
};

// For operations: puts the calculation of `outputs` from `inputs` on the current tape, if there is
// one and an input requires a gradient. `backward(dys, grads)` gets d(loss)/d(output) of each
// output (undefined: zero) and adds d(loss)/d(input) to grads. With a single output it is
// `backward(dy, grads)`. It should keep captured values by keep_if() or Saved (saved.h): a bare Var
// or Tensor is not checked, and if somebody writes it meanwhile, the gradient is wrong.
struct Recorder {
  // True if a tape records and an input requires a gradient. Throws if an input was computed on a
  // tape that is neither the current one nor, within recompute(), around it.
  static bool wanted(const char* name, std::span<const Var* const> inputs);

  // Puts the operation on the tape; only if wanted().
  template <class Backward>
  static void record(const char* name, std::span<const Var* const> inputs, std::span<Var> outputs,
                     Backward&& backward) {
    using Function = detail::BackwardOf<std::remove_cvref_t<Backward>>;
    static_assert(alignof(Function) <= 16);
    static_assert(sizeof(Function) <= 16384,
                  "a backward function is kept in the tape's chunks: capture large things by a "
                  "Tensor or a pointer");
    Tape* tape = Tape::current();
    void* place = tape->allocate_record(sizeof(Function));
    tape->append(name, inputs, outputs, new (place) Function(std::forward<Backward>(backward)));
  }
};

// Marks a backward function that may compute on tensors. It is never recorded. With create_graph
// its gradients are right, and differentiating them throws.
//   record("my_op", {&x}, y, once_differentiable([](const Var& dy, Grads& grads) { ... }));
template <class F>
struct OnceDifferentiable {
  F function;  // the marked one
  void operator()(std::span<const Var> doutputs, Grads& grads) {
    const PauseRecording pause;
    grads.once_ = true;
    detail::call_backward(function, doutputs, grads);
  }
};
// Marks it: see OnceDifferentiable.
template <class F>
OnceDifferentiable<std::remove_cvref_t<F>> once_differentiable(F&& function) {
  return {std::forward<F>(function)};
}

// Records an operation with one result. `backward` may also be a function without arguments that
// makes the backward function. It is called only if a tape records, so that nothing is saved in
// vain.
template <class Backward>
Var record(const char* name, std::initializer_list<const Var*> inputs, Tensor&& value,
           Backward&& backward) {
  Var result(std::move(value));
  std::span<const Var* const> list(inputs.begin(), inputs.size());
  if (Recorder::wanted(name, list)) {
    if constexpr (std::invocable<Backward&>) {
      Recorder::record(name, list, std::span<Var>(&result, 1), backward());
    } else {
      Recorder::record(name, list, std::span<Var>(&result, 1), std::forward<Backward>(backward));
    }
  }
  return result;
}

}  // namespace tapeloop
