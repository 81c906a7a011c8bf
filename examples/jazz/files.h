// SPDX-License-Identifier: MIT
// Whole files in and out: a file that is replaced is either the old one or the new one, never half.
// It keeps no file open and makes no folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace jazz {

// All bytes of a regular file. Throws std::runtime_error if it is absent, no regular file (a pipe
// would never end), unreadable or longer than `limit` bytes.
std::vector<std::uint8_t> read_whole_file(const std::filesystem::path& path, std::size_t limit);

// Writes `bytes` to PATH.partial and renames that to PATH. Throws std::runtime_error with the
// system's reason if any step fails; the partial file is then removed and PATH is as it was.
void write_whole_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace jazz
