// SPDX-License-Identifier: MIT
// Whole files out: a file that is replaced is either the old one or the new one, never half.
// It keeps no file open and makes no folders. Files are read by autograd/files.h.
#pragma once

#include <filesystem>
#include <string_view>

namespace jazz {

// Writes `bytes` to PATH.partial and renames that to PATH. Throws std::runtime_error with the
// system's reason if any step fails; the partial file is then removed and PATH is as it was.
void write_whole_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace jazz
