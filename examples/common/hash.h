// SPDX-License-Identifier: MIT
// FNV-1a, a 64-bit hash (Fowler, Noll & Vo): identifies texts, and splits them pseudo-randomly in
// the same way on every machine.
// Not a cryptographic hash: two different texts with equal hashes are easy to make.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace common {

inline constexpr std::uint64_t kNothingHashed = 0xcbf29ce484222325u;

// Hashes these bytes. With `before`, the hash of earlier bytes, the result is the hash of both
// parts.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t before = kNothingHashed) {
  for (const char byte : bytes) {
    before = (before ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return before;
}

// The hash of the elements' bytes. They have no padding.
template <class T>
std::uint64_t hash_of(const std::vector<T>& list, std::uint64_t before = kNothingHashed) {
  static_assert(std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>);
  return fnv1a({reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T)}, before);
}

}  // namespace common
