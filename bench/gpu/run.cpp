// SPDX-License-Identifier: MIT
// Runs each child in its own process group, so that the time limit also ends the processes that it
// started.
#include "bench/gpu/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace gpu_check {
namespace {

constexpr int kNotStarted = 127;
constexpr int kSignalled = 128;

[[noreturn]] void become(const std::vector<std::string>& command, const std::string& folder,
                         int log) {
  ::setpgid(0, 0);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const bool there = ::chdir(folder.c_str()) == 0;
  if (there) ::execvp(arguments[0], arguments.data());
  ::dprintf(STDERR_FILENO, "%s: %s\n", there ? arguments[0] : folder.c_str(), std::strerror(errno));
  ::_exit(kNotStarted);
}

}  // namespace

Ended run(const std::vector<std::string>& command, const std::string& folder,
          const std::string& log, double limit) {
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) throw std::runtime_error(fmt::format("{}: {}", log, std::strerror(errno)));
  const auto start = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const pid_t child = ::fork();
  if (child == 0) become(command, folder, file);
  ::close(file);
  if (child < 0) throw std::runtime_error(fmt::format("fork: {}", std::strerror(errno)));
  Ended ended;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (passed() > limit) {
      ended.stopped = true;
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ended.seconds = passed();
  ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalled + WTERMSIG(status);
  std::ostringstream text;
  text << std::ifstream(log).rdbuf();
  ended.output = text.str();
  return ended;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + name;
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  return lines;
}

}  // namespace gpu_check
