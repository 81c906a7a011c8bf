// SPDX-License-Identifier: MIT
// gpu_micro: cycles of the operations that a persistent recurrent kernel repeats at every time
// step.
//   gpu_micro [--quick]    --quick: few steps, to see that it works
#include <cstdio>
#include <cstring>

#include "bench/gpu/micro.h"

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    std::printf("gpu_micro: got %s, expected --quick or nothing\n", argv[1]);
    return 2;
  }
  return bench::run_micro(quick);
}
