// SPDX-License-Identifier: MIT
// The files that a command line names: no two options may mean one file where one of them writes it.
// It opens no file.
#pragma once

#include <string>
#include <vector>

namespace common {

struct NamedFile {
  std::string option;  // "--json", or for people: "the checkpoint"
  std::string path;    // empty: not named, and ignored
};

// One file or folder by two names: the same device and inode, or the same path once links and ".." are resolved.
bool same_place(const std::string& a, const std::string& b);
// Whether the path is the folder, or lies in it or below.
bool lies_in(const std::string& path, const std::string& folder);

// Throws UsageError, with both options and the path, where a file to be written is another one that is written or
// one that is read, or the partial file beside one of these.
void check_files_differ(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written);

}  // namespace common
