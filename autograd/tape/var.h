// SPDX-License-Identifier: MIT
// Var: a tensor that may have a gradient. A handle: copies are the same variable. Operations on Vars are in ops.h.
// Does not record anything itself: a Tape in scope does (tape.h).
// Threads: any thread may share, hand over and release a Var. Several threads may read it while
// none writes its tensor. grad(), zero_grad(), set_grad() and the additions of backward() lock the
// gradient: each is done completely before the next one.
#pragma once

#include <atomic>
#include <cstdint>

#include "tapeloop/autograd/tensor/tensor.h"

namespace tapeloop {

class Var;

namespace detail {
struct VarBody;
void delete_body(VarBody* body) noexcept;
[[noreturn]] void undefined_variable();
// What x is to its tape, with another tensor as its value.
Var same_variable(const Var& x, const Tensor& value);
// Var(Tensor::empty(...)), quicker.
Var empty_variable(const Shape& shape, DType dtype, Device device);
}  // namespace detail

class Var {
 public:
  Var() = default;           // undefined
  Var(const Tensor& value);  // a constant: no gradient
  Var(Tensor&& value);
  Var(const Var& other);
  Var(Var&& other) noexcept : body_(std::exchange(other.body_, nullptr)) {}
  Var& operator=(const Var& other);
  Var& operator=(Var&& other) noexcept {
    std::swap(body_, other.body_);
    return *this;
  }
  ~Var();

  bool defined() const { return body_ != nullptr; }
  const Tensor& value() const;  // throws when undefined
  const Shape& shape() const;
  int rank() const;
  std::int64_t dim(int axis) const;
  std::int64_t numel() const;
  DType dtype() const;
  Device device() const;
  double item() const { return value().item(); }

  // True for a parameter, and for what was computed from one while a tape recorded.
  bool requires_grad() const;
  bool is_parameter() const;
  // The same value, cut off from everything it was computed from: backward stops here.
  Var detach() const;

  // --- parameters only ---
  // The gradient added up by Tape::backward since zero_grad(); undefined before. As in PyTorch, it accumulates.
  Var grad() const;
  void set_grad(const Var& grad) const;
  void zero_grad() const;
  // Puts another tensor in the value's place: as it is, not copied, perhaps of another type (float32 to float64). The
  // shape must stay; the gradient is forgotten.
  void set_value(const Tensor& value) const;

  bool is(const Var& other) const { return body_ == other.body_; }
  detail::VarBody* body() const { return body_; }

 private:
  friend Var parameter(const Tensor& value);
  friend Var detail::same_variable(const Var& x, const Tensor& value);
  friend Var detail::empty_variable(const Shape& shape, DType dtype, Device device);
  explicit Var(detail::VarBody* body) : body_(body) {}
  detail::VarBody* body_ = nullptr;
};

// A leaf whose gradient is wanted: weights. The value is used as it is, not copied.
Var parameter(const Tensor& value);

// x.detach(), as a word in a formula.
inline Var stop(const Var& x) { return x.detach(); }

namespace detail {

// The slot of a value that was computed from the upstream gradient alone, while create_graph is on: it has a history, but
// depends on nothing that a gradient is wanted of.
inline constexpr std::uint32_t kUpstream = 0xffffffff;

struct VarBody {
  std::atomic<std::int32_t> references{1};
  bool is_parameter = false;
  std::atomic<bool> grad_in_use{false};  // a thread holds GradLock
  std::uint32_t slot = 0;                // which value of the tape this is; or kUpstream
  std::uint64_t tape_id = 0;             // the tape that recorded it; 0: none
  Tensor value;
  Var grad;
  memory::Account* account = nullptr;  // of the thread that took this body
};

// One thread at a time reads or changes the gradient of a parameter.
class GradLock {
 public:
  explicit GradLock(VarBody& body) : body_(body) {
    if (body.grad_in_use.exchange(true, std::memory_order_acquire)) wait();
  }
  ~GradLock() { body_.grad_in_use.store(false, std::memory_order_release); }
  GradLock(const GradLock&) = delete;
  GradLock& operator=(const GradLock&) = delete;

 private:
  void wait() const;
  VarBody& body_;
};

}  // namespace detail

// Handles are copied and asked everywhere: no calls.
inline Var::Var(const Var& other) : body_(other.body_) {
  if (body_ != nullptr) body_->references.fetch_add(1, std::memory_order_relaxed);
}
inline Var::~Var() {
  if (body_ != nullptr && detail::let_go(body_->references)) detail::delete_body(body_);
}
inline const Tensor& Var::value() const {
  if (body_ == nullptr) detail::undefined_variable();
  return body_->value;
}
inline bool Var::requires_grad() const {
  return body_ != nullptr && (body_->is_parameter || body_->tape_id != 0);
}
inline bool Var::is_parameter() const { return body_ != nullptr && body_->is_parameter; }
inline const Shape& Var::shape() const { return value().shape(); }
inline int Var::rank() const { return value().rank(); }
inline std::int64_t Var::dim(int axis) const { return value().dim(axis); }
inline std::int64_t Var::numel() const { return value().numel(); }
inline DType Var::dtype() const { return value().dtype(); }
inline Device Var::device() const { return value().device(); }
}  // namespace tapeloop
