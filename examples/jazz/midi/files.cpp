// SPDX-License-Identifier: MIT
// Reads MIDI files from the disk, one file or all files of a folder. Makes the error that names a
// file's damage. read.cpp reads the contents of a file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "examples/common/paths.h"
#include "examples/jazz/midi/midi.h"
#include "tapeloop/autograd/files/files.h"

namespace jazz {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kLargestFile = std::uint64_t{64} << 20;

}  // namespace

MidiError::MidiError(std::string_view file, std::size_t offset, std::string_view found,
                     std::string_view expected)
    : std::runtime_error(
          fmt::format("{}, byte {}: found {}, expected {}", file, offset, found, expected)),
      offset_(offset) {}

MidiSong read_midi_file(const std::filesystem::path& path) {
  const std::string bytes = tapeloop::read_file(path.string(), kLargestFile);
  return read_midi({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()},
                   path.string());
}

bool is_midi_name(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension == ".mid" || extension == ".midi";
}

namespace {

// True if an earlier run with another --out wrote this file. If `folder` is that run's own folder,
// the user wants the file.
bool is_output(const fs::path& path, const fs::path& folder) {
  std::error_code ignored;
  return path.filename() == "jazz.mid" &&
         fs::exists(path.parent_path() / "checkpoint.safetensors", ignored) &&
         !common::same_place(path.parent_path().string(), folder.string());
}

}  // namespace

MidiFolder read_folder(const std::filesystem::path& folder, const std::filesystem::path& except) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw std::runtime_error(
        fmt::format("{}: {}, expected a folder of MIDI files", folder.string(),
                    fs::exists(folder, error) ? "not a folder" : "no such folder"));
  }
  const bool excepts = !except.empty() && common::lies_in(except.string(), folder.string());
  std::size_t left_out = 0;
  std::vector<std::string> own;
  std::vector<fs::path> paths;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;  // read_midi_file() reports a broken link
    if (!is_midi_name(at->path()) || at->is_directory(ignored)) continue;
    if (excepts && common::lies_in(at->path().parent_path().string(), except.string())) {
      ++left_out;
    } else if (is_output(at->path(), folder)) {
      own.push_back(at->path().string() + ", which this program wrote");
    } else {
      paths.push_back(at->path());
    }
  }
  if (error) {
    throw std::runtime_error(fmt::format("{}: the folder cannot be read: {}; check the disk",
                                         folder.string(), error.message()));
  }
  if (left_out > 0) {
    own.push_back(
        fmt::format("{} MIDI files in {}, where this program writes", left_out, except.string()));
  }
  std::sort(own.begin(), own.end());
  if (paths.empty()) {
    throw std::runtime_error(
        fmt::format("{}: neither this folder nor its subfolders hold a *.mid or *.midi file{}{}",
                    folder.string(), own.empty() ? "" : " beside ", fmt::join(own, "; ")));
  }
  std::sort(paths.begin(), paths.end());
  MidiFolder result;
  result.own = std::move(own);
  for (const fs::path& path : paths) {
    try {
      result.songs.push_back(read_midi_file(path));
    } catch (const std::runtime_error& damage) {
      result.damaged.push_back({path, damage.what()});
    }
  }
  return result;
}

}  // namespace jazz
