// SPDX-License-Identifier: MIT
// Comparison of paths by the standard library.
#include "examples/common/paths.h"

#include <fmt/format.h>

#include <cstddef>
#include <filesystem>

#include "examples/common/options.h"

namespace common {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPartial = ".partial";  // of tapeloop::NewFile

fs::path resolved(const std::string& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  fs::path result = fs::weakly_canonical(whole, error);
  if (error) result = whole.lexically_normal();
  return result.has_filename() ? result : result.parent_path();  // "out/" is "out"
}

void check_differ(const NamedFile& written, const NamedFile& other) {
  const bool same = same_place(written.path, other.path);
  if (!same && !same_place(written.path + kPartial, other.path) &&
      !same_place(written.path, other.path + kPartial)) {
    return;
  }
  throw UsageError(fmt::format(
      "{} and {} name {}, {}; give another name to one of them", written.option, other.option,
      same ? "the same file" : "a file and its temporary one", written.path));
}

}  // namespace

bool same_place(const std::string& a, const std::string& b) {
  std::error_code ignored;
  // Compares the paths too: one may lead through a folder that does not exist yet.
  return fs::equivalent(a, b, ignored) || resolved(a) == resolved(b);
}

bool lies_in(const std::string& path, const std::string& folder) {
  const fs::path end = fs::path();
  for (fs::path at = resolved(path); at != end; at = at.parent_path()) {
    if (same_place(at.string(), folder)) return true;
    if (at == at.root_path()) break;
  }
  return false;
}

void check_files_differ(const std::vector<NamedFile>& read, const std::vector<NamedFile>& written) {
  for (std::size_t i = 0; i < written.size(); ++i) {
    if (written[i].path.empty()) continue;
    for (std::size_t k = i + 1; k < written.size(); ++k) {
      if (!written[k].path.empty()) check_differ(written[i], written[k]);
    }
    for (const NamedFile& input : read) {
      if (!input.path.empty()) check_differ(written[i], input);
    }
  }
}

}  // namespace common
