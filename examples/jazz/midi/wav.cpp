// SPDX-License-Identifier: MIT
// Finds fluidsynth and a sound font, and runs fluidsynth.
#include "examples/jazz/midi/wav.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <vector>

extern char** environ;

namespace jazz {
namespace {

namespace fs = std::filesystem;

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string file = folder + "/" + name;
    if (!folder.empty() && ::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

std::string find_sound_font() {
  std::error_code ignored;
  if (const char* given = std::getenv("SOUNDFONT")) {
    if (fs::is_regular_file(given, ignored)) return given;
  }
  for (const char* folder : {"/usr/share/sounds/sf2", "/usr/share/sounds/sf3",
                             "/usr/share/soundfonts", "/usr/local/share/soundfonts"}) {
    std::vector<std::string> fonts;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string kind = entry.path().extension().string();
      if (kind == ".sf2" || kind == ".sf3") fonts.push_back(entry.path().string());
    }
    if (!fonts.empty()) return *std::min_element(fonts.begin(), fonts.end());
  }
  return {};
}

// True if the program ended with 0. Discards its output.
bool run_quietly(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return false;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int problem =
      posix_spawn(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  return problem == 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

}  // namespace

WavResult write_wav(const std::string& midi, const std::string& wav) {
  const std::string program = find_program("fluidsynth");
  const std::string font = find_sound_font();
  if (program.empty()) return {false, "fluidsynth is not installed"};
  if (font.empty())
    return {false, "no sound font is installed; the environment variable SOUNDFONT may name one"};
  const std::string partial = wav + ".partial";
  const bool done =
      run_quietly({program, "-ni", "-g", "0.6", "-T", "wav", "-F", partial, font, midi});
  std::error_code error;
  if (done) fs::rename(partial, wav, error);
  if (!done || error) {
    std::remove(partial.c_str());
    return {false, "fluidsynth failed on " + midi};
  }
  return {true, {}};
}

}  // namespace jazz
