// SPDX-License-Identifier: MIT
// The messages of errors, for tests of any part: what was thrown, and what its text contains.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <exception>
#include <string>

namespace tapeloop::test {

inline constexpr const char* kNothingThrown = "nothing was thrown";

// The message of the E that `callable` throws, or kNothingThrown. Other exceptions pass through.
template <class E = std::exception, class F>
std::string message_of(F&& callable) {
  try {
    callable();
  } catch (const E& error) {
    return error.what();
  }
  return kNothingThrown;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
// Fails the test if `text` does not contain `part`.
inline void check_contains(const std::string& text, const std::string& part) {
  INFO("looking for '" << part << "' in: " << text);
  CHECK(contains(text, part));
}

// True if `callable` throws an error whose text contains every part of `text`. Bars separate parts:
// "matmul|[2, 3]".
template <class F>
bool throws_with(const std::string& text, F&& callable) {
  const std::string message = message_of(callable);
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t stop = std::min(text.find('|', start), text.size());
    if (!contains(message, text.substr(start, stop - start))) {
      FAIL_CHECK("expected an error with \"" << text << "\", got: " << message);
      return false;
    }
    start = stop + 1;
  }
  return message != kNothingThrown;
}

}  // namespace tapeloop::test
