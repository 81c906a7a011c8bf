// SPDX-License-Identifier: MIT
// FNV-1a, a hash of 64 bits (Fowler, Noll & Vo): to tell texts apart and to split them by chance that is the same everywhere.
// It guards against no one who wants two texts to look alike.
#pragma once

#include <cstdint>
#include <string_view>

namespace common {

inline constexpr std::uint64_t kNothingHashed = 0xcbf29ce484222325u;

// The hash of all that `before` is the hash of, followed by these bytes.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t before = kNothingHashed) {
  for (const char byte : bytes) {
    before = (before ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return before;
}

}  // namespace common
