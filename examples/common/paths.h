// SPDX-License-Identifier: MIT
// The files that a command line names. If one option writes a file, no other option may name that
// file. Opens no file.
#pragma once

#include <string>
#include <vector>

namespace common {

struct NamedFile {
  std::string option;  // "--json", or words for people: "the checkpoint"
  std::string path;    // empty: not named; such a file is ignored
};

// True if both names mean one file or folder: the same device and inode, or the same path after
// links and ".." are resolved.
bool same_place(const std::string& a, const std::string& b);
// True if the path is the folder itself or lies below it.
bool lies_in(const std::string& path, const std::string& folder);

// Throws UsageError, with both options and the path, if a file to be written is also read, is
// written twice, or is the partial file beside another one.
void check_files_differ(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written);

}  // namespace common
