// SPDX-License-Identifier: MIT
// Locks by flock() on a file. The system removes such a lock when the process is killed.
#include "examples/common/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "examples/common/console.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// Reads the holder's number from an open lock file; "" if the file has no number.
std::string holder(int file) {
  char text[32];
  const ssize_t got = ::pread(file, text, sizeof text, 0);
  std::string digits(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t end = digits.find_first_not_of("0123456789");
  return digits.substr(0, end);
}

// True if the open file still has this name: the earlier run removes its lock file when it ends.
bool is_named(int file, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(file, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

RunLock::RunLock(const std::string& folder, const std::string& other) : path_(path_in(folder)) {
  constexpr int kTries = 100;  // this many runs may end between our open() and flock()
  for (int i = 0; i < kTries; ++i) {
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    // Another user's lock file may be read-only for us; flock() works on it nevertheless.
    if (file_ < 0 && errno == EACCES) {
      file_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (file_ < 0) errno = EACCES;
    }
    if (file_ < 0) {
      const int error = errno;
      struct stat there {};
      if (::lstat(path_.c_str(), &there) == 0) {
        throw tapeloop::FileError(fmt::format(
            "--out: {}, the lock of this folder, cannot be opened: {}; remove it if no run is "
            "going, or name another folder by --out",
            path_, S_ISLNK(there.st_mode) ? "it is a link" : reason(error)));
      }
      throw tapeloop::FileError(
          fmt::format("--out: {}, the lock of this folder, cannot be made: {}; name a folder that "
                      "you may write to by --out",
                      path_, reason(error)));
    }
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      const std::string process = holder(file_);
      ::close(file_);
      file_ = -1;
      if (error == EWOULDBLOCK) {
        throw tapeloop::FileError(fmt::format(
            "--out: {} is in use by another run, process {}; wait until that ends, or {}", folder,
            process.empty() ? "unknown" : process, other));
      }
      say("warning: {} cannot be locked: {}; do not start a second run in this folder\n", path_,
          reason(error));
      return;
    }
    if (is_named(file_, path_)) break;
    ::close(file_);
    file_ = -1;
  }
  if (file_ < 0)
    throw tapeloop::FileError("--out: " + path_ +
                              " is removed as soon as it is made; name another folder by --out");
  const std::string text = fmt::format("{}\n", ::getpid());
  // If the disk is full, the number is missing, but the lock still holds.
  if (::ftruncate(file_, 0) == 0) {
    static_cast<void>(!::pwrite(file_, text.data(), text.size(), 0));
  }
}

RunLock::~RunLock() {
  if (file_ < 0) return;
  if (is_named(file_, path_)) ::unlink(path_.c_str());  // before close(), which gives up the lock
  ::close(file_);
}

}  // namespace common
