// SPDX-License-Identifier: MIT
// recompute(): trades time for memory (gradient checkpointing). A part of a calculation keeps only
// its inputs and results; the backward pass runs the part once more. Griewank & Walther 2000; Chen
// et al. 2016, arXiv:1604.06174. nn::unroll uses it for long sequences.
#pragma once

#include <utility>

#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/random_log.h"

namespace tapeloop {

namespace detail {

// A tape within another one. Values of the outer tape are leaves here: it computes their gradients
// as it does for parameters. If `observed`, the observers of the outer tape may look at it.
struct InnerTape {
  Tape tape;
  InnerTape(const Tape& outer, bool observed);
  // The parameters and the values of the outer tape that were used, in order.
  PoolVector<Var> leaves() const;
};

// Everything that is needed to run a function again in the backward pass, except the function.
class RecomputedRun {
 public:
  using Function = PoolVector<Var> (*)(void* f, std::span<const Var> inputs);
  explicit RecomputedRun(Function function) : function_(function) {}

  // Runs f on a temporary tape. `used` receives f's inputs and then everything else that f
  // differentiates by: parameters, and values of the enclosing tape that f holds. `tracked`
  // receives the results that depend on any of these.
  PoolVector<Var> first(void* f, std::span<const Var> inputs, const Tensor& into,
                        PoolVector<Var>& used, PoolVector<Var>& tracked);
  // Runs f once more and plays it backwards at once. `douts` belong to the tracked results.
  void again(void* f, std::span<const Var> douts, Grads& grads);
  // See play_recorded().
  static void play(Grads& grads, std::span<const Var> douts, PoolVector<Var> (*results)(void* f),
                   void* f);

 private:
  PoolVector<Var> run_again(void* f, std::span<const Var> douts);
  void check_contents(std::span<const Var> ys) const;

  Function function_;
  PoolVector<Saved<Var>> used_;  // f's inputs, then the values that f holds
  std::size_t inputs_ = 0;       // how many of these are f's inputs
  RandomLog randoms_;
  std::size_t results_ = 0;               // number of f's results
  PoolVector<std::size_t> tracked_{};     // indices of the tracked ones
  PoolVector<std::uint64_t> contents_{};  // their checksums
};

// For a backward function of a recorded pass: calculates the results once more by operations, which
// stay on the tape, and plays them backwards at once. The results are those of the node, in order;
// douts: their gradients, undefined ones being zero.
template <class F>
void play_recorded(Grads& grads, std::span<const Var> douts, F f) {
  RecomputedRun::play(
      grads, douts,
      +[](void* function) -> PoolVector<Var> { return (*static_cast<F*>(function))(); }, &f);
}

// Returns the results. If `into` is defined, moves the first one there.
PoolVector<Var> move_first(PoolVector<Var> results, const Tensor& into);

}  // namespace detail

// f(inputs), where f takes a span of as many Vars and returns a PoolVector<Var>. While a tape
// records, the tape does not keep f's operations: the backward pass runs f again, and f must
// compute the same again. f may use parameters, computed values that it holds, random numbers
// (dropout: both runs get the same ones), Tape::current()->gradient(), and recompute() itself.
// Values that f holds by reference must live until the backward pass. f gives results only through
// its return value.
// Gradients equal those without recompute(), also those of a weight that is used elsewhere too.
// They have the same bits if the time steps inside f, and those played before f, are whole blocks
// of ceil(Backend::gradient_rows() / N) steps of a batch of N, and no step uses a parameter both as
// weight or bias of linear() and otherwise. Else, and for second derivatives, the order of
// summation differs.
// A variable that f returns unchanged, or twice, is the same variable among the results.
// `into`: memory for the first result, perhaps a part of a larger tensor. Undefined: the result
// stays where f made it.
// Throws if f calls backward(). Throws if f asks for a gradient by an x, and an input or a held
// value was computed from x outside of f: that gradient would end at the input.
// The backward pass throws if f does not compute the same as before: if it takes other random
// numbers, uses another parameter, or returns another number of results, other shapes or, on the
// CPU, other values (a tensor that f holds was refilled).
// Cost: one more forward pass of f. Memory: f's tape entries, while the backward pass of f runs.
template <class F>
PoolVector<Var> recompute(std::span<const Var> inputs, F f, const Tensor& into = {}) {
  if (Tape::current() == nullptr) return detail::move_first(f(inputs), into);
  detail::RecomputedRun run(+[](void* function, std::span<const Var> xs) -> PoolVector<Var> {
    return (*static_cast<F*>(function))(xs);
  });
  PoolVector<Var> used, tracked;
  PoolVector<Var> results = run.first(&f, inputs, into, used, tracked);
  PoolVector<const Var*> list;
  for (const Var& x : used) list.push_back(&x);
  if (Recorder::wanted("recompute", list) && !tracked.empty()) {
    Recorder::record(
        "recompute", list, tracked,
        [f = std::move(f), run = std::move(run)](std::span<const Var> douts, Grads& grads) mutable {
          run.again(&f, douts, grads);
        });
  }
  return results;
}

}  // namespace tapeloop
