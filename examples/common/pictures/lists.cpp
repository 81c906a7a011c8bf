// SPDX-License-Identifier: MIT
#include "examples/common/pictures/lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "examples/common/pictures/idx.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

using namespace tapeloop;
namespace fs = std::filesystem;

Columns columns_of(std::string_view line) {
  Columns columns;
  while (true) {
    const std::size_t tab = line.find('\t');
    columns.push_back(line.substr(0, tab));
    if (tab == line.npos) return columns;
    line.remove_prefix(tab + 1);
  }
}

bool read_count(std::string_view column, std::int64_t& number) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(column.data(), column.data() + column.size(), value);
  if (error != std::errc() || end != column.data() + column.size()) return false;
  number = value;
  return true;
}

namespace {

// The lines that are not empty, without the line ends of any system.
std::vector<std::string> lines_of(const std::string& path, std::size_t most) {
  std::ifstream file(path);
  if (!file) throw FileError(fmt::format("{} cannot be read", path));
  std::vector<std::string> lines;
  std::string line;
  while (lines.size() < most && std::getline(file, line)) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

std::string find_list(const std::string& folder, Part part,
                      const std::function<bool(const Columns&)>& fits) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (!path.ends_with(".tsv")) continue;
    const std::vector<std::string> first = lines_of(path, 1);
    if (!first.empty() && fits(columns_of(first[0]))) found.push_back(path);
  }
  if (found.size() > 1) {
    std::erase_if(found, [part](const std::string& path) {
      return path.ends_with("-test.tsv") != (part == Part::test);
    });
  }
  if (found.size() == 1) return found[0];
  throw FileError(
      fmt::format("{} has {} lists of this kind, *.tsv, expected one; --help says what "
                  "its lines have",
                  folder, found.size()));
}

}  // namespace

ListedDigits read_listed(const std::string& source, Part part, const std::string& otherwise,
                         const std::function<bool(const Columns&)>& fits) {
  ListedDigits result;
  const bool is_folder = fs::is_directory(source);
  if (!is_folder && !fs::exists(source)) {
    throw FileError(fmt::format("there is no file or folder {}", source));
  }
  result.path = is_folder ? find_list(source, part, fits) : source;
  result.lines = lines_of(result.path, static_cast<std::size_t>(-1));
  std::string folder = fs::path(result.path).parent_path().string();
  if (folder.empty()) folder = ".";
  if (!has_idx(folder, "images-idx3-ubyte") && !otherwise.empty()) {
    folder = fs::is_directory(otherwise) ? otherwise : fs::path(otherwise).parent_path().string();
  }
  result.digits = read_digits(folder, part == Part::test);
  return result;
}

void fail_line(const ListedDigits& list, std::size_t i, const std::string& expected) {
  throw FileError(fmt::format("{}, line {}: \"{}\"; expected {}", list.path, i + 1,
                              list.lines[i].substr(0, 80), expected));
}

}  // namespace common
