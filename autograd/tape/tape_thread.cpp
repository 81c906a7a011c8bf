// SPDX-License-Identifier: MIT
// The tapes of a thread: the one that records, those that pause, and the memory of ended ones.
// tape_record.cpp records, tape.cpp plays.
#include <atomic>
#include <memory>

#include "tapeloop/autograd/tape/tape_memory.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

using detail::thread_state;
using detail::ThreadState;

namespace {

std::atomic<std::uint64_t> next_tape_id{1};

// Frees the memory that the thread keeps for its next tapes.
void release_kept_records(bool thread_ends) {
  ThreadState& state = thread_state();
  state.free_kept();
  while (thread_ends && state.recording != nullptr) {  // of tapes that will end in another thread
    TapeMemory* const memory = std::exchange(state.recording, state.recording->next);
    if (memory->let_go()) delete memory;
  }
}

}  // namespace

Tape* detail::ThreadState::drop_ended() {
  while (recording != nullptr) {
    Tape* const tape = recording->tape.load(std::memory_order_acquire);
    if (tape != nullptr) return tape;
    TapeMemory* const memory = std::exchange(recording, recording->next);
    if (memory->let_go()) delete memory;
  }
  return nullptr;
}

Tape::Tape() : id_(next_tape_id.fetch_add(1)) {
  ThreadState& state = thread_state();
  if (state.free_memory != nullptr) {
    memory_ = std::exchange(state.free_memory, state.free_memory->next);
  } else {
    memory::also_release(&release_kept_records);
    memory_ = new TapeMemory;
  }
  memory_->tape.store(this, std::memory_order_relaxed);
  memory_->next = std::exchange(state.recording, memory_);
}

Tape::~Tape() {
  memory_->clear();
  if (!detail::thread_context.pool_is_gone) {
    ThreadState& state = thread_state();
    // Tapes on the heap may end in any order: removes this one from any place of the list.
    TapeMemory** link = &state.recording;
    while (*link != nullptr && *link != memory_) link = &(*link)->next;
    if (*link == memory_) {
      *link = memory_->next;
      memory_->next = std::exchange(state.free_memory, memory_);
      return;
    }
  }
  // The tape belongs to another thread. That thread will find `tape` null.
  memory_->tape.store(nullptr, std::memory_order_release);
  if (memory_->let_go()) delete memory_;
}

detail::KeptByOperations* detail::kept_by_operations() { return thread_state().kept_by_operations; }
void detail::keep_for_operations(std::unique_ptr<KeptByOperations> kept) {
  memory::also_release(&release_kept_records);
  delete std::exchange(thread_state().kept_by_operations, kept.release());
}

Tape* Tape::current() {
  ThreadState& state = thread_state();
  return state.paused ? nullptr : state.tape();
}

PauseRecording::PauseRecording() : before_(std::exchange(thread_state().paused, true)) {}
PauseRecording::~PauseRecording() { thread_state().paused = before_; }

}  // namespace tapeloop
