// SPDX-License-Identifier: MIT
// The messages of notes.h.
#include "examples/seq2seq/notes.h"

#include <fmt/format.h>

#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                              const std::string& path) {
  common::check_program(saved, kProgram, path);
  const std::string& found = common::note(saved, "task", path);
  if (!task.empty() && found != task) {
    throw tapeloop::FileError(
        fmt::format("{}: this checkpoint is one of the task '{}', not '{}'; name that task, or "
                    "give another checkpoint",
                    path, found, task));
  }
  return found;
}

}  // namespace seq2seq
