// SPDX-License-Identifier: MIT
// recompute(): trades time for memory. A part of a calculation keeps its inputs and results only, and is run once more
// when the backward pass comes to it. Also known as gradient checkpointing: Griewank & Walther 2000; Chen et al. 2016,
// arXiv:1604.06174. nn::unroll uses it for long sequences.
#pragma once

#include <utility>

#include "autograd/memory.h"
#include "autograd/random.h"
#include "autograd/tape.h"

namespace tapeloop {

namespace detail {

// The random numbers that a function took, by their places in the streams, in order: run again it takes the same ones,
// wherever its Random states are by then. Logs nest: a function that notes may call another one that does.
class RandomLog {
 public:
  class Scope {  // while it lives, what this thread takes goes by a log
   public:
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() { random_log = log_.outer_; }

   protected:
    enum class Mode { note, replay, peek };
    Scope(RandomLog& log, Mode mode);

   private:
    friend class RandomLog;
    RandomLog& log_;
  };
  struct Noting : Scope {  // takes, and notes what
    explicit Noting(RandomLog& log) : Scope(log, Mode::note) {}
  };
  struct Replaying : Scope {  // takes what was noted, and moves no Random
    explicit Replaying(RandomLog& log) : Scope(log, Mode::replay) {}
  };
  struct Peeking : Scope {  // takes what would come next, and moves no Random
    explicit Peeking(RandomLog& log) : Scope(log, Mode::peek) {}
  };
  std::uint64_t take(Random& random, std::uint64_t count);

 private:
  struct Entry {
    std::uint64_t seed, first, count;
  };
  PoolVector<Entry> entries_;
  std::size_t replayed_ = 0;
  Scope::Mode mode_{};
  RandomLog* outer_ = nullptr;
};

inline PoolVector<Saved<Var>> saved_inputs(std::span<const Var> inputs) {
  PoolVector<Saved<Var>> result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    result.emplace_back(inputs[i], i < kSavedIndex ? static_cast<int>(i) : kSavedValue);
  }
  return result;
}

// In tape.h: run_and_forget() runs f on a tape of its own and adds the parameters that took part to `used`; run_again()
// runs it once more and plays it backwards at once.

}  // namespace detail

// f(inputs), where f takes a span of as many Vars and returns a PoolVector<Var>. While a tape records, nothing of f's own
// record is kept: the backward pass runs f again, which must compute the same again. It may use parameters and random
// numbers (dropout; the same ones are taken again), and call recompute() itself; what it holds by reference must live
// until the backward pass. Results leave f through its return value only.
// Gradients are those without recompute(), also of a weight that is used elsewhere too; they have the same bits where the
// rows (time steps times batch) that use a weight inside f, and those played before f, are multiples of kGemmGroup, and
// no step uses a parameter both as weight or bias of linear() and otherwise. Else they are added up in another order.
// `into`: memory for the first result, perhaps a part of something larger; undefined: it stays where f made it.
// Throws, in the backward pass, where f takes other random numbers than before.
// Cost: f's forward pass once more; memory: f's record, for the time of its own backward pass.
template <class F>
PoolVector<Var> recompute(std::span<const Var> inputs, F f, const Tensor& into = {}) {
  const auto moved = [&into](PoolVector<Var> results) {
    if (into.defined()) {
      into.copy_from(results[0].value());
      results[0] = Var(into);
    }
    return results;
  };
  if (Tape::current() == nullptr) return moved(f(inputs));
  const detail::RecomputedFunction call =
      +[](void* function, std::span<const Var> xs) { return (*static_cast<F*>(function))(xs); };
  detail::RandomLog randoms;
  PoolVector<Var> parts(inputs.begin(),
                        inputs.end());  // the node's inputs: those of f, then parameters
  PoolVector<Var> results;
  {
    detail::RandomLog::Noting noting(randoms);
    results = moved(detail::run_and_forget(call, &f, inputs, parts));
  }
  PoolVector<const Var*> list;
  for (const Var& part : parts) list.push_back(&part);
  if (Recorder::wanted("recompute", list)) {
    Recorder::record(
        "recompute", list, results,
        [f = std::move(f), call, randoms = std::move(randoms), xs = detail::saved_inputs(inputs)](
            std::span<const Var> douts, Grads& grads) mutable {
          const PoolVector<Var> unchanged(xs.begin(), xs.end());
          detail::run_again(call, &f, randoms, unchanged, douts, grads);
        });
  }
  return results;
}

}  // namespace tapeloop
