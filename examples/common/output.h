// SPDX-License-Identifier: MIT
// Folders and JSON files that examples write.
// A file that is replaced is either the old one or the new one; other formats are written by
// autograd/files/files.h.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace common {

// Makes the folder and missing folders above it. Throws tapeloop::FileError with the system's
// reason.
void make_folder(const std::string& path);
// Call this before long work whose result goes into this file. It makes the file's folder and
// throws tapeloop::FileError if the file cannot be written. It changes no existing file and leaves
// no new one.
void check_writable(const std::string& path);

// Writes JSON, indented, keys in alphabetical order. Text that is not UTF-8 gets replacement
// characters.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace common
