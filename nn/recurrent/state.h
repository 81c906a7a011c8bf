// SPDX-License-Identifier: MIT
// State: the state of a recurrent cell, one or more Vars; the first is the hidden state h.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <tuple>
#include <utility>

#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::nn {

// State<1>: h. State<2>: h and c. `auto [h, c] = state;` gives the parts, State<2>(h, c) joins
// them. Parts are [N, size] for a cell, [layers * directions, N, size] for a stack.
template <std::size_t kParts>
class State {
 public:
  static constexpr std::size_t parts = kParts;  // how many
  State() = default;                            // undefined: means zeros
  // From its parts.
  template <std::same_as<Var>... V>
  requires(sizeof...(V) == kParts) explicit(kParts > 1) State(const V&... part) : parts_{part...} {}

  // From a list of the parts.
  explicit State(std::span<const Var> list) {
    for (std::size_t i = 0; i < kParts; ++i) parts_[i] = list[i];
  }

  bool defined() const { return parts_[0].defined(); }
  const Var& h() const { return parts_[0]; }  // the first part
  // Part i; all parts.
  Var& operator[](std::size_t i) { return parts_[i]; }
  const Var& operator[](std::size_t i) const { return parts_[i]; }
  std::span<const Var> all() const { return parts_; }
  auto begin() const { return parts_.begin(); }
  auto end() const { return parts_.end(); }
  // The same values without their history, for truncated BPTT.
  State detach() const {
    State result;
    for (std::size_t i = 0; i < kParts; ++i) {
      if (parts_[i].defined()) result[i] = parts_[i].detach();
    }
    return result;
  }
  // Part I, for structured bindings.
  template <std::size_t I>
  const Var& get() const {
    return parts_[I];
  }

 private:
  std::array<Var, kParts> parts_;
};

// The state of a cell that is chosen at run time (choice/any_cell.h): as State, with any number of
// parts. Without parts it is undefined and means zeros.
class AnyState {
 public:
  AnyState() = default;
  // From a list of the parts.
  explicit AnyState(std::span<const Var> list) : parts_(list.begin(), list.end()) {}

  bool defined() const { return h().defined(); }
  const Var& h() const { return (*this)[0]; }  // the first part
  // Part i, which is added if there is none yet. A const state has an undefined one instead.
  Var& operator[](std::size_t i) {
    if (i >= parts_.size()) parts_.resize(i + 1);
    return parts_[i];
  }
  const Var& operator[](std::size_t i) const {
    static const Var none;
    return i < parts_.size() ? parts_[i] : none;
  }
  std::span<const Var> all() const { return parts_; }  // all parts
  auto begin() const { return parts_.begin(); }
  auto end() const { return parts_.end(); }
  // The same values without their history, for truncated BPTT.
  AnyState detach() const {
    AnyState result;
    for (std::size_t i = 0; i < parts_.size(); ++i)
      result[i] = parts_[i].defined() ? parts_[i].detach() : Var();
    return result;
  }

 private:
  PoolVector<Var> parts_;
};

}  // namespace tapeloop::nn

template <std::size_t kParts>
struct std::tuple_size<tapeloop::nn::State<kParts>> : std::integral_constant<std::size_t, kParts> {
};
template <std::size_t I, std::size_t kParts>
struct std::tuple_element<I, tapeloop::nn::State<kParts>> {
  using type = const tapeloop::Var;
};
