// SPDX-License-Identifier: MIT
// The data of a tape, and the state of a thread that records. Private to the files of the tape.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>

#include "tapeloop/autograd/tape/tape.h"

namespace tapeloop {

namespace detail {

inline constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
static_assert(kUpstream == kNone, "a value of the upstream gradient alone has no slot");
inline bool is_upstream(const Var& x) {
  return x.requires_grad() && !x.is_parameter() && x.body()->slot == kUpstream;
}
inline constexpr std::uint64_t kInnerTape = std::uint64_t{1} << 63;  // set in an InnerTape's id
inline constexpr std::size_t kChunkBytes = (std::size_t{1} << 16) - sizeof(void*);

struct Node {
  const char* name;
  BackwardFunction* backward;           // nullptr once consumed
  std::uint32_t first_input, inputs;    // in TapeMemory::inputs
  std::uint32_t first_output, outputs;  // in TapeMemory::values
};

// A reference to a tensor's memory. While it lives, no other tensor can get that memory.
class HeldMemory {
 public:
  HeldMemory() = default;
  explicit HeldMemory(const Tensor& tensor) : storage_(storage_of(tensor)) {
    if (storage_ != nullptr) storage_->references.fetch_add(1, std::memory_order_relaxed);
  }
  HeldMemory(HeldMemory&& other) noexcept : storage_(std::exchange(other.storage_, nullptr)) {}
  HeldMemory& operator=(HeldMemory&& other) noexcept {
    std::swap(storage_, other.storage_);
    return *this;
  }
  ~HeldMemory() { drop(storage_); }

  bool is_of(const Tensor& tensor) const { return storage_ == storage_of(tensor); }

 private:
  Storage* storage_ = nullptr;
};

// A value of the tape: a leaf, or the result of an operation. It fits in one cache line.
struct Value {
  Shape shape;
  DType dtype;
  std::uint32_t leaf = kNone;  // its number among the leaves; kNone for results
};
static_assert(sizeof(Value) == 64);

// A value that the tape uses but did not compute: a parameter, or a value of the enclosing tape.
struct Leaf {
  Var variable;
  std::uint32_t slot;
  // Its memory at the first use, and a stamp that shows whether it was written since.
  HeldMemory memory;
  Stamp stamp;
};

struct Gradient {
  Var sum;
  std::uint32_t last_deferred = kNone;
};

struct DeferredEntry {
  Deferred pair;
  Combine combine;
  std::uint32_t previous;
};

}  // namespace detail

using detail::kNone;

// Everything that a tape needs to record. It is kept for the next tape, so that recording then
// allocates nothing. A thread has a list of those in use, the innermost first, and a list of free
// ones.
struct TapeMemory {
  PoolVector<detail::Node> nodes;
  PoolVector<std::uint32_t> inputs;  // slots
  PoolVector<detail::Value> values;
  PoolVector<detail::Leaf> leaves;         // in the order of their slots
  PoolVector<detail::Gradient> gradients;  // of the backward pass in progress
  PoolVector<detail::DeferredEntry> deferred;
  PoolVector<detail::Deferred> gathered;
  PoolVector<Var> doutputs;
  PoolVector<std::uint32_t> leaf_table;  // numbers of leaves; open addressing by body address
  PoolVector<char*> chunks;
  std::size_t chunk = 0;
  std::size_t used = 0;
  // The tape that uses this memory; null after that tape ended in another thread.
  std::atomic<Tape*> tape{nullptr};
  // The tape and its thread hold this memory. The last one that lets go frees it or keeps it for
  // later.
  std::atomic<std::int32_t> holders{2};
  TapeMemory* next = nullptr;  // in the thread's list
  std::size_t most_used = 0;   // bytes that the largest of the last tapes used
  int ended = 0;               // number of those last tapes

  bool let_go() { return detail::let_go(holders); }
  ~TapeMemory() { free_chunks(); }

  // The slot of the leaf `x`, made at the first use.
  std::uint32_t leaf_slot(const Var& x) {
    if (2 * (leaves.size() + 1) > leaf_table.size()) grow_table();
    std::uint32_t& entry = find(x.body());
    if (entry == kNone) {
      // Nothing is half done if memory runs out.
      const auto slot = static_cast<std::uint32_t>(values.size());
      const auto leaf = static_cast<std::uint32_t>(leaves.size());
      if (leaf == leaves.capacity()) leaves.reserve(2 * leaves.size() + 8);
      values.push_back({x.shape(), x.dtype(), leaf});
      leaves.push_back({x, slot, detail::HeldMemory(x.value()), detail::Stamp(x.value(), 0)});
      entry = leaf;
    }
    return leaves[entry].slot;
  }
  // The same without making it: kNone if `x` was not used.
  std::uint32_t known_leaf_slot(const Var& x) {
    const std::uint32_t entry = leaf_table.empty() ? kNone : find(x.body());
    return entry == kNone ? kNone : leaves[entry].slot;
  }
  void consume(detail::Node& node) {
    if (node.backward != nullptr) std::exchange(node.backward, nullptr)->~BackwardFunction();
  }
  void clear() {
    for (detail::Node& node : nodes) consume(node);
    most_used = std::max(most_used, chunk * detail::kChunkBytes + sum_over_lists([](auto& list) {
                                      return list.size() * sizeof(list[0]);
                                    }));
    over_lists([](auto& list) { list.clear(); });
    std::fill(leaf_table.begin(), leaf_table.end(), kNone);
    chunk = 0;
    used = 0;
    if (++ended < kTapes) return;
    free_unneeded();
    most_used = 0;
    ended = 0;
  }

