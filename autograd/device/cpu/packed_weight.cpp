// SPDX-License-Identifier: MIT
// The list of packed forms of a tensor's memory. It has a few entries: as stored, transposed, cut
// by gates.
#include "tapeloop/autograd/device/cpu/packed_weight.h"

#include <atomic>
#include <utility>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cpu/panels.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::cpu {

// One packed form: its source and its panels.
struct PackedForm final : detail::Kept {
  struct Source {
    const void* data;
    std::int64_t k, n, row_stride, column_stride, groups, group_stride;
    std::size_t element_bytes;
    bool operator==(const Source&) const = default;
  };
  PackedForm(const Source& from, std::uint64_t writes_then, std::size_t size, int holders)
      : source(from), writes(writes_then), bytes(size), references(holders) {}
  void release_list() noexcept override;

  Source source;
  std::uint64_t writes;  // the storage's count of writes when it was packed
  std::size_t bytes;
  std::atomic<std::int32_t> references;
  PackedForm* next = nullptr;

  void* panels() { return reinterpret_cast<char*>(this) + kHeader; }
  static constexpr std::size_t kHeader = 128;
};

namespace {

static_assert(sizeof(PackedForm) <= PackedForm::kHeader);

// The packed forms of a tensor's memory.
PackedForm* forms_of(const detail::Storage& storage) {
  return static_cast<PackedForm*>(storage.kept);
}

constexpr int kMostForms = 16;

// One lock for the lists of all tensors. A thread holds it for a few instructions, so others rarely
// wait.
class Lock {
 public:
  Lock() {
    while (taken_.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Lock() { taken_.clear(std::memory_order_release); }

 private:
  static inline std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
};

void drop(PackedForm* kept) noexcept {
  if (detail::let_go(kept->references)) {
    const std::size_t bytes = kept->bytes;
    kept->~PackedForm();
    memory::release(kept, bytes);
  }
}

// Returns an up-to-date form, with a reference for the caller, or null.
PackedForm* find(detail::Storage& storage, const PackedForm::Source& source, std::uint64_t writes) {
  Lock lock;
  for (PackedForm* kept = forms_of(storage); kept != nullptr; kept = kept->next) {
    if (kept->source == source && kept->writes == writes) {
      kept->references.fetch_add(1, std::memory_order_relaxed);
      return kept;
    }
  }
  return nullptr;
}

// Removes outdated forms from the list, and the oldest forms if there are too many. Returns the
// removed forms.
PackedForm* take_stale(detail::Storage& storage, std::uint64_t writes) {
  Lock lock;
  PackedForm* stale = nullptr;
  PackedForm* first = forms_of(storage);
  int count = 0;
  for (PackedForm** link = &first; *link != nullptr;) {
    PackedForm* kept = *link;
    if (kept->writes != writes || ++count >= kMostForms) {
      *link = kept->next;
      kept->next = std::exchange(stale, kept);
    } else {
      link = &kept->next;
    }
  }
  storage.kept = first;
  return stale;
}

void drop_list(PackedForm* kept) noexcept {
  while (kept != nullptr) drop(std::exchange(kept, kept->next));
}

}  // namespace

void PackedForm::release_list() noexcept { drop_list(this); }

template <class T>
PackedWeight<T>::PackedWeight(const Tensor& weight, MatrixView<T> b, std::int64_t k, std::int64_t n,
                              std::int64_t groups, std::int64_t group_stride) {
  const auto& kernels = cpu::kernels().of<T>();
  columns_ = n / groups;
  groups_ = groups;
  per_group_ = panel_count(columns_, kernels.panel_width);
  group_elements_ = per_group_ * kernels.panel_width * k;
  // Groups of whole panels have the layout of a single group, so one packed form serves both.
  const std::int64_t adjacent = columns_ * b.column_stride;
  if (group_stride == 0) group_stride = adjacent;
  if (columns_ % kernels.panel_width == 0 && group_stride == adjacent) {
    groups = 1;
    group_stride = n * b.column_stride;
  }
  detail::Storage& storage = *detail::storage_of(weight);
  const PackedForm::Source source{b.data,       k,        n, b.row_stride, b.column_stride, groups,
                                  group_stride, sizeof(T)};
  const std::uint64_t writes = detail::count_of_writes(storage);
  const bool keep = !storage.exposed.load(std::memory_order_acquire);
  if (keep) {
    kept_ = find(storage, source, writes);
    if (kept_ != nullptr) return;
    drop_list(take_stale(storage, writes));
  }
  const std::int64_t elements = groups == 1
                                    ? panel_count(n, kernels.panel_width) * kernels.panel_width * k
                                    : groups * group_elements_;
  const std::size_t bytes = PackedForm::kHeader + static_cast<std::size_t>(elements) * sizeof(T);
  kept_ = new (memory::allocate(bytes)) PackedForm(source, writes, bytes, keep ? 2 : 1);
  T* panels = static_cast<T*>(kept_->panels());
  for (std::int64_t g = 0; g < groups; ++g) {
    const MatrixView<T> part{b.data + g * group_stride, b.row_stride, b.column_stride};
    kernels.pack_panels(part, k, n / groups, panels + g * group_elements_);
  }
  if (keep) {
    Lock lock;
    kept_->next = forms_of(storage);
    storage.kept = kept_;
  }
}

template <class T>
PackedWeight<T>::PackedWeight(PackedWeight&& other) noexcept
    : kept_(std::exchange(other.kept_, nullptr)),
      columns_(other.columns_),
      groups_(other.groups_),
      per_group_(other.per_group_),
      group_elements_(other.group_elements_) {}

template <class T>
PackedWeight<T>::~PackedWeight() {
  if (kept_ != nullptr) drop(kept_);
}

template <class T>
const T* PackedWeight<T>::panels(std::int64_t group) const {
  return static_cast<const T*>(kept_->panels()) + group * group_elements_;
}

template class PackedWeight<float>;
template class PackedWeight<double>;

}  // namespace tapeloop::cpu
