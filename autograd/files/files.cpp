// SPDX-License-Identifier: MIT
// Uses system calls, because the standard library cannot lock a file, force it to disk, or give the
// reason of an error. Nothing is buffered: callers pass large pieces.
#include "tapeloop/autograd/files/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <system_error>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

void check_name(const std::string& path) {
  if (path.empty()) throw FileError("file: the name is empty; give a path");
  if (path.find('\0') != std::string::npos) {
    throw FileError(
        fmt::format("{}: the name contains a zero byte; give a path without one", path.c_str()));
  }
}

// The target of a link, so that the file is replaced and the link stays.
std::string target_of(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode)) return path;
  char* target = ::realpath(path.c_str(), nullptr);
  if (target == nullptr) {
    throw FileError(fmt::format("{}: this link cannot be followed: {}; remove or repair it", path,
                                reason(errno)));
  }
  std::string result = target;
  std::free(target);
  return result;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Forces the rename to disk. Some file systems refuse this for folders; the file itself is
// complete.
void sync_folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  int file = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return;
  ::fsync(file);
  ::close(file);
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  check_name(path);
  // O_NONBLOCK: opening a pipe must not wait for a writer.
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file_ < 0) {
    throw FileError(fmt::format("{}: cannot be opened: {}; check the name and the permissions",
                                path, reason(errno)));
  }
  struct stat status {};
  int error = ::fstat(file_, &status) == 0 ? 0 : errno;
  if (error != 0 || !S_ISREG(status.st_mode)) {
    ::close(file_);
    throw FileError(fmt::format(
        "{}: {}; give the name of a regular file", path,
        error != 0 ? reason(error) : "is not a regular file but a folder, pipe or device"));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(file_); }

void InputFile::read(void* to, std::uint64_t bytes) {
  char* place = static_cast<char*>(to);
  while (bytes > 0) {
    ssize_t got = ::read(file_, place, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw FileError(fmt::format("{}: reading failed: {}; check the disk", path_, reason(errno)));
    }
    if (got == 0) {
      throw FileError(
          fmt::format("{}: the file ended {} bytes early; expected {} bytes in all; if another "
                      "program changed it meanwhile, read it again",
                      path_, bytes, size_));
    }
    place += got;
    bytes -= static_cast<std::uint64_t>(got);
  }
}

std::string read_file(const std::string& path, std::uint64_t most) {
  InputFile file(path);
  if (file.size() > most) {
    throw FileError(fmt::format("{}: has {} bytes, but the limit is {}; give a smaller file", path,
                                file.size(), most));
  }
  std::string bytes;
  const auto too_large = [&] {
    return FileError(fmt::format("{}: its {} bytes do not fit into memory; give a smaller file",
                                 path, file.size()));
  };
  if (file.size() > bytes.max_size()) throw too_large();
  try {
    bytes.resize(file.size());
  } catch (const std::bad_alloc&) {
    throw too_large();
  }
  file.read(bytes.data(), bytes.size());
  return bytes;
}

NewFile::NewFile(const std::string& path, std::uint64_t bytes) : bytes_(bytes) {
  check_name(path);
  path_ = target_of(path);
  partial_ = path_ + ".partial";
  struct stat old {};
  const bool replaces = ::stat(path_.c_str(), &old) == 0;
  if (replaces && !S_ISREG(old.st_mode)) {
    throw FileError(
        fmt::format("{}: is a folder, pipe or device; give the name of a regular file", path_));
  }
  file_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (file_ < 0) {
    throw FileError(fmt::format(
        "{}: cannot be made, to hold {} bytes: {}; check that the folder exists and that you "
        "may write there",
        partial_, bytes_, reason(errno)));
  }
  // Two programs may save under one name. The lock keeps the second one out. If the first one has
  // renamed the partial file after the second one opened it, the opened file is no longer the
  // partial file.
  struct stat opened {};
  struct stat named {};
  if ((::flock(file_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
      ::fstat(file_, &opened) != 0 || ::lstat(partial_.c_str(), &named) != 0 ||
      !same_file(opened, named) || !S_ISREG(opened.st_mode)) {
    ::close(file_);
    throw FileError(
        fmt::format("{}: another program is writing it, or it is not a regular file; wait, or "
                    "choose another name",
                    partial_));
  }
  if (replaces) static_cast<void>(::fchmod(file_, old.st_mode & 07777));
  if (::ftruncate(file_, 0) != 0) {  // removes what a crashed program wrote
    int error = errno;
    ::unlink(partial_.c_str());
    ::close(file_);
    fail_with(error, "emptying the partial file");
  }
}

NewFile::~NewFile() {
  if (file_ < 0) return;
  ::unlink(partial_.c_str());  // before close(), which gives up the lock
  ::close(file_);
}

void NewFile::fail_with(int error, const char* doing) const {
  throw FileError(
      fmt::format("{}: {} failed after {} bytes: {}; {} bytes are needed; the old file, if any, "
                  "was not changed; free some space or choose another folder, then save again",
                  path_, doing, written_, reason(error), bytes_));
}

void NewFile::write(std::string_view piece) {
  while (!piece.empty()) {
    ssize_t wrote = ::write(file_, piece.data(), piece.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) fail_with(errno, "writing");
    piece.remove_prefix(static_cast<std::size_t>(wrote));
    written_ += static_cast<std::uint64_t>(wrote);
  }
}

void NewFile::commit() {
  if (::fsync(file_) != 0) fail_with(errno, "forcing to disk");
  if (::rename(partial_.c_str(), path_.c_str()) != 0) fail_with(errno, "renaming the partial file");
  ::close(file_);
  file_ = -1;
  sync_folder_of(path_);
}

void write_file(const std::string& path, std::span<const std::string_view> pieces) {
  std::uint64_t bytes = 0;
  for (std::string_view piece : pieces) bytes += piece.size();
  NewFile file(path, bytes);
  for (std::string_view piece : pieces) file.write(piece);
  file.commit();
}

void write_file(const std::string& path, std::string_view bytes) { write_file(path, {&bytes, 1}); }

}  // namespace tapeloop
