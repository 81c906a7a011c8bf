// SPDX-License-Identifier: MIT
// The table of pointwise kernels by functor. A page of the library is registered when a functor of
// the page is first looked up.
#include "tapeloop/autograd/device/cuda/registry.h"

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

template <class Entry>
struct Registry {
  std::mutex mutex;
  std::unordered_map<const FunctorId*, Entry> entries;

  void add(const FunctorId* id, const Entry& entry) {
    const std::scoped_lock lock(mutex);
    entries[id] = entry;
  }
  const Entry* find(const FunctorId* id) {
    const std::scoped_lock lock(mutex);
    const auto found = entries.find(id);
    return found == entries.end() ? nullptr : &found->second;  // pointers to entries stay valid
  }
};
template <class Entry>
Registry<Entry>& registry() {
  static Registry<Entry>& kRegistry = *new Registry<Entry>;
  return kRegistry;
}

// Looks up the entry. If the functor is on one of the library's pages, registers the page first.
template <class Entry>
const Entry* find(const PointwiseKernel& kernel) {
  const Entry* entry = registry<Entry>().find(kernel.id);
  if (entry == nullptr && kernel.id->register_cuda != nullptr) {
    kernel.id->register_cuda();
    entry = registry<Entry>().find(kernel.id);
  }
  return entry;
}

// "MyGate" from the compiler's text "constexpr const char* type_text() [with F = MyGate]".
std::string type_name(const FunctorId& id) {
  std::string_view text = id.type;
  const std::size_t start = text.find("F = ");
  if (start == std::string_view::npos) return "F";
  text.remove_prefix(start + 4);
  return std::string(text.substr(0, text.find_last_of(']')));
}

[[noreturn]] void fail_missing(const PointwiseKernel& kernel) {
  const std::string operation = std::string("pointwise \"") + kernel.name + "\"";
  const std::string type = type_name(*kernel.id);
  if (type.find("lambda") != std::string::npos || type.find("(anonymous") != std::string::npos ||
      type.find("{anonymous") != std::string::npos) {
    fail(operation.c_str(),
         "a lambda or a type without a name of its own has no CUDA kernel; make it a named struct "
         "in "
         "a header, add register_pointwise<ThatStruct>() to a .cu file, or move x to cpu");
  }
  fail(operation.c_str(), "no CUDA kernel registered for this functor; add register_pointwise<" +
                              type + ">() to a .cu file, or move x to cpu");
}

}  // namespace

void add_pointwise(const FunctorId* id, const PointwiseEntry& entry) {
  registry<PointwiseEntry>().add(id, entry);
}

static const PointwiseEntry& find_entry(const PointwiseKernel& kernel) {
  const PointwiseEntry* entry = find<PointwiseEntry>(kernel);
  if (entry == nullptr) fail_missing(kernel);
  return *entry;
}

PointwiseLaunch find_pointwise(const PointwiseKernel& kernel, DType dtype) {
  return find_entry(kernel).launch[dtype == DType::float32 ? 0 : 1];
}
EachLaunch find_each(const PointwiseKernel& kernel, DType dtype) {
  return find_entry(kernel).each[dtype == DType::float32 ? 0 : 1];
}

void add_recurrent(const FunctorId* id, RecurrentLaunch launch) {
  registry<RecurrentLaunch>().add(id, launch);
}

RecurrentLaunch find_recurrent(const PointwiseKernel& kernel) {
  const RecurrentLaunch* const launch = find<RecurrentLaunch>(kernel);
  return launch == nullptr ? nullptr : *launch;
}

}  // namespace tapeloop::cuda
