// SPDX-License-Identifier: MIT
#include "tests/messages.h"

#include <algorithm>

namespace tapeloop::test {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void check_contains(const std::string& text, const std::string& part) {
  INFO("looking for '" << part << "' in: " << text);
  CHECK(contains(text, part));
}

bool throws_with(const std::string& text, const std::function<void()>& callable) {
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
