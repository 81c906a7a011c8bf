// SPDX-License-Identifier: MIT
// Tensor: a strided view of shared, reference-counted memory. A handle: copies see the same
// elements. Row-major, rightmost axis fastest. Has no arithmetic and no gradients: see ops.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tapeloop/autograd/tensor/shape.h"

namespace tapeloop {

class Tensor;
namespace memory {
struct Account;
}

namespace detail {

// Releases one reference. True if it was the last one. The last owner needs no locked instruction,
// because nobody else can copy the reference.
inline bool let_go(std::atomic<std::int32_t>& references) {
  return references.load(std::memory_order_acquire) == 1 ||
         references.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

// Data that CPU kernels made from a tensor's elements, such as packed weights: the head of a list.
struct Kept {
  virtual void release_list() noexcept = 0;

 protected:
  ~Kept() = default;
};
struct WriteLog;  // the last write of each part of a memory (writes.cpp)

inline constexpr std::size_t kHeaderBytes = 64;  // keeps the elements aligned to 64

struct Storage {  // the header of a block; on the CPU the elements follow it, after kHeaderBytes
  std::atomic<std::int32_t> references;
  Device device;
  std::atomic<bool> exposed{false};  // the program has a pointer and can write at any time
  std::atomic<bool> locked{false};   // a lock of writes.cpp
  std::size_t bytes;
  std::atomic<std::uint64_t> writes{0};  // kOneWrite for each counted write, plus two flags
  Kept* kept = nullptr;                  // guarded by packed_weight.cpp
  std::uint64_t meter = 0;               // the id of the TensorMeter that counts it, or 0
  WriteLog* log = nullptr;               // guarded by writes.cpp
  memory::Account* account = nullptr;    // of the thread that took the block
};
static_assert(sizeof(Storage) <= kHeaderBytes);
Storage* new_storage(std::size_t bytes, Device device);
void delete_storage(Storage* storage) noexcept;
void drop(Storage* storage) noexcept;  // releases one reference; null is allowed
Storage* storage_of(const Tensor& tensor);

// Flags of Storage::writes. They are in the word of the count, so that a thread that makes a stamp
// and a thread that takes a pointer always see each other.
inline constexpr std::uint64_t kExposed = 1;  // the program has a pointer, or is about to get one
inline constexpr std::uint64_t kSaved = 4;    // a Stamp was made: note_write() counts the writes
inline constexpr std::uint64_t kOneWrite = 1024;

inline std::uint64_t count_of_writes(const Storage& storage) {
  return storage.writes.load(std::memory_order_acquire) / kOneWrite;
}
// Counts a write. Returns false and counts nothing if a Stamp was made.
inline bool count_write(Storage& storage) {
  std::uint64_t seen = storage.writes.load(std::memory_order_relaxed);
  while ((seen & kSaved) == 0) {
    if (storage.writes.compare_exchange_weak(seen, seen + kOneWrite, std::memory_order_release,
                                             std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}
// Counts and logs a write to memory that has a Stamp. Cost: a lock of this memory; for a write to a
// part, up to 4 bytes stored for each element.
void note_write(const Tensor& tensor);
[[noreturn]] void undefined_written();
// Call this before a program gets the first pointer to the elements.
void expose(Storage& storage);
void delete_log(WriteLog* log) noexcept;
// The first and the last byte that a tensor with elements can touch.
struct Extent {
  const char *first, *last;
};
Extent extent_of(const Tensor& tensor);
}  // namespace detail

class Tensor {
 public:
  Tensor() = default;  // undefined: has no memory; views, copies and access to elements throw
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor();

  // --- making tensors ---
  static Tensor empty(const Shape& shape, DType dtype = DType::float32,
                      Device device = Device::cpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::float32,
                      Device device = Device::cpu);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::float32,
                     Device device = Device::cpu);
  // Copies the values; their count must be shape.numel().
  template <class T>
  static Tensor from(const Shape& shape, std::span<const T> values);
  template <class T>
  static Tensor from(const Shape& shape, std::initializer_list<T> values) {
    return from(shape, std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from(shape, std::span<const T>(values));
  }

  // --- properties ---
  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  std::int64_t dim(int axis) const { return shape_.dim(axis); }
  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  Device device() const { return defined() ? storage_->device : Device::cpu; }
  bool on_host() const { return device() == Device::cpu; }  // the host can read the elements
  std::int64_t stride(int axis) const {  // in elements; throws if there is no such axis
    if (static_cast<unsigned>(axis) >= static_cast<unsigned>(rank())) axis = shape_.axis(axis);
    return strides_[static_cast<std::size_t>(axis)];
  }
  bool is_contiguous() const;
  bool shares_memory_with_others() const;  // another handle sees the same memory
  std::string describe() const;            // "float32[2, 3]"

  // The first element. Throws if T is not the element type or the tensor is not on the CPU. The
  // caller of data() can write at any time. So each product with this memory packs it again, and an
  // operation that saves the tensor for its gradient reads it once more at recording and in the
  // backward pass, to find such a write. If a tape saved the memory before, the first call copies
  // it. The copy stays until the memory is freed or written as a whole. read() has no such cost.
  template <class T>
  T* data() const;
  template <class T>
  const T* read() const;
  // For kernels. Call mark_written() before you write through it.
  void* raw() const { return data_; }
  // Counts a write to this tensor's elements, which makes packed weights out of date, and gradients
  // that need the old elements. Throws if the tensor is undefined.
  void mark_written() const {
    if (storage_ == nullptr) detail::undefined_written();
    if (!detail::count_write(*storage_)) detail::note_write(*this);
  }
  double at(std::initializer_list<std::int64_t> index) const;  // one element, of any type
  double item() const;                                         // the only element
  template <class T>
  std::vector<T> to_vector() const;  // all elements, row-major, converted

  // --- views: no copy; the same memory seen differently ---
  Tensor transpose(int axis_a, int axis_b) const;
  Tensor permute(std::span<const int> axes) const;
  Tensor slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step = 1) const;
  Tensor select(int axis, std::int64_t index) const;  // the axis disappears
  Tensor insert_axis(int axis) const;                 // a new axis of size 1
  Tensor expand(const Shape& shape) const;            // sizes 1 stretched with stride 0
  Tensor flip(int axis) const;
  // The same elements in another shape. A view where strides allow, else a copy.
  Tensor reshape(const Shape& shape) const;

  // --- copies ---
  Tensor contiguous() const;  // itself if it is contiguous already
  Tensor clone() const;
  // To int64: rounds towards 0. Throws, and names the element, if one is NaN, infinite or outside
  // of int64. The same holds for to_vector<std::int64_t>(), copy_from() and fill(). A conversion on
  // a GPU throws when the host next waits for the GPU.
  Tensor to(DType dtype) const;
  // Itself if it is on `device` already. To the CPU: waits for the GPU.
  Tensor to(Device device) const;
  Tensor cpu() const { return to(Device::cpu); }  // to(Device::cpu)
  // Copies and converts the elements, from any device. Throws if the shapes differ.
  void copy_from(const Tensor& source) const;
  void fill(double value) const;  // sets all elements

 private:
  friend class TensorBuilder;
  friend detail::Storage* detail::storage_of(const Tensor& tensor);
  detail::Storage* storage_ = nullptr;
  char* data_ = nullptr;
  Shape shape_;
  std::array<std::int64_t, kMaxRank> strides_{};
  DType dtype_ = DType::float32;
};

inline detail::Storage* detail::storage_of(const Tensor& tensor) { return tensor.storage_; }

// "float32[2, 3] {1, 2, ...}": type, shape and the first values.
std::string to_string(const Tensor& tensor);

}  // namespace tapeloop
