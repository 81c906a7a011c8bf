// SPDX-License-Identifier: MIT
// Tensors: construction, views and copies. The device copies and fills elements (device_memory.h).
#include "tapeloop/autograd/tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/tensor_meter.h"

namespace tapeloop {

namespace detail {

static Storage* allocate_storage(std::size_t bytes, Device device) {
  if (device != Device::cpu) return device_memory(device).allocate(bytes);
  memory::Account* account = nullptr;
  auto* const storage = new (memory::allocate(kHeaderBytes + bytes, account))
      Storage{.references{1}, .device = device, .bytes = bytes};
  storage->account = account;
  return storage;
}

Storage* new_storage(std::size_t bytes, Device device) {
  Storage* storage = allocate_storage(bytes, device);
  if (TensorMeter* meter = TensorMeter::current(); meter != nullptr) {
    storage->meter = meter->id();
    meter->made(kHeaderBytes + bytes);
  }
  return storage;
}

void delete_storage(Storage* storage) noexcept {
  if (storage->meter != 0) {
    TensorMeter* meter = TensorMeter::current();
    if (meter != nullptr && meter->id() == storage->meter) {
      meter->freed(kHeaderBytes + storage->bytes);
    }
  }
  if (storage->log != nullptr) delete_log(std::exchange(storage->log, nullptr));
  if (storage->device != Device::cpu) return device_memory(storage->device).release(storage);
  if (storage->kept != nullptr) storage->kept->release_list();
  memory::release(storage, kHeaderBytes + storage->bytes, storage->account);
}

static void acquire(Storage* storage) {
  if (storage != nullptr) storage->references.fetch_add(1, std::memory_order_relaxed);
}

void drop(Storage* storage) noexcept {
  if (storage != nullptr && let_go(storage->references)) delete_storage(storage);
}

}  // namespace detail

Tensor::Tensor(const Tensor& other)
    : storage_(other.storage_),
      data_(other.data_),
      shape_(other.shape_),
      strides_(other.strides_),
      dtype_(other.dtype_) {
  detail::acquire(storage_);
}

Tensor::Tensor(Tensor&& other) noexcept
    : storage_(std::exchange(other.storage_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      shape_(std::exchange(other.shape_, Shape{})),
      strides_(other.strides_),
      dtype_(other.dtype_) {}

Tensor& Tensor::operator=(const Tensor& other) {
  Tensor copy(other);
  return *this = std::move(copy);
}

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(storage_, other.storage_);
  std::swap(data_, other.data_);
  std::swap(shape_, other.shape_);
  std::swap(strides_, other.strides_);
  std::swap(dtype_, other.dtype_);
  return *this;
}

Tensor::~Tensor() { detail::drop(storage_); }

// Builds tensors. A view differs from its source only in shape, strides and first element.
class TensorBuilder {
 public:
  static Tensor fresh(const Shape& shape, DType dtype, Device device) {
    // Checks the product of the sizes, because operations make shapes without this check
    // (broadcasting, concat).
    std::int64_t bytes = size_of(dtype);
    bool fits = true, empty = false;
    for (std::int64_t size : shape) {
      fits &= !__builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes);
      empty |= size == 0;
    }
    if (!fits || bytes > std::numeric_limits<std::int64_t>::max() / 2) {
      fail("tensor", fmt::format("{} elements of {} are more than memory can hold; check the sizes",
                                 shape.str(), name(dtype)));
    }
    if (empty) bytes = 0;
    Tensor result;
    result.storage_ = detail::new_storage(static_cast<std::size_t>(bytes), device);
    result.data_ = device == Device::cpu
                       ? reinterpret_cast<char*>(result.storage_) + detail::kHeaderBytes
                       : static_cast<char*>(device_memory(device).address(result.storage_));
    result.dtype_ = dtype;
    set_row_major(result, shape);
    return result;
  }
  static Tensor view(const Tensor& source) { return source; }
  static void set_row_major(Tensor& tensor, const Shape& shape) {
    tensor.shape_ = shape;
    std::int64_t stride = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      tensor.strides_[static_cast<std::size_t>(i)] = stride;
      stride *= shape[i];
    }
  }
  static Shape& shape(Tensor& tensor) { return tensor.shape_; }
  static std::int64_t& stride(Tensor& tensor, int axis) {
    return tensor.strides_[static_cast<std::size_t>(axis)];
  }
  static void advance(Tensor& tensor, std::int64_t elements) {
    tensor.data_ += elements * size_of(tensor.dtype_);
  }
};

