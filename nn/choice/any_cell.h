// SPDX-License-Identifier: MIT
// AnyRecurrent: a stack of a cell that is chosen at run time.
//   nn::AnyRecurrent model({.input = 16, .hidden = 64}, random, "gru(reset=before, layers=2)");
// It is a Recurrent<AnyCell>: visit, state, lengths, make_stepper and gradcheck are the same. An
// AnyCell is a cell without its type. It calls the real one once for each layer and sequence, so
// that a training step takes the time of the stack with the type.
#pragma once

#include <memory>
#include <typeinfo>

#include "tapeloop/nn/choice/cell_choice.h"
#include "tapeloop/nn/recurrent/recurrent.h"
#include "tapeloop/nn/recurrent/stepper.h"

namespace tapeloop::nn {

namespace detail {

// A cell behind an interface. An absent recurrence is undefined.
class ErasedCell {
 public:
  virtual ~ErasedCell() = default;
  virtual std::span<const std::int64_t> state_sizes() const = 0;
  virtual Var input(const Var& x) const = 0;
  virtual Var input(const Tensor& symbols) const = 0;
  virtual Linear input_projection() const = 0;
  virtual Recurrence recurrence() const = 0;
  virtual Recurrence recurrence(const of::Source& mask) const = 0;
  virtual AnyState step(const Var& zx, const AnyState& state) const = 0;
  virtual std::size_t zoned_parts() const = 0;
  virtual bool mixes_rows() const = 0;
  virtual bool has_sequence() const = 0;
  virtual Unrolled<AnyState> sequence(const Var& xs, const AnyState& start,
                                      const UnrollOptions& options) const = 0;
  virtual AnyState initial(const AnyState& given) const = 0;
  virtual std::unique_ptr<StreamLayer> stream(Weights format) const = 0;  // nullptr: it has none
  virtual bool reads_time() const = 0;
  virtual void visit(Visitor& v) const = 0;
  virtual const void* get(const std::type_info& type) const = 0;  // nullptr: of another type
};

// Rows of W^T + b: the projection of one-hot vectors, given as symbols.
Var project_symbols(const Linear& projection, const Tensor& symbols);
[[noreturn]] void fail_without(const char* what);

// A cell whose last column of input is the time says so: static constexpr bool reads_time = true;
template <Cell C>
inline constexpr bool kReadsTime = false;
template <Cell C>
requires(C::reads_time) inline constexpr bool kReadsTime<C> = true;
// A cell whose input is as wide as its output says so: static constexpr bool equal_sizes = true;
template <Cell C>
inline constexpr bool kEqualSizes = false;
template <Cell C>
requires(C::equal_sizes) inline constexpr bool kEqualSizes<C> = true;

template <Cell C>
class ErasedCellOf final : public ErasedCell {
 public:
  explicit ErasedCellOf(C cell) : cell_(std::move(cell)) {
    const auto sizes = cell_.state_sizes();
    sizes_.assign(sizes.begin(), sizes.end());
  }
  std::span<const std::int64_t> state_sizes() const override { return sizes_; }
  Var input(const Var& x) const override {
    if constexpr (HasInput<C>) return cell_.input(x);
    return x;
  }
  Var input(const Tensor& symbols) const override {
    if constexpr (HasSymbolInput<C>) return cell_.input(symbols);
    return project_symbols(input_projection(), symbols);
  }
  Linear input_projection() const override {
    if constexpr (HasInputProjection<C>) return cell_.input_projection();
    fail_without("input_projection()");
  }
  Recurrence recurrence() const override {
    if constexpr (HasRecurrence<C>) return cell_.recurrence();
    return {};
  }
  Recurrence recurrence(const of::Source& mask) const override {
    if constexpr (requires { cell_.recurrence(mask); }) return cell_.recurrence(mask);
    return {};
  }
  AnyState step(const Var& zx, const AnyState& state) const override {
    return AnyState(nn::step(cell_, zx, typed(state)).all());
  }
  std::size_t zoned_parts() const override { return detail::zoned_parts(cell_); }
  bool mixes_rows() const override { return detail::mixes_rows(cell_); }
  bool has_sequence() const override { return HasSequence<C>; }
  Unrolled<AnyState> sequence(const Var& xs, const AnyState& start,
                              const UnrollOptions& options) const override {
    if constexpr (HasSequence<C>) {
      auto [ys, last] = cell_.sequence(xs, typed(start), options);
      return {ys, AnyState(last.all())};
    }
    fail_without("sequence()");
  }
  AnyState initial(const AnyState& given) const override {
    if constexpr (requires { cell_.initial(typename C::State()); }) {
      return AnyState(cell_.initial(typed(given)).all());
    }
    return given;
  }
  std::unique_ptr<StreamLayer> stream(Weights format) const override {
    if constexpr (HasStreamLayer<C>) return cell_.stream_layer(format);
    return nullptr;
  }
  bool reads_time() const override { return kReadsTime<C>; }
  void visit(Visitor& v) const override { cell_.visit(v); }
  const void* get(const std::type_info& type) const override {
    return type == typeid(C) ? &cell_ : nullptr;
  }

