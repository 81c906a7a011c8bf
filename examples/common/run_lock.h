// SPDX-License-Identifier: MIT
// One run in a folder at a time: two would write each other's checkpoints and pictures.
// It keeps out programs that ask for the same lock, and nobody else.
#pragma once

#include <string>

namespace common {

// Holds FOLDER/run.lock, in which the number of the process stands. The system gives the lock up when the process
// ends, however it ends, so that a killed run is in nobody's way.
class RunLock {
 public:
  // Throws tapeloop::FileError where another process holds it, with that process's number, or where the
  // file cannot be made. On a file system without locks it says so on standard error and holds nothing.
  // `other`: the way out beside waiting, for that message.
  explicit RunLock(const std::string& folder,
                   const std::string& other = "name another folder by --out");
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock();  // removes the file

  static std::string path_in(const std::string& folder) { return folder + "/run.lock"; }

 private:
  std::string path_;
  int file_ = -1;
};

}  // namespace common
