// SPDX-License-Identifier: MIT
// The messages of notes.h.
#include "examples/common/notes.h"

#include <fmt/format.h>

#include <filesystem>

namespace common {

const std::string& note(const tapeloop::nn::Checkpoint& saved, const std::string& key,
                        const std::string& path) {
  const auto found = saved.notes.find(key);
  if (found == saved.notes.end()) {
    throw tapeloop::FileError(fmt::format(
        "{}: this checkpoint has no setting '{}'; give a checkpoint that this program wrote", path,
        key));
  }
  return found->second;
}

tapeloop::nn::Checkpoint read_of_run(const std::string& path, const char* option) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw tapeloop::FileError(
        fmt::format("{0}: there is no {1}; leave {0} out to train first, or name the folder of a "
                    "run by --out",
                    option, path));
  }
  return tapeloop::nn::read_checkpoint(path);
}

void check_program(const tapeloop::nn::Checkpoint& saved, const std::string& program,
                   const std::string& path) {
  const auto found = saved.notes.find("program");
  if (found != saved.notes.end() && found->second == program) return;
  throw tapeloop::FileError(fmt::format(
      "{}: it was written by {}, expected '{}'; train first, or name the folder of such a run by "
      "--out",
      path, found == saved.notes.end() ? "another program" : "'" + found->second + "'", program));
}

void check_resumed_settings(const tapeloop::nn::Checkpoint& saved,
                            const std::map<std::string, std::string>& settings,
                            const std::string& path, const std::string& data) {
  const auto there = saved.notes.find(data), here = settings.find(data);
  if (there != saved.notes.end() && here != settings.end() && there->second != here->second) {
    tapeloop::fail("--resume", fmt::format("{} was trained on other data (it notes {}, this data "
                                           "is {}); give the --data that it was trained with",
                                           path, there->second, here->second));
  }
  try {
    tapeloop::nn::check_settings(saved, settings, path);
  } catch (const tapeloop::Error& error) {
    tapeloop::fail("--resume", without_name(error, "check_settings"));
  }
}

void check_resumed_updates(std::int64_t done, std::int64_t wanted, std::int64_t best_update,
                           const std::string& path) {
  if (done <= wanted || best_update >= 0) return;
  tapeloop::fail("--resume",
                 fmt::format("{} has done {} updates and was stopped before the first validation, "
                             "--updates is {}; give --updates {} or more",
                             path, done, wanted, done));
}

std::string without_name(const tapeloop::Error& error, std::string_view function) {
  const std::string_view text = error.what();
  const bool named = text.starts_with(function) && text.substr(function.size()).starts_with(": ");
  return std::string(named ? text.substr(function.size() + 2) : text);
}

}  // namespace common
