// SPDX-License-Identifier: MIT
// Folders by the standard library, JSON by nlohmann-json, files by the library.
#include "examples/common/output.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

namespace fs = std::filesystem;

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    const std::string reason = error ? error.message() : "there is a file of that name";
    throw tapeloop::FileError(
        fmt::format("{}: the folder cannot be made: {}; give another one", path, reason));
  }
}

void check_writable(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    throw tapeloop::FileError(fmt::format("{}: this is a folder; give the name of a file", path));
  }
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) make_folder(parent.string());
  tapeloop::NewFile(path, 0);  // without commit() nothing is replaced
}

void write_json(const std::string& path, const nlohmann::json& json) {
  const std::string text =
      json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  tapeloop::write_file(path, text);
}

}  // namespace common
