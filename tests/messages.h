// SPDX-License-Identifier: MIT
// The messages of errors, for tests of any part: what was thrown, and what its text contains.
// Functions take std::function, so that they are compiled once, and not for each lambda of a test.
#pragma once

#include <doctest/doctest.h>

#include <exception>
#include <functional>
#include <string>

namespace tapeloop::test {

inline constexpr const char* kNothingThrown = "nothing was thrown";

// The message of the E that `callable` throws, or kNothingThrown. Other exceptions pass through.
template <class E = std::exception>
std::string message_of(const std::function<void()>& callable) {
  try {
    callable();
  } catch (const E& error) {
    return error.what();
  }
  return kNothingThrown;
}

bool contains(const std::string& text, const std::string& part);
// Fails the test if `text` does not contain `part`.
void check_contains(const std::string& text, const std::string& part);

// True if `callable` throws an error whose text contains every part of `text`. Bars separate parts:
// "matmul|[2, 3]".
bool throws_with(const std::string& text, const std::function<void()>& callable);

}  // namespace tapeloop::test