 private:
  static typename C::State typed(const AnyState& state) {
    typename C::State result;
    for (std::size_t k = 0; k < state.all().size(); ++k) result[k] = state[k];
    return result;
  }

  C cell_;
  PoolVector<std::int64_t> sizes_;
};

}  // namespace detail

// A cell without its type, for Recurrent, Decoder, Seq2Seq and other templates over cells.
class AnyCell {
 public:
  using State = AnyState;
  using Options = CellChoice;
  AnyCell() = default;
  // Throws Error if the choice has options of a stack, which AnyRecurrent takes.
  AnyCell(const RecurrentOptions& options, Random& random, const CellChoice& choice = {});
  // Any cell, also a user's.
  template <Cell C>
  static AnyCell of(C cell) {
    AnyCell result;
    result.cell_ = std::make_shared<detail::ErasedCellOf<C>>(std::move(cell));
    return result;
  }

  std::span<const std::int64_t> state_sizes() const { return cell().state_sizes(); }
  Var input(const Var& x) const { return cell().input(x); }
  Var input(const Tensor& symbols) const { return cell().input(symbols); }
  // Throws Error if the cell has none.
  Linear input_projection() const { return cell().input_projection(); }
  Recurrence recurrence() const { return cell().recurrence(); }  // undefined if it has none
  // The same with a mask of the candidate (noise.h); undefined if it has none.
  Recurrence recurrence(const of::Source& mask) const { return cell().recurrence(mask); }
  // One step by ordinary operations: the next state.
  AnyState step(const Var& zx, const AnyState& state) const { return cell().step(zx, state); }
  std::size_t zoned_parts() const { return cell().zoned_parts(); }  // see cell.h
  bool mixes_rows() const { return cell().mixes_rows(); }           // see cell.h
  // Whether it calculates all steps at once, by sequence(): unroll.h.
  bool has_sequence() const { return cell().has_sequence(); }
  // All steps at once. Throws Error if the cell has no such form.
  Unrolled<AnyState> sequence(const Var& xs, const AnyState& start,
                              const UnrollOptions& options) const {
    return cell().sequence(xs, start, options);
  }
  // What a stack makes of a given initial state.
  AnyState initial(const AnyState& given) const { return cell().initial(given); }
  // A layer of a Stepper of its own, or nullptr.
  std::unique_ptr<StreamLayer> stream(Weights format) const { return cell().stream(format); }
  void visit(Visitor& v) const { cell().visit(v); }
  // Whether the last column of its input is the time.
  bool reads_time() const { return cell().reads_time(); }
  // The real cell; nullptr if it is of another type.
  template <Cell C>
  const C* get() const {
    return static_cast<const C*>(cell().get(typeid(C)));
  }

 private:
  const detail::ErasedCell& cell() const {
    detail::check_built(cell_ != nullptr);
    return *cell_;
  }
  std::shared_ptr<const detail::ErasedCell> cell_;
};

extern template class Recurrent<AnyCell>;

// A stack of a chosen cell: as Recurrent, with the options of the choice in place of those given.
class AnyRecurrent : public Recurrent<AnyCell> {
 public:
  AnyRecurrent() = default;
  AnyRecurrent(const RecurrentOptions& options, Random& random, const CellChoice& choice = {})
      : Recurrent<AnyCell>(choice.applied_to(options), random, choice.without_shared()),
        choice_(choice) {}
  const CellChoice& choice() const { return choice_; }  // as given

 private:
  CellChoice choice_;
};

// As for a stack with the type of its cell.
Stepper make_stepper(const AnyRecurrent& model, const Linear& head = {},
                     const StepperOptions& options = {});

}  // namespace tapeloop::nn
