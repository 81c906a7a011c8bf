// SPDX-License-Identifier: MIT
// What a tape notes that was asked to look inside (inspect.h). Private to the tape and to operations over time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/autograd/look/profile.h"

namespace tapeloop::detail {

using StateLog = std::vector<StateGradient>;

// Where the gradients of one sequence's states are noted, and the time at which the part of it at hand begins.
struct StateRow {
  bool given = false;             // there is a sequence, and its tape looks inside
  std::shared_ptr<StateLog> log;  // null: nobody asks for gradients
  std::size_t row = 0;
  std::int64_t first = 0;

  StateRow from(std::int64_t time) const { return {given, log, row, first + time}; }
  bool wanted() const { return log != nullptr; }
  // |dh| of a time step, counted from `first`.
  void note(std::int64_t t, const Tensor& dh) const;
};

// A sequence is being unrolled while it lives: a new row, unless one was handed on. Without a tape that looks inside:
// nothing.
class InSequence {
 public:
  InSequence(std::int64_t steps, bool reverse);
  ~InSequence();
  InSequence(const InSequence&) = delete;
  InSequence& operator=(const InSequence&) = delete;
  const StateRow& row() const { return row_; }

 private:
  StateRow row_;
  const StateRow* outer_ = nullptr;
};

// The next sequence of this thread is this one, or a part of it: unroll() to recurrent(), a segment to its second run.
class HandOn {
 public:
  explicit HandOn(const StateRow& row);
  ~HandOn();
  HandOn(const HandOn&) = delete;
  HandOn& operator=(const HandOn&) = delete;
};

// h, after noting in the backward pass how large its whole gradient is. h itself where nobody asks.
Var watch_state(const StateRow& row, std::int64_t t, const Var& h);

class Inspection {
 public:
  Inspection(bool check, bool watch)
      : checks_(check), log_(watch ? std::make_shared<StateLog>() : nullptr) {}
  // For a tape within a tape (recompute): what it finds belongs to the outer one.
  Inspection(bool check, std::shared_ptr<StateLog> log) : checks_(check), log_(std::move(log)) {}

  bool checks() const { return checks_; }
  const std::shared_ptr<StateLog>& log() const { return log_; }

  // An operation was done: notes where, and looks at its results.
  void recorded(const char* name, std::span<const Var* const> inputs, std::span<const Var> outputs);
  // A gradient that the node being played has added to.
  void check_gradient(const Tensor& sum, const std::string& what, std::string_view suffix = "");
  // Throws what an operation found out itself, with the place filled in; a step or a gate that it knows stays.
  [[noreturn]] void report(NonFinitePlace found) const;
  // The first NaN of a tensor, or infinity where those count; `what` names the tensor.
  static std::optional<NonFinitePlace> look(const Tensor& tensor, bool infinities,
                                            const std::string& what);
  static double largest(const Tensor& tensor);

 private:
  struct Place {
    const char* name;
    std::string scope;
    std::int64_t step;
  };
  bool checks_;
  std::shared_ptr<StateLog> log_;
  std::vector<Place> places_;         // of the tape's nodes
  std::vector<std::size_t> playing_;  // the node whose backward function runs, innermost last
  friend class Playing;
};

// The backward function of a node runs while it lives, within the scopes that the node was recorded in.
class Playing {
 public:
  Playing(Inspection* inspection, std::size_t node) : inspection_(inspection) {
    if (inspection != nullptr) enter(node);
  }
  ~Playing() {
    if (inspection_ != nullptr) leave();
  }
  Playing(const Playing&) = delete;
  Playing& operator=(const Playing&) = delete;

 private:
  void enter(std::size_t node);
  void leave();
  Inspection* inspection_;
  std::vector<std::unique_ptr<Scope>> scopes_;
};

// That of the current tape; null where there is none or it does not look inside.
Inspection* inspecting();

}  // namespace tapeloop::detail
