// SPDX-License-Identifier: MIT
// Reading and replacing whole files with the errors of every step checked.
// It does not force the disk's own cache: a power failure may lose a file that was just written.
#include "examples/jazz/files.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace jazz {
namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

std::vector<std::uint8_t> read_whole_file(const fs::path& path, std::size_t limit) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw std::runtime_error(fmt::format("{}: no such file", path.string()));
  if (!fs::is_regular_file(status)) {
    throw std::runtime_error(fmt::format("{}: not a regular file", path.string()));
  }
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                       &std::fclose);
  if (!file) {
    throw std::runtime_error(fmt::format("{}: cannot be read: {}", path.string(), reason(errno)));
  }
  std::vector<std::uint8_t> bytes;
  std::uint8_t block[16384];
  while (const std::size_t got = std::fread(block, 1, sizeof block, file.get())) {
    bytes.insert(bytes.end(), block, block + got);
    if (bytes.size() > limit) {
      throw std::runtime_error(
          fmt::format("{}: longer than {} bytes, the most that is read", path.string(), limit));
    }
  }
  if (std::ferror(file.get()) != 0) {
    throw std::runtime_error(fmt::format("{}: reading failed: {}", path.string(), reason(errno)));
  }
  return bytes;
}

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
