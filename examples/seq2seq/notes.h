// SPDX-License-Identifier: MIT
// The program and the task of a checkpoint. For the .cpp files of training; common/notes.h handles
// the other settings.
#pragma once

#include <string>

#include "examples/common/notes.h"

namespace seq2seq {

inline constexpr const char* kProgram = "seq2seq";

// Throws FileError if another program wrote the checkpoint, or if it is of another task than
// `task`; an empty `task` accepts all. Returns the checkpoint's task.
const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                              const std::string& path);

}  // namespace seq2seq
