// SPDX-License-Identifier: MIT
// Allows one run in a folder at a time: two runs would overwrite each other's checkpoints and
// pictures. Only programs that ask for the same lock are kept out.
#pragma once

#include <string>

namespace common {

// Holds FOLDER/run.lock, which contains the number of the process. The system releases the lock
// when the process ends, however it ends, so that a killed run does not block the folder.
class RunLock {
 public:
  // Throws tapeloop::FileError, with the other process's number, if another process holds the lock,
  // and if the file cannot be made. `other` tells the user in that message what to do besides
  // waiting. On a file system without locks it prints a warning on standard error and holds
  // nothing.
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
