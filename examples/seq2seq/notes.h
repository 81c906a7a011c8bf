// SPDX-License-Identifier: MIT
// Which program and task a checkpoint is of. For the .cpp files of training; the other settings are common/notes.h's.
#pragma once

#include <string>

#include "examples/common/notes.h"

namespace seq2seq {

inline constexpr const char* kProgram = "seq2seq";

// Throws FileError where the checkpoint was written by another program, or for another task than `task`; an empty task fits
// all. Returns the checkpoint's task.
const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                              const std::string& path);

}  // namespace seq2seq
