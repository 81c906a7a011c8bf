// SPDX-License-Identifier: MIT
// The checks and files that the targets share.
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "tapeloop/nn/look/markup.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

constexpr std::size_t kLongestMessage = 4096;

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "tapeloop_fuzz.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = pattern;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

void expect(bool holds, std::string_view promise) {
  if (!holds) throw Broken(std::string(promise));
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = nn::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void expect_message(const std::exception& error, std::string_view place) {
  const std::string_view message = error.what();
  const auto in = [&](std::string_view promise) {
    return std::string(promise).append(": ").append(message);
  };
  expect(message.find(place) != std::string_view::npos,
         in("the message does not name " + std::string(place)));
  expect(message.size() <= kLongestMessage, in("the message is too long"));
  expect(is_utf8(message), in("the message is not UTF-8"));
  const bool control = std::any_of(message.begin(), message.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f;
  });
  expect(!control, in("the message has a control character"));
}

std::string scratch_file(std::string_view name) {
  static const ScratchFolder folder;
  return (folder.path() / name).string();
}

void put(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  out.close();
  if (!out) throw std::runtime_error(path + " cannot be written");
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace tapeloop::fuzz
