// SPDX-License-Identifier: MIT
// A library to preload: in the program it makes one call fail that changes the file system, or
// kills the process there. Counts calls on regular files only: a run's pipes and terminals are not
// its files.
//
//   FAULT_LOG=FILE   writes a line "NAME ARGUMENT" for each such call
//   FAULT_AT=K       hits call number K, from 1
//   FAULT=kill       kills the process instead of the call
//   FAULT=torn       kills it after the call; a write is done by half
//   FAULT=NUMBER     lets the call fail with this errno; with FAULT_ON=1 all later ones too
// Without the #undef open() would become open64(), which is defined here too.
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum class Fault { none, kill, torn, error };

const char* setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

void die() {
  ::syscall(SYS_kill, ::getpid(), SIGKILL);
  for (;;) ::pause();
}

// Counts the call and returns what to do with it.
Fault hit(const char* name, const char* argument) {
  static const long at = std::atol(setting("FAULT_AT"));
  static const bool on = *setting("FAULT_ON") != '\0';
  static const char* const fault = setting("FAULT");
  static const long log = *setting("FAULT_LOG") == '\0'
                              ? -1
                              : ::syscall(SYS_openat, AT_FDCWD, setting("FAULT_LOG"),
                                          O_WRONLY | O_CREAT | O_APPEND, 0644);
  static long calls = 0;
  ++calls;
  if (log >= 0) {
    char line[512];
    const int length = std::snprintf(line, sizeof line, "%s %.400s\n", name, argument);
    ::syscall(SYS_write, log, line, length);
  }
  if (calls != at && !(on && at > 0 && calls > at)) return Fault::none;
  if (std::strcmp(fault, "kill") == 0) return Fault::kill;
  if (std::strcmp(fault, "torn") == 0) return Fault::torn;
  errno = std::atoi(fault);
  return Fault::error;
}

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

// Makes the call itself, unless it is hit.
template <class Call>
auto through(const char* name, const char* argument, Call call) -> decltype(call()) {
  const Fault fault = hit(name, argument);
  if (fault == Fault::kill) die();
  if (fault == Fault::error) return static_cast<decltype(call())>(-1);
  const auto result = call();
  if (fault == Fault::torn) die();
  return result;
}

bool is_regular(int file) {
  struct stat status {};
  return ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

template <class Call>
ssize_t write_through(const char* name, int file, std::size_t bytes, Call call) {
  if (!is_regular(file)) return call(bytes);
  const Fault fault = hit(name, "");
  if (fault == Fault::kill) die();
  if (fault == Fault::error) return -1;
  const ssize_t done = call(fault == Fault::torn ? bytes / 2 : bytes);
  if (fault == Fault::torn) die();
  return done;
}

bool changes(int flags) {
  return (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_ACCMODE) != O_RDONLY;
}

}  // namespace

extern "C" {

#define OPEN(NAME)                                                             \
  int NAME(const char* path, int flags, ...) {                                 \
    static const auto next = real<int(const char*, int, ...)>(#NAME);          \
    va_list more;                                                              \
    va_start(more, flags);                                                     \
    const unsigned mode = (flags & O_CREAT) != 0 ? va_arg(more, unsigned) : 0; \
    va_end(more);                                                              \
    if (!changes(flags)) return next(path, flags, mode);                       \
    return through("open", path, [&] { return next(path, flags, mode); });     \
  }
OPEN(open)
OPEN(open64)

#define STREAM(NAME)                                                                \
  FILE* NAME(const char* path, const char* mode) {                                  \
    static const auto next = real<FILE*(const char*, const char*)>(#NAME);          \
    if (*mode == 'r' && std::strchr(mode, '+') == nullptr) return next(path, mode); \
    const Fault fault = hit("fopen", path);                                         \
    if (fault == Fault::kill) die();                                                \
    FILE* const file = fault == Fault::error ? nullptr : next(path, mode);          \
    if (fault == Fault::torn) die();                                                \
    return file;                                                                    \
  }
STREAM(fopen)
STREAM(fopen64)

ssize_t write(int file, const void* bytes, std::size_t count) {
  static const auto next = real<ssize_t(int, const void*, std::size_t)>("write");
  return write_through("write", file, count, [&](std::size_t n) { return next(file, bytes, n); });
}
#define PWRITE(NAME)                                                                     \
  ssize_t NAME(int file, const void* bytes, std::size_t count, off_t place) {            \
    static const auto next = real<ssize_t(int, const void*, std::size_t, off_t)>(#NAME); \
    return write_through("pwrite", file, count,                                          \
                         [&](std::size_t n) { return next(file, bytes, n, place); });    \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

#define ON_FILE(NAME)                                                                      \
  int NAME(int file) {                                                                     \
    static const auto next = real<int(int)>(#NAME);                                        \
    return is_regular(file) ? through(#NAME, "", [&] { return next(file); }) : next(file); \
  }
ON_FILE(fsync)
ON_FILE(fdatasync)

#define TRUNCATE(NAME)                                                   \
  int NAME(int file, off_t length) noexcept {                            \
    static const auto next = real<int(int, off_t)>(#NAME);               \
    return through("ftruncate", "", [&] { return next(file, length); }); \
  }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int fchmod(int file, mode_t mode) noexcept {
  static const auto next = real<int(int, mode_t)>("fchmod");
  return through("fchmod", "", [&] { return next(file, mode); });
}

#define ON_PATH(NAME)                                        \
  int NAME(const char* path) noexcept {                      \
    static const auto next = real<int(const char*)>(#NAME);  \
    return through(#NAME, path, [&] { return next(path); }); \
  }
ON_PATH(unlink)
ON_PATH(remove)
ON_PATH(rmdir)

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto next = real<int(const char*, mode_t)>("mkdir");
  return through("mkdir", path, [&] { return next(path, mode); });
}

int rename(const char* from, const char* to) noexcept {
  static const auto next = real<int(const char*, const char*)>("rename");
  return through("rename", to, [&] { return next(from, to); });
}

}  // extern "C"
