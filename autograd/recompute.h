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

// The random states that were used while it was active, and where each of them stood before.
class RandomLog {
 public:
  // Notes every Random that is used while it lives.
  class Noting {
   public:
    explicit Noting(RandomLog& log) : before_(std::exchange(random_log, &log)) {}
    ~Noting() { random_log = before_; }
    Noting(const Noting&) = delete;
    Noting& operator=(const Noting&) = delete;

   private:
    RandomLog* before_;
  };
  // Puts them back to where they stood, and forward again at its end.
  class Rewound {
   public:
    explicit Rewound(RandomLog& log) : log_(log) { log_.rewind(); }
    ~Rewound() { log_.go_on(); }
    Rewound(const Rewound&) = delete;
    Rewound& operator=(const Rewound&) = delete;

   private:
    RandomLog& log_;
  };
  void note(Random& random);

 private:
  void rewind();
  void go_on();
  struct Entry {
    Random* random;
    Random start;  // where it stood before
    Random now;
  };
  PoolVector<Entry> entries_;
};

// In tape.h: run_and_forget() runs f on a tape of its own and adds the parameters that took part to `used`; run_again()
// runs it once more and plays it backwards at once.

}  // namespace detail

// f(inputs), where f takes a span of as many Vars and returns a PoolVector<Var>. While a tape records, nothing of f's own
// record is kept: the backward pass runs f again. The gradients have the bits they would have without recompute() as long
// as f computes the same again: it may use parameters and Random states (dropout), whose places are remembered; what it
// holds by reference must live until the backward pass. (Where one step uses a parameter in two ways, as a weight or bias
// of linear() and elsewhere, its gradient is added up in another order and may differ in the last bit.) Results leave f through its return value only.
// `into`: memory for the first result, perhaps a part of something larger; undefined: it stays where f made it.
// Cost: f's forward pass once more; memory: f's record, for the time of its own backward pass.
template <class F>
PoolVector<Var> recompute(std::span<const Var> inputs, F f, const Tensor& into = {}) {
  if (Tape::current() == nullptr) return f(inputs);
  const detail::RecomputedFunction call =
      +[](void* function, std::span<const Var> xs) { return (*static_cast<F*>(function))(xs); };
  detail::RandomLog randoms;
  PoolVector<Var> parts(inputs.begin(),
                        inputs.end());  // the node's inputs: those of f, then parameters
  PoolVector<Var> results;
  {
    detail::RandomLog::Noting noting(randoms);
    results = detail::run_and_forget(call, &f, inputs, parts);
  }
  if (into.defined()) {
    into.copy_from(results[0].value());
    results[0] = Var(into);
  }
  PoolVector<const Var*> list;
  for (const Var& part : parts) list.push_back(&part);
  if (Recorder::wanted("recompute", list)) {
    Recorder::record("recompute", list, results,
                     [f = std::move(f), call, randoms = std::move(randoms),
                      xs = PoolVector<Var>(inputs.begin(), inputs.end())](
                         std::span<const Var> douts, Grads& grads) mutable {
                       detail::RandomLog::Rewound rewound(randoms);
                       detail::run_again(call, &f, xs, douts, grads);
                     });
  }
  return results;
}

}  // namespace tapeloop
