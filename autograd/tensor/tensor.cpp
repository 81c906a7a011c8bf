// SPDX-License-Identifier: MIT
// Tensors: construction and copies. Views are in views.cpp. The device copies and fills elements
// (device_memory.h).
#include "tapeloop/autograd/tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "tapeloop/autograd/tensor/device_memory.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/autograd/tensor/tensor_builder.h"
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
  if (!defined()) fail("tensor", "data() was called on an undefined tensor; assign one first");
  if (kDType<T> != dtype_) {
    fail("tensor", fmt::format("data<{0}>() was called on {1}; call data() with the type of its "
                               "elements, or convert it by to(DType::{0})",
                               name(kDType<T>), describe()));
  }
  if (device() != Device::cpu)
    fail("tensor", "data() was called on a cuda tensor; copy it by to(Device::cpu) first");
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
  if (!defined()) fail("tensor", "to_vector() was called on an undefined tensor; assign one first");
  Tensor flat = to(Device::cpu).to(kDType<T>).contiguous();
  return {flat.read<T>(), flat.read<T>() + flat.numel()};
}
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<std::int64_t> Tensor::to_vector() const;

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
    fail("copy_from", fmt::format("the source is {}, this tensor is {}; shapes must be equal",
                                  source.describe(), describe()));
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
    fail("fill", fmt::format("{} does not fit in int64; {} was not changed", value, describe()));
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
