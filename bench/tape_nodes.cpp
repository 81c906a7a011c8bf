// SPDX-License-Identifier: MIT
// tape_nodes NODES PASSES [untaped]: records NODES tiny additions and runs them backward, PASSES
// times; `untaped` makes only the additions. Prints and measures nothing: bench/callgrind.sh counts
// its instructions.
#include "bench/tape_nodes.h"

#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>

static bool read_count(const char* text, std::int64_t& count) {
  const char* end = text + std::strlen(text);
  auto [stop, error] = std::from_chars(text, end, count);
  return error == std::errc() && stop == end && count >= 1 && count <= 1'000'000;
}

int main(int argc, char** argv) {
  std::int64_t nodes = 0, passes = 0;
  const bool untaped = argc == 4 && std::strcmp(argv[3], "untaped") == 0;
  if (argc != (untaped ? 4 : 3) || !read_count(argv[1], nodes) || !read_count(argv[2], passes)) {
    std::fprintf(stderr, "usage: tape_nodes NODES PASSES [untaped], counts from 1 to 1000000\n");
    return 2;
  }
  try {
    bench::NodeChain chain;
    for (std::int64_t i = 0; i < passes; ++i) {
      if (untaped) {
        chain.untaped(nodes);
      } else {
        chain.pass(nodes);
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tape_nodes: %s\n", error.what());
    return 1;
  }
  return 0;
}