using Build = TensorBuilder;

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  return Build::fresh(shape, dtype, device);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  return full(shape, 0, dtype, device);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor result = empty(shape, dtype, device);
  result.fill(value);
  return result;
}

template <class T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values) {
  if (static_cast<std::int64_t>(values.size()) != shape.numel()) {
    fail("tensor", fmt::format("{} values were given for shape {}, which holds {}", values.size(),
                               shape.str(), shape.numel()));
  }
  Tensor result = empty(shape, kDType<T>);
  std::copy(values.begin(), values.end(), static_cast<T*>(result.raw()));
  return result;
}
template Tensor Tensor::from(const Shape&, std::span<const float>);
template Tensor Tensor::from(const Shape&, std::span<const double>);
template Tensor Tensor::from(const Shape&, std::span<const std::int64_t>);

bool Tensor::is_contiguous() const {
  std::int64_t stride = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && this->stride(i) != stride) return numel() == 0;
    stride *= shape_[i];
  }
  return true;
}

bool Tensor::shares_memory_with_others() const {
  return defined() && storage_->references.load(std::memory_order_acquire) > 1;
}

std::string Tensor::describe() const {
  return defined() ? name(dtype_) + shape_.str() : std::string("an undefined tensor");
}

template <class T>
T* Tensor::data() const {
  const T* first = read<T>();
  if (!storage_->exposed.load(std::memory_order_acquire)) detail::expose(*storage_);
  return const_cast<T*>(first);
}
template <class T>
const T* Tensor::read() const {
  if (!defined()) fail("tensor", "data() of an undefined tensor; assign one first");
  if (kDType<T> != dtype_) {
    fail("tensor", fmt::format("data<{}>() of {}; ask for its own type, or convert by to({})",
                               name(kDType<T>), describe(), name(kDType<T>)));
  }
  if (device() != Device::cpu)
    fail("tensor", "data() of a cuda tensor; copy it first, by to(Device::cpu)");
  return reinterpret_cast<const T*>(data_);
}
template const float* Tensor::read() const;
template const double* Tensor::read() const;
template const std::int64_t* Tensor::read() const;
template float* Tensor::data() const;
template double* Tensor::data() const;
template std::int64_t* Tensor::data() const;

double Tensor::at(std::initializer_list<std::int64_t> index) const {
  if (static_cast<int>(index.size()) != rank()) {
    fail("tensor", fmt::format("{} indices were given for {}, which has {} axes", index.size(),
                               describe(), rank()));
  }
  Tensor element = *this;
  for (std::int64_t i : index) element = element.select(0, i);
  return element.item();
}

