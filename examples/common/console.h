// SPDX-License-Identifier: MIT
// Lines on standard output and standard error that cannot end a run: a failure is remembered, not thrown.
// fmt::print throws where the disk is full or the reader is gone, in the middle of a training too.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string_view>

namespace common {

// Opens descriptors 0, 1 and 2 where the caller closed them, so that no file of the run gets one of these
// numbers and receives messages. Writing to one of them still fails. SIGPIPE becomes an error of writing.
// Call it before the program opens any file.
void keep_standard_streams();

// Never throws; std::ferror(stream) says whether something was lost.
void write(std::FILE* stream, std::string_view text);

template <class... T>
void print(fmt::format_string<T...> format, T&&... values) {
  write(stdout, fmt::format(format, std::forward<T>(values)...));
}

// A message on standard error. Without standard error it is lost, and the run goes on.
template <class... T>
void say(fmt::format_string<T...> format, T&&... values) {
  write(stderr, fmt::format(format, std::forward<T>(values)...));
}

// Hands standard output to the system. False where anything printed so far was lost.
bool flush_output();

}  // namespace common
