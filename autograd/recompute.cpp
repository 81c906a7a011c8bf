// SPDX-License-Identifier: MIT
// recompute(): a tape within a tape. The inner one is played as soon as it is recorded; what both have to add to a
// parameter's gradient is added to one sum.
#include "autograd/recompute.h"

#include <fmt/format.h>

#include <algorithm>

#include "autograd/error.h"
#include "autograd/tape_memory.h"

namespace tapeloop {

using detail::add_to;
using detail::SetPaused;
using detail::Value;

static void check_results(std::size_t first, std::size_t again) {
  if (first == again) return;
  fail("recompute",
       fmt::format("the function returned {} results the first time, and {} when it was "
                   "run again; it must compute the same",
                   first, again));
}

// What stands for the outer tape's values on the inner one.
static PoolVector<Var> as_leaves(std::span<const Var> inputs) {
  PoolVector<Var> leaves;
  for (const Var& x : inputs) {
    leaves.push_back(x.requires_grad() ? parameter(x.value()) : Var(x.value()));
  }
  return leaves;
}

PoolVector<Var> detail::run_and_forget(RecomputedFunction function, void* f,
                                       std::span<const Var> inputs, PoolVector<Var>& used) {
  const Tape* outer = Tape::current();
  Tape inner;
  inner.look_inside_as(outer);
  const PoolVector<Var> leaves = as_leaves(inputs);
  PoolVector<Var> results;
  for (const Var& y : function(f, leaves)) results.push_back(y.detach());
  for (const Value& value : inner.memory_->values) {
    const Var& x = value.parameter;
    if (!x.defined()) continue;
    const auto is_x = [&](const Var& other) { return other.is(x); };
    if (std::any_of(leaves.begin(), leaves.end(), is_x)) continue;
    if (std::none_of(used.begin(), used.end(), is_x)) used.push_back(x);
  }
  return results;
}

// The sums of parameters that both tapes know change places: contributions are added up in one row, whichever tape they
// come from.
void Tape::exchange_with_outer(Tape& outer) {
  for (std::size_t slot = 0; slot < memory_->gradients.size(); ++slot) {
    const Var& x = memory_->values[slot].parameter;
    const std::uint32_t other = x.defined() ? outer.slot_of(x) : kNone;
    if (other != kNone) {
      // What the outer tape has put off so far comes before what is added now.
      detail::combine_deferred(*outer.memory_, outer.memory_->gradients[other]);
      std::swap(memory_->gradients[slot].sum, outer.memory_->gradients[other].sum);
    }
  }
}

void detail::run_again(RecomputedFunction function, void* f, RandomLog& randoms,
                       std::span<const Var> inputs, std::span<const Var> douts, Grads& grads) {
  Tape& outer = grads.tape_;
  if (grads
          .recording()) {  // what is recorded now stays: it is part of the derivative's own history
    TapeMemory& m = *outer.memory_;
    const std::size_t first = m.nodes.size();
    PoolVector<Var> ys;
    {
      const RandomLog::Replaying replaying(randoms);
      ys = function(f, inputs);
    }
    check_results(douts.size(), ys.size());
    m.gradients.resize(m.values.size());
    for (std::size_t k = 0; k < ys.size(); ++k) {
      const std::uint32_t slot = douts[k].defined() ? outer.slot_of(ys[k]) : kNone;
      if (slot != kNone) add_to(m.gradients[slot].sum, douts[k], true);
    }
    return outer.play(first, true, true, Tape::Into::gradients);
  }
  const PoolVector<Var> leaves = as_leaves(inputs);
  Tape inner;
  inner.look_inside_as(&outer);
  PoolVector<Var> ys;
  {
    SetPaused resumed(false);
    const RandomLog::Replaying replaying(randoms);
    ys = function(f, leaves);
  }
  check_results(douts.size(), ys.size());
  inner.start(ys, douts);
  ys.clear();
  inner.exchange_with_outer(outer);
  inner.play(0, false, false, Tape::Into::outer);
  inner.exchange_with_outer(outer);
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    const std::uint32_t slot = leaves[i].is_parameter() ? inner.slot_of(leaves[i]) : kNone;
    if (slot != kNone && inner.memory_->gradients[slot].sum.defined()) {
      grads.add(static_cast<int>(i), inner.memory_->gradients[slot].sum);
    }
  }
  inner.memory_->gradients.clear();
}

detail::RandomLog::Scope::Scope(RandomLog& log, Mode mode) : log_(log) {
  log.mode_ = mode;
  log.replayed_ = 0;
  log.outer_ = std::exchange(random_log, &log);
}

std::uint64_t detail::RandomLog::take(Random& random, std::uint64_t count) {
  if (mode_ == Scope::Mode::peek) return random.next;
  if (mode_ == Scope::Mode::note) {
    const std::uint64_t first =
        outer_ != nullptr ? outer_->take(random, count) : random.advance(count);
    entries_.push_back({random.seed, first, count});
    return first;
  }
  if (replayed_ == entries_.size() || entries_[replayed_].seed != random.seed ||
      entries_[replayed_].count != count) {
    fail("recompute",
         "run again, the function takes other random numbers than the first time; it must compute "
         "the same, with Random states of the same seeds");
  }
  return entries_[replayed_++].first;
}

}  // namespace tapeloop