double Tensor::item() const {
  if (!defined() || numel() != 1) {
    fail("item",
         describe() +
             " does not hold exactly one element; select one, or reduce it first, e.g. mean(x)");
  }
  if (device() != Device::cpu) return to(Device::cpu).item();
  switch (dtype_) {
    case DType::float32: return static_cast<double>(*read<float>());
    case DType::float64: return *read<double>();
    default: return static_cast<double>(*read<std::int64_t>());
  }
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  if (!defined()) fail("tensor", "to_vector() of an undefined tensor; assign one first");
  Tensor flat = to(Device::cpu).to(kDType<T>).contiguous();
  return {flat.read<T>(), flat.read<T>() + flat.numel()};
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<std::int64_t> Tensor::to_vector() const;

static void check_defined(const char* name, const Tensor& tensor) {
  if (!tensor.defined()) fail(name, "of an undefined tensor; assign one first");
}

Tensor Tensor::transpose(int axis_a, int axis_b) const {
  check_defined("transpose", *this);
  int a = shape_.axis(axis_a);
  int b = shape_.axis(axis_b);
  Tensor result = *this;
  std::swap(Build::shape(result)[a], Build::shape(result)[b]);
  std::swap(Build::stride(result, a), Build::stride(result, b));
  return result;
}

Tensor Tensor::permute(std::span<const int> axes) const {
  check_defined("permute", *this);
  std::array<bool, kMaxRank> seen{};
  Tensor result = *this;
  bool valid = static_cast<int>(axes.size()) == rank();
  for (int i = 0; valid && i < rank(); ++i) {
    int from = shape_.axis(axes[static_cast<std::size_t>(i)]);
    valid = !std::exchange(seen[static_cast<std::size_t>(from)], true);
    Build::shape(result)[i] = shape_[from];
    Build::stride(result, i) = stride(from);
  }
  if (!valid) {
    fail("permute", fmt::format("[{}] does not name each axis of {} once", fmt::join(axes, ", "),
                                shape_.str()));
  }
  return result;
}

Tensor Tensor::slice(int axis, std::int64_t start, std::int64_t stop, std::int64_t step) const {
  check_defined("slice", *this);
  int a = shape_.axis(axis);
  std::int64_t size = shape_[a];
  if (step < 1 || start < 0 || stop < start || stop > size) {
    fail("slice",
         fmt::format("[{}:{}:{}] of axis {} of {}: need 0 <= start <= stop <= {} and step >= 1",
                     start, stop, step, a, shape_.str(), size));
  }
  Tensor result = *this;
  // A longer step takes only the first element, as a step of the axis' size does.
  step = std::min(step, std::max<std::int64_t>(size, 1));
  Build::advance(result, start * stride(a));
  Build::shape(result)[a] = (stop - start + step - 1) / step;
  Build::stride(result, a) *= step;
  return result;
}

Tensor Tensor::select(int axis, std::int64_t index) const {
  check_defined("select", *this);
  int a = shape_.axis(axis);
  std::int64_t i = index < 0 ? index + shape_[a] : index;
  if (i < 0 || i >= shape_[a]) {
    fail("select", fmt::format("index {} is outside axis {} of {}", index, a, shape_.str()));
  }
  Tensor result = *this;
  Build::advance(result, i * stride(a));
  Build::shape(result) = shape_.removed(a);
  for (int k = a; k + 1 < rank(); ++k) Build::stride(result, k) = stride(k + 1);
  return result;
}

Tensor Tensor::insert_axis(int axis) const {
  check_defined("insert_axis", *this);
  Tensor result = *this;
  Build::shape(result) = shape_.inserted(axis, 1);
  int a = axis < 0 ? axis + rank() + 1 : axis;
  for (int k = rank(); k > a; --k) Build::stride(result, k) = stride(k - 1);
  Build::stride(result, a) = 1;
  return result;
}

Tensor Tensor::expand(const Shape& shape) const {
  check_defined("expand", *this);
  int added = shape.rank() - rank();
  bool valid = added >= 0;
  Tensor result = *this;
  Build::shape(result) = shape;
  for (int i = shape.rank() - 1; valid && i >= 0; --i) {
    bool stretched = i < added || shape_[i - added] == 1;
    valid = stretched || shape_[i - added] == shape[i];
    Build::stride(result, i) = stretched ? 0 : stride(i - added);
  }
  if (!valid) {
    fail("expand", fmt::format("{} cannot be stretched to {}: only axes of size 1 stretch, and new "
                               "axes come at the front",
                               shape_.str(), shape.str()));
  }
  return result;
}

Tensor Tensor::flip(int axis) const {
  check_defined("flip", *this);
  int a = shape_.axis(axis);
  Tensor result = *this;
  if (numel() == 0) return result;
  Build::advance(result, (shape_[a] - 1) * stride(a));
  Build::stride(result, a) = -stride(a);
  return result;
}

// Sets the strides for `shape` over the same elements. A run of old axes that is laid out like one
// axis can be divided into other axes; returns false if `shape` needs more than that.
static bool view_strides(const Tensor& tensor, const Shape& shape, Tensor& result) {
  int old_axis = 0;
  int new_axis = 0;
  const Shape& old = tensor.shape();
  while (old_axis < old.rank() || new_axis < shape.rank()) {
    int old_end = old_axis;
    int new_end = new_axis;
    std::int64_t old_count = old_end < old.rank() ? old[old_end++] : 1;
    std::int64_t new_count = new_end < shape.rank() ? shape[new_end++] : 1;
    while (old_count != new_count) {
      if (old_count < new_count) {
        old_count *= old[old_end++];
      } else {
        new_count *= shape[new_end++];
      }
    }
    // Within old axes [old_axis, old_end) the layout must be that of one axis.
    std::int64_t innermost = 1;
    std::int64_t expected = 0;
    bool first = true;
    for (int i = old_end - 1; i >= old_axis; --i) {
      if (old[i] == 1) continue;
      if (std::exchange(first, false)) {
        innermost = tensor.stride(i);
      } else if (tensor.stride(i) != expected) {
        return false;
      }
      expected = tensor.stride(i) * old[i];
    }
    for (int i = new_end - 1; i >= new_axis; --i) {
      Build::stride(result, i) = innermost;
      innermost *= shape[i];
    }
    old_axis = old_end;
    new_axis = new_end;
  }
  return true;
}

Tensor Tensor::reshape(const Shape& wanted) const {
  check_defined("reshape", *this);
  Shape shape = wanted;
  if (shape.numel() != numel()) {
    fail("reshape", fmt::format("{} has {} elements, {} has {}", shape_.str(), numel(), shape.str(),
                                shape.numel()));
  }
  Tensor result = *this;
  Build::shape(result) = shape;
  if (numel() == 0) {
    Build::set_row_major(result, shape);
    return result;
  }
  if (view_strides(*this, shape, result)) return result;
  result = clone();
  Build::set_row_major(result, shape);
  return result;
}

Tensor Tensor::contiguous() const {
  check_defined("contiguous", *this);
  return is_contiguous() ? *this : clone();
}

Tensor Tensor::clone() const {
  check_defined("clone", *this);
  Tensor result = empty(shape_, dtype_, device());
  result.copy_from(*this);
  return result;
}

Tensor Tensor::to(DType dtype) const {
  check_defined("to", *this);
  if (dtype == dtype_) return *this;
  Tensor result = empty(shape_, dtype, device());
  result.copy_from(*this);
  return result;
}

Tensor Tensor::to(Device device) const {
  check_defined("to", *this);
  if (device == this->device()) return *this;
  Tensor result = empty(shape_, dtype_, device);
  result.copy_from(*this);
  return result;
}

void Tensor::copy_from(const Tensor& source) const {
  if (!defined() || !source.defined() || shape_ != source.shape_) {
    fail("copy", fmt::format("from {} to {}; shapes must be equal", source.describe(), describe()));
  }
  mark_written();
  if (storage_ == source.storage_ && numel() > 0) {
    // Views of one memory: no element may be overwritten before it is read.
    const detail::Extent to = detail::extent_of(*this), from = detail::extent_of(source);
    if (from.first <= to.last && to.first <= from.last) {
      return device_memory(device()).copy(*this, source.clone());
    }
  }
  // Of two devices, the one that is not the CPU knows how to reach the other's memory.
  device_memory(device() == Device::cpu ? source.device() : device()).copy(*this, source);
}

void Tensor::fill(double value) const {
  check_defined("fill", *this);
  if (dtype_ == DType::int64 && !(value >= -0x1p63 && value < 0x1p63)) {
    fail("fill", fmt::format("{} is a number that no int64 can hold; {} was not changed", value,
                             describe()));
  }
  mark_written();
  device_memory(device()).fill(*this, value);
}

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return tensor.describe();
  constexpr std::size_t kShown = 24;
  std::vector<double> values = tensor.to_vector<double>();
  bool cut = values.size() > kShown;
  if (cut) values.resize(kShown);
  return fmt::format("{} {{{:.6g}{}}}", tensor.describe(), fmt::join(values, ", "),
                     cut ? ", ..." : "");
}

}  // namespace tapeloop
