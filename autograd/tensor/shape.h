// SPDX-License-Identifier: MIT
// Shape: the sizes of a tensor's axes, and the rule of broadcasting. Also element types and
// devices. Knows nothing of memory. Axes count from 0; a negative axis counts from the end.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tapeloop {

// The type of a tensor's elements.
enum class DType : std::uint8_t { float32, float64, int64 };
// Where a tensor's memory is.
enum class Device : std::uint8_t { cpu, cuda };

// "float32", "cuda".
const char* name(DType dtype);
const char* name(Device device);
// Bytes per element.
inline std::int64_t size_of(DType dtype) { return dtype == DType::float32 ? 4 : 8; }

// The DType of a C++ type: float, double, else int64.
template <class T>
inline constexpr DType kDType = DType::int64;
template <>
inline constexpr DType kDType<float> = DType::float32;  // see kDType
template <>
inline constexpr DType kDType<double> = DType::float64;  // see kDType

// Calls work(T{}), where T is the element type, float or double.
template <class Work>
auto with_float_type(DType dtype, Work work) {
  return dtype == DType::float32 ? work(float{}) : work(double{});
}
// The same for any element type.
template <class Work>
void with_any_type(DType dtype, Work work) {
  if (dtype == DType::int64) {
    work(std::int64_t{});
  } else {
    with_float_type(dtype, work);
  }
}

inline constexpr int kMaxRank = 6;  // the most axes of a tensor

class Shape {
 public:
  constexpr Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<std::int64_t> sizes);
  explicit Shape(std::span<const std::int64_t> sizes);

  int rank() const { return rank_; }  // number of axes
  // Number of elements: the product of the sizes.
  std::int64_t numel() const {
    std::int64_t total = 1;
    for (int i = 0; i < rank_; ++i) total *= (*this)[i];
    return total;
  }
  // The size of an axis, from 0 to rank() - 1; dim() also takes a negative axis.
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return sizes_[static_cast<std::size_t>(axis)]; }
  std::int64_t dim(int axis) const { return sizes_[static_cast<std::size_t>(this->axis(axis))]; }
  // The axis counted from 0. Throws Error, which names the shape, if there is no such axis.
  int axis(int axis) const;

  Shape with(int axis, std::int64_t size) const;      // one size replaced
  Shape inserted(int axis, std::int64_t size) const;  // one axis more, at this place
  Shape removed(int axis) const;                      // one axis less

  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + rank_; }
  // Whether all sizes are the same.
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i) {
      if ((*this)[i] != other[i]) return false;
    }
    return true;
  }
  std::string str() const;  // "[2, 3]"

 private:
  std::array<std::int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

// The common shape of two operands: aligned at the last axis, sizes equal or 1 (numpy's rule).
// Throws Error("operation: cannot broadcast [..] with [..] ...").
Shape broadcast(const char* operation, const Shape& a, const Shape& b);

}  // namespace tapeloop
