// SPDX-License-Identifier: MIT
// Replacing whole files with the errors of every step checked.
// It does not force the disk's own cache: a power failure may lose a file that was just written.
#include "examples/jazz/files.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>

namespace jazz {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

void write_whole_file(const fs::path& path, std::string_view bytes) {
  fs::path partial = path;
  partial += ".partial";
  std::FILE* file = std::fopen(partial.c_str(), "wb");
  if (file == nullptr) {
    throw std::runtime_error(fmt::format("{}: cannot be written: {}; does the folder exist?",
                                         partial.string(), reason(errno)));
  }
  int problem = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) problem = errno;
  if (problem == 0 && std::fflush(file) != 0) problem = errno;
  if (std::fclose(file) != 0 && problem == 0) problem = errno;
  if (problem == 0 && std::rename(partial.c_str(), path.c_str()) != 0) problem = errno;
  if (problem != 0) {
    std::remove(partial.c_str());
    throw std::runtime_error(
        fmt::format("{}: writing {} bytes failed: {}; the old file, if any, "
                    "is untouched",
                    path.string(), bytes.size(), reason(problem)));
  }
}

}  // namespace jazz
