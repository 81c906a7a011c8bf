// SPDX-License-Identifier: MIT
// Saved<Var>, Saved<Tensor>: a value that a backward function will read, with a stamp that shows
// whether somebody has written the value since. Does not know the tape: an operation keeps its
// Saved values in its backward function.
#pragma once

#include "tapeloop/autograd/tape/var.h"
#include "tapeloop/autograd/tensor/writes.h"

namespace tapeloop {

// The role of a saved value in its operation, for error messages: the number of an argument, from
// 0, or one of these.
enum SavedAs : int { kSavedIndex = 253, kSavedResult = 254, kSavedValue = 255 };

namespace detail {
inline const Tensor& tensor_of(const Tensor& x) { return x; }
inline const Tensor& tensor_of(const Var& x) { return x.value(); }
// The tape itself checks parameters, once in each pass.
inline Stamp::Pointers pointers_to(const Tensor&) { return Stamp::Pointers::checksum; }
inline Stamp::Pointers pointers_to(const Var& x) {
  return x.is_parameter() ? Stamp::Pointers::ignore : Stamp::Pointers::checksum;
}
[[noreturn]] void saved_value_was_written(const Tensor& tensor, unsigned saved_as);
}  // namespace detail

// A backward function keeps a value that its gradient reads as Saved, and uses it like the value:
//   record("scale", {&a, &b}, ..., [a = keep_if(b, a, 0), b = keep_if(a, b, 1)](const Var& dy,
//                                                                               Grads& grads) {
//     grads.add(0, [&] { return dy * b; });   // throws if b was written since the forward pass
//     grads.add(1, [&] { return dy * a; });
//   });
// Use of a written value throws Error "backward: argument 1 of "scale", float32[3], was written
// after the operation saved it; ...". A write counts if it changes the value's own elements: by an
// operation, fill, copy_from or a pointer of data(). If the program has such a pointer, a checksum
// of the elements finds the write: one pass over the elements at recording and one at each use.
// Else a use costs one comparison. Do not save a value that the gradient does not read.
template <class T>
class Saved {
 public:
  Saved() = default;
  // `saved_as`: which argument of the operation it is, for messages.
  explicit Saved(const T& value, int saved_as = kSavedValue)
      : Saved(value, saved_as, detail::pointers_to(value)) {}
  Saved(const T& value, int saved_as, detail::Stamp::Pointers pointers) : value_(value) {
    if (value_.defined()) {
      stamp_ = detail::Stamp(detail::tensor_of(value_), static_cast<unsigned>(saved_as), pointers);
    }
  }

  bool defined() const { return value_.defined(); }
  // --- properties of the value; they need no check ---
  const Shape& shape() const { return value_.shape(); }
  DType dtype() const { return value_.dtype(); }
  Device device() const { return value_.device(); }
  // True if the value may be used.
  bool unchanged() const { return !value_.defined() || stamp_.holds(detail::tensor_of(value_)); }
  // The value. Throws if it was written since.
  const T& get() const {
    if (!unchanged()) {
      detail::saved_value_was_written(detail::tensor_of(value_), stamp_.label());
    }
    return value_;
  }
  operator const T&() const { return get(); }  // get()
  // The value without a check, for uses that do not depend on its elements.
  const T& unchecked() const { return value_; }

 private:
  T value_;
  detail::Stamp stamp_;
};

// Saves `x` if its value is needed to differentiate by `other`, else nothing: saved values are the
// memory cost of an operation. `argument` is the number of x among the operation's arguments.
inline Saved<Var> keep_if(const Var& other, const Var& x, int argument = kSavedValue) {
  return other.requires_grad() ? Saved<Var>(x, argument) : Saved<Var>();
}

}  // namespace tapeloop
