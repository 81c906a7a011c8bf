// SPDX-License-Identifier: MIT
// Folders and JSON files that examples write.
// A file that is replaced is either the old one or the new one; other formats are written by
// autograd/files.h.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace common {

// Makes the folder and those above it where they are missing. Throws tapeloop::FileError with the
// system's reason.
void make_folder(const std::string& path);
// The same for the folder that a file is to be in. Throws too where `path` is a folder itself:
// before the work, not after it.
void make_folder_of(const std::string& path);

// Writes JSON, indented, keys in alphabetical order. Text that is not UTF-8 gets replacement
// characters.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace common
