// SPDX-License-Identifier: MIT
// Throwing of errors, out of line to keep call sites small.
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

void fail(const char* operation, const std::string& message) {
  throw Error(std::string(operation).append(": ").append(message));
}

}  // namespace tapeloop
