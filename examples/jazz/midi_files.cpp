// SPDX-License-Identifier: MIT
// MIDI files on the disk: one, and all of a folder; and the error that names a file's damage.
// What stands in a file is read by midi_read.cpp.
#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "autograd/files.h"
#include "examples/jazz/midi.h"

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

MidiFolder read_folder(const std::filesystem::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw std::runtime_error(
        fmt::format("{}: no such folder, expected a folder of MIDI files", folder.string()));
  }
  std::vector<fs::path> paths;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::string extension = at->path().extension().string();
    for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::error_code ignored;  // a link that leads nowhere is listed as a damaged file
    if ((extension == ".mid" || extension == ".midi") && !at->is_directory(ignored)) {
      paths.push_back(at->path());
    }
  }
  if (error) {
    throw std::runtime_error(fmt::format("{}: the folder cannot be read: {}; check the disk",
                                         folder.string(), error.message()));
  }
  if (paths.empty()) {
    throw std::runtime_error(
        fmt::format("{}: holds no *.mid or *.midi file, also not in subfolders", folder.string()));
  }
  std::sort(paths.begin(), paths.end());
  MidiFolder result;
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
