// SPDX-License-Identifier: MIT
// What gpu_micro measures (micro.cu), for its main function.
#pragma once

namespace bench {

// Prints one line for each measurement. `quick`: few steps, to see that it works. Returns the exit
// code: 0, 1 after an error of CUDA, 77 if there is no GPU.
int run_micro(bool quick);

}  // namespace bench