 private:
  std::uint32_t& find(const detail::VarBody* body) {
    const std::size_t mask = leaf_table.size() - 1;
    std::size_t i = (reinterpret_cast<std::size_t>(body) / 64 * 0x9E3779B97F4A7C15ull >> 20) & mask;
    while (leaf_table[i] != kNone && leaves[leaf_table[i]].variable.body() != body) {
      i = (i + 1) & mask;
    }
    return leaf_table[i];
  }
  void grow_table() {
    leaf_table.assign(std::max<std::size_t>(64, 2 * leaf_table.size()), kNone);
    for (std::uint32_t i = 0; i < leaves.size(); ++i) find(leaves[i].variable.body()) = i;
  }

  static constexpr int kTapes = 16;
  static constexpr std::size_t kAlwaysKept = std::size_t{1} << 20;

  template <class Work>
  void over_lists(Work work) {
    work(nodes), work(inputs), work(values), work(leaves), work(gradients), work(deferred),
        work(gathered), work(doutputs);
  }
  template <class Measure>
  std::size_t sum_over_lists(Measure measure) {
    std::size_t sum = 0;
    over_lists([&](auto& list) { sum += measure(list); });
    return sum;
  }
  // Frees the memory if the last tapes used less than a quarter of it.
  void free_unneeded() {
    const std::size_t kept = chunks.size() * detail::kChunkBytes + sum_over_lists([](auto& list) {
                               return list.capacity() * sizeof(list[0]);
                             });
    if (kept <= kAlwaysKept || kept / 4 <= most_used) return;
    over_lists([](auto& list) { std::remove_reference_t<decltype(list)>().swap(list); });
    PoolVector<std::uint32_t>().swap(leaf_table);
    free_chunks();
  }
  void free_chunks() {
    for (char* block : chunks) memory::release(block, detail::kChunkBytes);
    chunks.clear();
  }
};

inline bool Tape::is_leaf(const Var& x) const {
  return x.is_parameter() || (x.requires_grad() && x.body()->tape_id != id_);
}

namespace detail {

struct ThreadState {
  TapeMemory* recording = nullptr;  // of the innermost tape
  bool paused = false;
  TapeMemory* free_memory = nullptr;
  KeptByOperations* kept_by_operations = nullptr;

  // The innermost tape; null if there is none.
  Tape* tape() {
    if (recording == nullptr) return nullptr;
    Tape* const innermost = recording->tape.load(std::memory_order_acquire);
    return innermost != nullptr ? innermost : drop_ended();
  }
  void free_kept() {
    while (free_memory != nullptr) delete std::exchange(free_memory, free_memory->next);
    delete std::exchange(kept_by_operations, nullptr);
  }

 private:
  Tape* drop_ended();  // forgets tapes that ended in other threads
};
// Needs no construction and no destruction, so that an access costs no more than that of a number.
// tape_thread.cpp frees the thread's last tape memory, before the thread's pool.
inline constinit thread_local ThreadState state_of_thread;
inline ThreadState& thread_state() { return state_of_thread; }

// Pauses or resumes the recording of this thread while it lives.
class SetPaused {
 public:
  explicit SetPaused(bool paused) : before_(std::exchange(thread_state().paused, paused)) {}
  ~SetPaused() { thread_state().paused = before_; }
  SetPaused(const SetPaused&) = delete;
  SetPaused& operator=(const SetPaused&) = delete;

 private:
  bool before_;
};

// Sets aside the sums of a pass in progress while one of its backward functions asks the same tape
// for a gradient. `memory` is null if no pass is in progress.
class RestingPass {
 public:
  explicit RestingPass(TapeMemory* memory) : memory_(memory) { exchange(); }
  ~RestingPass() { exchange(); }
  RestingPass(const RestingPass&) = delete;
  RestingPass& operator=(const RestingPass&) = delete;

 private:
  void exchange() {
    if (memory_ == nullptr) return;
    gradients_.swap(memory_->gradients);
    deferred_.swap(memory_->deferred);
  }
  TapeMemory* memory_;
  PoolVector<Gradient> gradients_;
  PoolVector<DeferredEntry> deferred_;
};

// True if no other handle sees the sum's memory, so that the sum may be written.
bool is_ours(const Var& sum);

// Adds the contributions deferred so far to the sum.
void combine_deferred(TapeMemory& m, Gradient& gradient);

// sum = sum + contribution, in place if is_ours(sum) and the pass is not recorded.
void add_to(Var& sum, const Var& contribution, bool recording);

}  // namespace detail
}  // namespace tapeloop
