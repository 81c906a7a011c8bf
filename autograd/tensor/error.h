// SPDX-License-Identifier: MIT
// The exceptions of the library. Every message names the operation, what was given, what was
// expected, and a next step. The .cpp files format the texts, so that no header needs a formatting
// library.
#pragma once

#include <stdexcept>
#include <string>

namespace tapeloop {

// A mistake in a call (shape, type, argument). Thrown before any work is done.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A file that cannot be read or written, or does not hold what it should.
class FileError : public Error {
 public:
  using Error::Error;
};

// Throws Error("operation: message").
[[noreturn]] void fail(const char* operation, const std::string& message);

}  // namespace tapeloop
