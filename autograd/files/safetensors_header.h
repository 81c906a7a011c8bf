// SPDX-License-Identifier: MIT
// Parses the JSON header of a safetensors file, and formats names as JSON. A part of
// safetensors.cpp, which checks that the header fits the file.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tapeloop/autograd/files/safetensors.h"

namespace tapeloop::safetensors {

inline constexpr const char* kMetadata = "__metadata__";
inline constexpr const char* kDamaged =
    "the file is damaged, cut short or badly made; copy or save it again";

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> sizes;
  std::array<std::uint64_t, 2> offsets{};  // begin and end, counted from the end of the header
};

struct Header {
  std::vector<Entry> entries;  // in the header's order
  Metadata metadata;
};

// Throws FileError for anything but the format's JSON, also for duplicate keys. Ignores unknown
// fields of tensors and metadata that are not strings.
Header parse_header(const std::string& path, const std::string& text);

// Throws FileError("path: problem").
[[noreturn]] void bad(const std::string& path, const std::string& problem);
// A name for a message: in quotes, control characters escaped, long ones cut.
std::string shown(const std::string& name);
// The text as a JSON string; empty if it is not valid UTF-8.
std::string json_string(const std::string& text);

}  // namespace tapeloop::safetensors
