// SPDX-License-Identifier: MIT
// recompute(): a tape within a tape. The inner tape is played as soon as it is recorded. Its leaves
// are parameters and values of the outer tape. Both tapes add their parts of a leaf's gradient to
// one sum.
#include "tapeloop/autograd/tape/recompute.h"

#include <fmt/format.h>

#include <algorithm>

#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

using detail::Leaf;

detail::InnerTape::InnerTape(const Tape& outer, bool observed) {
  tape.outer_ = &outer;
  tape.id_ |= kInnerTape;
  if (!observed) return;
  for (const auto& observer : outer.observers_) {
    if (auto inner = observer->of_inner_tape()) tape.observers_.push_back(std::move(inner));
  }
}

PoolVector<Var> detail::InnerTape::leaves() const {
  PoolVector<Var> result;
  for (const Leaf& leaf : tape.memory_->leaves) result.push_back(leaf.variable);
  return result;
}

PoolVector<Var> detail::move_first(PoolVector<Var> results, const Tensor& into) {
  if (!into.defined()) return results;
  if (results.empty()) {
    fail("recompute", "the function returned no result, but `into` is memory for the first one: " +
                          into.describe());
  }
  into.copy_from(results[0].value());
  results[0] = Var(into);
  return results;
}

PoolVector<Var> detail::RecomputedRun::first(void* f, std::span<const Var> inputs,
                                             const Tensor& into, PoolVector<Var>& used,
                                             PoolVector<Var>& tracked) {
  const InnerTape within(*Tape::current(), true);
  const Tape& inner = within.tape;
  PoolVector<Var> results;
  PoolVector<std::pair<std::size_t, std::size_t>> repeated;  // result, earlier one that it is
  {
    const RandomLog::Noting noting(randoms_);
    results = function_(f, inputs);
  }
  if (inner.played_) {
    fail("recompute",
         "the function ran a backward pass, which freed what it recorded; pass {.retain = true} to "
         "that pass");
  }
  results_ = results.size();
  const PoolVector<Var> own(results.begin(), results.end());
  for (std::size_t k = 0; k < results_; ++k) {
    Var& y = results[k];
    if (!y.requires_grad()) continue;
    // A variable that f returns unchanged stays the same variable: its gradient adds up as it would
    // without recompute(). The one in `into` is a copy.
    const bool copied = k == 0 && into.defined();
    if (inner.is_leaf(y)) {
      if (!copied) continue;
      inner.memory_->leaf_slot(y);
    }
    const auto same = std::find_if(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(k),
                                   [&](const Var& other) { return other.is(own[k]); });
    if (same != own.begin() + static_cast<std::ptrdiff_t>(k)) {
      repeated.emplace_back(k, same - own.begin());
      continue;
    }
    y = y.detach();
    tracked_.push_back(k);
  }
  used.assign(inputs.begin(), inputs.end());
  for (const Var& x : within.leaves()) {
    const auto is_x = [&](const Var& other) { return other.is(x); };
    if (std::none_of(used.begin(), used.end(), is_x)) used.push_back(x);
  }
  inputs_ = inputs.size();
  for (std::size_t i = 0; i < used.size(); ++i) {
    used_.emplace_back(used[i], i < inputs_ && i < kSavedIndex ? static_cast<int>(i) : kSavedValue);
  }
  results = move_first(std::move(results), into);
  for (const auto& [later, first] : repeated) results[later] = results[first];
  for (const std::size_t k : tracked_) {
    tracked.push_back(results[k]);
    contents_.push_back(checksum_of(results[k].value()));
  }
  return results;
}

// Runs f again and returns the tracked results. Throws if f does not compute the same as in the
// first run.
PoolVector<Var> detail::RecomputedRun::run_again(void* f, std::span<const Var> douts) {
  const PoolVector<Var> used(used_.begin(), used_.end());  // throws if one was written
  PoolVector<Var> all;
  {
    const RandomLog::Replaying replaying(randoms_);
    all = function_(f, {used.data(), inputs_});
  }
  if (!randoms_.replayed_all()) {
    fail("recompute",
         "in the second run the function draws fewer random numbers than in the first; it must "
         "compute the same");
  }
  if (all.size() != results_) {
    fail("recompute",
         fmt::format("the function returned {} results in the first run and {} in the second; it "
                     "must compute the same",
                     results_, all.size()));
  }
  PoolVector<Var> ys;
  for (std::size_t i = 0; i < douts.size(); ++i) {
    const Var& y = ys.emplace_back(std::move(all[tracked_[i]]));
    if (!douts[i].defined()) continue;
    if (!y.requires_grad() || y.shape() != douts[i].shape()) {
      fail("recompute",
           fmt::format("in the second run the function's result {} is {} {}, in the first run a "
                       "computed value {}; the function must compute the same",
                       tracked_[i], y.requires_grad() ? "a computed value" : "a constant",
                       y.defined() ? y.shape().str() : "without a value", douts[i].shape().str()));
    }
  }
  return ys;
}

