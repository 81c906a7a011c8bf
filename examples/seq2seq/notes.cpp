// SPDX-License-Identifier: MIT
// The messages of notes.h.
#include "examples/seq2seq/notes.h"

#include <fmt/format.h>

#include "autograd/error.h"

namespace seq2seq {

const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
                              const std::string& path) {
  const auto program = saved.notes.find("program");
  if (program == saved.notes.end() || program->second != kProgram) {
    throw tapeloop::FileError(
        fmt::format("{}: this checkpoint was not written by seq2seq; give one of its own: "
                    "best.safetensors in the folder of --out",
                    path));
  }
  const std::string& found = common::note(saved, "task", path);
  if (!task.empty() && found != task) {
    throw tapeloop::FileError(fmt::format(
        "{}: this checkpoint is of the task '{}', not '{}'; name that task, or give another file",
        path, found, task));
  }
  return found;
}

}  // namespace seq2seq
