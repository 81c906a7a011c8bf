// SPDX-License-Identifier: MIT
// What a tape keeps for inspect.h. Private to this folder and to operations over time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/look/inspect.h"
#include "tapeloop/autograd/look/sequence_part.h"
#include "tapeloop/autograd/tape/observer.h"

namespace tapeloop::detail {

class Inspection final : public Observer {
 public:
  Inspection(bool check, bool watch)
      : checks_(check), log_(watch ? std::make_shared<StateLog>() : nullptr) {}
  // For a tape within a tape (recompute): the results go to the log of the outer tape.
  Inspection(bool check, std::shared_ptr<StateLog> log) : checks_(check), log_(std::move(log)) {}

  bool checks() const { return checks_; }
  const std::shared_ptr<StateLog>& log() const { return log_; }

  // Keeps the scope and the time step of the operation, and checks its results.
  void recorded(const RecordedOperation& operation) override;
  void begin(std::size_t node, NodeWork work) override;
  void end(std::size_t /*node*/, NodeWork /*work*/) override { playing_.pop_back(); }
  void interrupted() noexcept override { playing_.pop_back(); }
  void input_gradient(std::size_t input, const Tensor& sum) override;
  void parameter_gradient(const Tensor& sum) override;
  std::unique_ptr<Observer> of_inner_tape() const override;
  // Find the part of the formula that is not finite although its inputs are (inspect_formula.cpp).
  void called(const FormulaCall& call) override;
  void differentiated(const FormulaGradient& gradient) override;

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
  // While it lives, the calculation has the scope in which the node was recorded.
  class Playing {
   public:
    explicit Playing(std::size_t node) : node_(node) {}
    Playing(std::size_t node, std::string path);
    Playing(Playing&&) noexcept = default;
    ~Playing() {
      while (!scopes_.empty()) scopes_.pop_back();  // the innermost first
    }
    std::size_t node() const { return node_; }

   private:
    std::size_t node_;
    std::vector<std::unique_ptr<Scope>> scopes_;
  };
  void check_gradient(const Tensor& sum, const std::string& what, std::string_view suffix = "");

  bool checks_;
  std::shared_ptr<StateLog> log_;
  std::vector<Place> places_;     // one for each node of the tape
  std::vector<Playing> playing_;  // the nodes that are played, the innermost last
};

// The Inspection of the current tape; null if there is no tape or the tape does not inspect.
inline Inspection* inspecting() { return find_observer<Inspection>(observers()); }

}  // namespace tapeloop::detail
