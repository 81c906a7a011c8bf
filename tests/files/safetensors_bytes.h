// SPDX-License-Identifier: MIT
// Files of safetensors byte by byte, and the messages of reading them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/files/safetensors.h"
#include "tests/messages.h"

namespace tapeloop::test {

// The file with this header and this data.
inline std::string with_length(const std::string& header, const std::string& data) {
  std::string result(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(result.data(), &length, 8);
  return result + header + data;
}

inline std::string message_of_reading(const std::string& path) {
  return message_of<FileError>([&] { read_safetensors(path); });
}

}  // namespace tapeloop::test
