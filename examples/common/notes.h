// SPDX-License-Identifier: MIT
// Checkpoints from the view of a command line: the checkpoint to resume from, its settings, and
// error messages that say what to do.
// It does not know which settings a program has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/save/checkpoint.h"

namespace common {

// Returns the note of this name. Throws FileError if there is none.
const std::string& note(const tapeloop::nn::Checkpoint& saved, const std::string& key,
                        const std::string& path);

// Reads the checkpoint that `option`, such as --resume, needs. If the file is absent, throws a
// FileError that says how to make one.
tapeloop::nn::Checkpoint read_of_run(const std::string& path, const char* option);
// Throws a FileError of one line if the checkpoint's note "program" is not `program`: another
// program wrote it.
void check_program(const tapeloop::nn::Checkpoint& saved, const std::string& program,
                   const std::string& path);
// nn::check_settings() for --resume: the error names that option. If the setting `data` differs,
// the error names only --data.
void check_resumed_settings(const tapeloop::nn::Checkpoint& saved,
                            const std::map<std::string, std::string>& settings,
                            const std::string& path, const std::string& data);
// For --resume. Throws Error if the run already made more updates than `wanted` (--updates) and
// validated none of them: then it has no best weights. `best_update` is History's.
void check_resumed_updates(std::int64_t done, std::int64_t wanted, std::int64_t best_update,
                           const std::string& path);

// The text of an error without the library function's name in front: users of a program know its
// options, not the library.
std::string without_name(const tapeloop::Error& error, std::string_view function);

}  // namespace common
