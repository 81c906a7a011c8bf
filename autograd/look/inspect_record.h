// SPDX-License-Identifier: MIT
// What a tape keeps for inspect.h. Private to the tape and to operations over time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/autograd/look/sequence_part.h"

namespace tapeloop::detail {

class Inspection {
 public:
  Inspection(bool check, bool watch)
      : checks_(check), log_(watch ? std::make_shared<StateLog>() : nullptr) {}
  // For a tape within a tape (recompute): the results go to the log of the outer tape.
  Inspection(bool check, std::shared_ptr<StateLog> log) : checks_(check), log_(std::move(log)) {}

  bool checks() const { return checks_; }
  const std::shared_ptr<StateLog>& log() const { return log_; }

  // Called after an operation: keeps its scope and time step, and checks its results.
  void recorded(const char* name, std::span<const Var* const> inputs, std::span<const Var> outputs);
  // Checks a gradient after the node whose backward function runs has added to it.
  void check_gradient(const Tensor& sum, const std::string& what, std::string_view suffix = "");
  // Throws what an operation found, after filling in the place. Keeps a step or a gate that is set.
  [[noreturn]] void report(NonFinitePlace found) const;
  // The first NaN of a tensor, or also infinity if `infinities`; `what` names the tensor.
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
  std::vector<Place> places_;         // one for each node of the tape
  std::vector<std::size_t> playing_;  // the nodes whose backward functions run, innermost last
  friend class Playing;
};

// While it lives, the backward function of a node runs, in the scopes in
// which the node was recorded.
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

// The Inspection of the current tape; null if there is no tape or the tape does not inspect.
Inspection* inspecting();

}  // namespace tapeloop::detail
