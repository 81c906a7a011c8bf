// SPDX-License-Identifier: MIT
#include "examples/common/pictures/lists.h"

#include <fmt/format.h>

#include <filesystem>

#include "examples/common/pictures/idx.h"
#include "examples/common/text.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

using namespace tapeloop;
namespace fs = std::filesystem;

static constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 28;

std::string find_list(const std::string& source, Part part, const ListKind& kind) {
  if (!fs::is_directory(source)) return source;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".tsv")) continue;
    const std::string text = read_text_file(path, kMostBytes);
    if (kind.fits(split(std::string_view(text).substr(0, text.find('\n')), '\t')))
      found.push_back(path);
  }
  if (!found.empty()) return by_size(std::move(found), part == Part::test);
  throw FileError(fmt::format("{} has no such list; expected a file *.tsv with lines of {}", source,
                              kind.lines));
}

ListedDigits read_listed(const std::string& source, Part part, const std::string& otherwise,
                         const ListKind& kind) {
  ListedDigits result;
  result.path = find_list(source, part, kind);
  const std::string text = read_text_file(result.path, kMostBytes);
  for (const std::string_view line : split(text, '\n')) result.lines.emplace_back(line);
  while (!result.lines.empty() && result.lines.back().empty()) result.lines.pop_back();
  const auto folder_of = [](const std::string& path) {
    if (fs::is_directory(path)) return path;
    const std::string folder = fs::path(path).parent_path().string();
    return folder.empty() ? std::string(".") : folder;
  };
  std::string folder = folder_of(result.path);
  if (!otherwise.empty() && !has_idx(folder, "images-idx3-ubyte")) folder = folder_of(otherwise);
  result.digits = read_digits(folder, part == Part::test);
  return result;
}

void fail_line(const ListedDigits& list, std::size_t i, const std::string& expected) {
  throw TextError(
      list.path, static_cast<std::int64_t>(i) + 1,
      fmt::format("\"{}\"; expected {}", printable(list.lines[i].substr(0, 80)), expected));
}

}  // namespace common
