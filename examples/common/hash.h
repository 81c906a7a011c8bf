// SPDX-License-Identifier: MIT
// FNV-1a, a 64-bit hash (Fowler, Noll & Vo): identifies texts, and splits them pseudo-randomly in
// the same way on every machine.
// Not a cryptographic hash: two different texts with equal hashes are easy to make.
#pragma once

#include <cstdint>
#include <string_view>

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

}  // namespace common