// True if the computed value y depends on one of the xs, other than on itself.
bool Tape::derived_from(const Var& y, std::span<const Var> xs) const {
  const TapeMemory& m = *memory_;
  const std::uint32_t wanted = slot_of(y);
  if (wanted == kNone) return outer_ != nullptr && outer_->derived_from(y, xs);
  PoolVector<char> derived(m.values.size(), 0), is_x(m.values.size(), 0);
  for (const Var& x : xs) {
    const std::uint32_t slot = slot_of(x);
    if (slot != kNone) is_x[slot] = 1;
  }
  for (const Leaf& leaf : m.leaves) {
    if (leaf.variable.is_parameter()) continue;
    derived[leaf.slot] = outer_->derived_from(leaf.variable, xs);
  }
  for (const detail::Node& node : m.nodes) {
    for (std::uint32_t k = 0; k < node.inputs; ++k) {
      const std::uint32_t slot = m.inputs[node.first_input + k];
      if (slot == kNone || (derived[slot] == 0 && is_x[slot] == 0)) continue;
      std::fill_n(derived.begin() + node.first_output, node.outputs, 1);
    }
  }
  return derived[wanted] != 0;
}

// gradient() on this tape ends at the leaves. Throws if the result is incomplete: a leaf that it
// reached depends on an x.
void Tape::check_leaves_independent(std::span<const Var> xs) const {
  for (const Leaf& leaf : memory_->leaves) {
    if (leaf.variable.is_parameter() || leaf.slot >= memory_->gradients.size()) continue;
    if (!memory_->gradients[leaf.slot].sum.defined()) continue;
    if (!outer_->derived_from(leaf.variable, xs)) continue;
    fail("gradient",
         fmt::format("within the function of recompute(), a value {} that was computed outside "
                     "depends on an x, and the gradient does not go through it; compute that value "
                     "within the function",
                     leaf.variable.value().describe()));
  }
}

[[noreturn]] static void fail_new_leaf(const Var& x) {
  fail("recompute",
       fmt::format("in the second run the function uses {} {} that it did not use the first time; "
                   "it must compute the same",
                   x.is_parameter() ? "a parameter" : "a value", x.value().describe()));
}

// Lets both tapes add to the same sums, so that contributions are added in one order, whichever
// tape they come from. A second call gives the sums back.
void Tape::exchange_with_outer(Tape& outer) {
  for (const Leaf& leaf : memory_->leaves) {
    if (leaf.slot >= memory_->gradients.size()) continue;  // came with a recorded pass
    const Var& x = leaf.variable;
    const std::uint32_t other = outer.slot_of(x);
    // An upstream gradient gets no gradient itself.
    if (detail::is_upstream(x)) continue;
    if (other == kNone || other >= outer.memory_->gradients.size()) {
      fail_new_leaf(x);
    }
    // First adds the contributions that the outer tape has deferred so far.
    detail::combine_deferred(*outer.memory_, outer.memory_->gradients[other]);
    std::swap(memory_->gradients[leaf.slot].sum, outer.memory_->gradients[other].sum);
  }
}

// Throws if the tracked results differ from those of the first run.
void detail::RecomputedRun::check_contents(std::span<const Var> ys) const {
  for (std::size_t i = 0; i < ys.size(); ++i) {
    if (checksum_of(ys[i].value()) == contents_[i]) continue;
    fail("recompute",
         fmt::format("in the second run the function's result {}, {}, has other values than in the "
                     "first run; the function must compute the same. A tensor that it holds was "
                     "written before backward() (a batch refilled, fill, copy_from), or it counts "
                     "or draws numbers itself",
                     tracked_[i], ys[i].value().describe()));
  }
}

void detail::RecomputedRun::play(Grads& grads, std::span<const Var> douts,
                                 PoolVector<Var> (*results)(void* f), void* f) {
  Tape& tape = grads.tape_;
  TapeMemory& m = *tape.memory_;
  const std::size_t begin = m.nodes.size();
  PoolVector<Var> ys, dys;
  {
    const PoolVector<Var> all = results(f);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!douts[i].defined()) continue;
      ys.push_back(all[i]);
      dys.push_back(douts[i]);
    }
  }
  const std::size_t end = m.nodes.size();
  m.gradients.resize(m.values.size());
  tape.add_upstream(ys, dys, true);
  tape.play(begin, end, true, true, Tape::Into::gradients);
}

void detail::RecomputedRun::again(void* f, std::span<const Var> douts, Grads& grads) {
  Tape& outer = grads.tape_;
  if (grads.recording()) {
    // The new nodes stay on the tape: they are part of the derivative's own history. The sums of
    // upstream gradients stay too: they are not part of f and are not played here.
    TapeMemory& m = *outer.memory_;
    const std::size_t begin = m.nodes.size(), leaves = m.leaves.size();
    const PoolVector<Var> ys = run_again(f, douts);
    if (m.leaves.size() > leaves) fail_new_leaf(m.leaves[leaves].variable);
    check_contents(ys);
    const std::size_t end = m.nodes.size();
    m.gradients.resize(m.values.size());
    outer.add_upstream(ys, douts, true);
    return outer.play(begin, end, true, true, Tape::Into::gradients);
  }
  InnerTape within(outer, true);
  Tape& inner = within.tape;
  PoolVector<Var> ys;
  {
    SetPaused resumed(false);
    ys = run_again(f, douts);
  }
  inner.start(ys);
  inner.exchange_with_outer(outer);
  check_contents(ys);
  inner.add_upstream(ys, douts, false);
  ys.clear();
  inner.playing_ = true;  // a backward function may ask the inner tape for a gradient
  inner.play(0, inner.size(), false, false, Tape::Into::outer);
  inner.exchange_with_outer(outer);
  inner.memory_->gradients.clear();
}

}  // namespace tapeloop
