// SPDX-License-Identifier: MIT
// Var: a tensor that may have a gradient. A handle: copies are the same variable. Operations on
// Vars are in ops.h. Does not record anything itself: a Tape in scope does (tape.h).
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
// A variable that is the same value of the tape as x, but has another tensor.
Var same_variable(const Var& x, const Tensor& value);
// The same as Var(Tensor::empty(...)), but faster.
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
  // --- properties of the tensor ---
  const Shape& shape() const;
  int rank() const;
  std::int64_t dim(int axis) const;
  std::int64_t numel() const;
  DType dtype() const;
  Device device() const;
  double item() const { return value().item(); }  // of a tensor with one element

  // True for a parameter, and for a value that was computed from one while a tape recorded.
  bool requires_grad() const;
  bool is_parameter() const;  // made by parameter()
  // The same value, cut off from everything it was computed from: backward stops here.
  Var detach() const;

  // --- parameters only ---
  // The gradient that Tape::backward has accumulated since zero_grad(), as in PyTorch. Undefined
  // before.
  Var grad() const;
  void set_grad(const Var& grad) const;  // replaces it
  void zero_grad() const;                // makes it undefined
  // Replaces the value by another tensor, without a copy, also in copies of this variable. The
  // element type may change (float32 to float64), the shape may not. Makes the gradient undefined.
  // For parameters, and for constants that are buffers of a module.
  void set_value(const Tensor& value) const;

  // Whether both are the same variable.
  bool is(const Var& other) const { return body_ == other.body_; }
  // For the tape.
  detail::VarBody* body() const { return body_; }

 private:
  friend Var parameter(const Tensor& value);
  friend Var detail::same_variable(const Var& x, const Tensor& value);
  friend Var detail::empty_variable(const Shape& shape, DType dtype, Device device);
  explicit Var(detail::VarBody* body) : body_(body) {}
  detail::VarBody* body_ = nullptr;
};

// A leaf with a gradient, such as a weight. Does not copy the value.
Var parameter(const Tensor& value);

// x.detach(), for use in formulas.
inline Var stop(const Var& x) { return x.detach(); }

namespace detail {

// With create_graph: the slot of a value that was computed only from upstream gradients. The value
// has a history, but depends on no leaf.
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

// Inline, because code copies and reads handles everywhere.
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
