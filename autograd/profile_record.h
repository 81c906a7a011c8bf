// SPDX-License-Identifier: MIT
// What a measuring tape notes while it records and plays back. Private to the files of the tape.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "autograd/profile.h"

namespace tapeloop::detail {

class Profile {
 public:
  Profile();
  std::int64_t now() const;  // nanoseconds since the tape began

  void recorded(const char* operation, const Shape& shape, std::int64_t bytes, bool in_backward);
  void played(std::size_t node, std::int64_t start);    // its backward function, until now
  void combined(std::size_t node, std::int64_t start);  // deferred gradients of its parameters
  void resume();  // after a backward pass: what follows is forward again
  ProfileReport report() const;

 private:
  struct Node {
    const char* operation;
    std::string scope;
    Shape shape;
    std::int64_t bytes;
    bool in_backward;
  };
  struct Span {
    ProfileEvent::Kind kind;
    std::size_t node;
    std::int64_t start;
    std::int64_t duration;
  };
  std::int64_t begin_;
  std::int64_t mark_ = 0;
  std::vector<Node> nodes_;  // as on the tape
  std::vector<Span> spans_;
};

}  // namespace tapeloop::detail
