// SPDX-License-Identifier: MIT
// The levels of a recurrence on the CPU. autograd/device/level_run.h describes the arguments.
#pragma once

#include "tapeloop/autograd/device/level_run.h"

namespace tapeloop::cpu {

template <class T>
void run_levels(const LevelForward& run);
template <class T>
void run_levels(const LevelBackward& run);

}  // namespace tapeloop::cpu
