// SPDX-License-Identifier: MIT
// Folders and JSON files that examples write.
// A file that is replaced is either the old one or the new one; other formats are written by
// autograd/files/files.h.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace common {

// Makes the folder and those above it where they are missing. Throws tapeloop::FileError with the
// system's reason.
void make_folder(const std::string& path);
// Before long work whose result is to be in this file: makes the folder that it is to be in. Throws tapeloop::FileError where
// the file cannot be written; one that is there stays as it is, and none is left behind.
void check_writable(const std::string& path);

// Writes JSON, indented, keys in alphabetical order. Text that is not UTF-8 gets replacement
// characters.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace common
