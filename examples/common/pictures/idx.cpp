// SPDX-License-Identifier: MIT
#include "examples/common/pictures/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "tapeloop/autograd/tensor/error.h"

namespace common {

using namespace tapeloop;

namespace {

// The bytes of a file, unpacked if gzip has packed it.
std::string read_bytes(const std::string& path) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 30;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (file == nullptr) throw FileError(fmt::format("{} cannot be read", path));
  std::string result;
  char block[1 << 16];
  int count = 0;
  while ((count = gzread(file.get(), block, sizeof(block))) > 0 && result.size() < kMostBytes)
    result.append(block, static_cast<std::size_t>(count));
  int status = Z_OK;
  const char* const text = gzerror(file.get(), &status);
  if (count != 0) throw FileError(fmt::format("{} cannot be unpacked: {}", path, text));
  return result;
}

std::int64_t number_at(const std::string& bytes, std::size_t place) {  // big-endian
  std::int64_t result = 0;
  for (std::size_t i = 0; i < 4; ++i)
    result = result << 8 | static_cast<unsigned char>(bytes[place + i]);
  return result;
}

}  // namespace

static std::vector<std::string> idx_files(const std::string& folder, const std::string& ending) {
  std::vector<std::string> found;
  std::error_code none;
  if (!std::filesystem::is_directory(folder, none)) {
    throw FileError(fmt::format("--data: there is no folder {}", folder));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string path = entry.path().string();
    if (path.ends_with(ending) || path.ends_with(ending + ".gz")) found.push_back(path);
  }
  return found;
}

bool has_idx(const std::string& folder, const std::string& ending) {
  return !idx_files(folder, ending).empty();
}

std::string by_size(std::vector<std::string> files, bool smaller) {
  std::sort(files.begin(), files.end());  // equal ones by name
  const auto less = [](const std::string& a, const std::string& b) {
    return std::filesystem::file_size(a) < std::filesystem::file_size(b);
  };
  return smaller ? *std::min_element(files.begin(), files.end(), less)
                 : *std::max_element(files.begin(), files.end(), less);
}

std::string find_idx(const std::string& folder, const std::string& ending, bool smaller) {
  std::vector<std::string> found = idx_files(folder, ending);
  if (!found.empty()) return by_size(std::move(found), smaller);
  throw FileError(fmt::format("--data: {} has no file *{} or *{}.gz", folder, ending, ending));
}

std::string read_idx(const std::string& path, std::size_t axes, std::vector<std::int64_t>& sizes) {
  const std::string bytes = read_bytes(path);
  const std::size_t header = 4 + 4 * axes;
  const auto magic = static_cast<std::int64_t>(2048 + axes);
  if (bytes.size() < header || number_at(bytes, 0) != magic) {
    throw FileError(fmt::format("{} is no IDX file of {} axes: expected the number {} at its start",
                                path, axes, magic));
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // more than any file has
  std::int64_t total = 1;
  for (std::size_t i = 0; i < axes; ++i) {
    sizes.push_back(number_at(bytes, 4 + 4 * i));
    total = sizes.back() > 0 && total > kMost / sizes.back() ? kMost : total * sizes.back();
  }
  if (static_cast<std::int64_t>(bytes.size() - header) != total) {
    throw FileError(fmt::format("{} has {} bytes behind its header, expected {}", path,
                                bytes.size() - header, total));
  }
  return bytes.substr(header);
}

}  // namespace common
