// SPDX-License-Identifier: MIT
// Prints lines on standard output and standard error without ending a run: a failure is remembered,
// not thrown. fmt::print throws if the disk is full or the reader is gone, even in the middle of a
// training.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace common {

// Opens descriptors 0, 1 and 2 if the caller closed them, so that no file of the run gets one of
// these numbers and receives messages. Writing to such a descriptor still fails. SIGPIPE becomes a
// write error. Call this before the program opens any file.
void keep_standard_streams();

// Never throws; std::ferror(stream) says whether something was lost.
void write(std::FILE* stream, std::string_view text);

template <class... T>
void print(fmt::format_string<T...> format, T&&... values) {
  write(stdout, fmt::format(format, std::forward<T>(values)...));
}

// Prints a message on standard error. Without standard error the message is lost and the run goes
// on.
template <class... T>
void say(fmt::format_string<T...> format, T&&... values) {
  write(stderr, fmt::format(format, std::forward<T>(values)...));
}

// Flushes standard output. False if any earlier output was lost.
bool flush_output();

}  // namespace common
