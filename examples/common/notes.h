// SPDX-License-Identifier: MIT
// Checkpoints as a program of options sees them: the one to go on from, its settings, and messages that say what to do.
// What the settings of a program are is its own affair.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/save/checkpoint.h"

namespace common {

// The note of this name. Throws FileError where there is none.
const std::string& note(const tapeloop::nn::Checkpoint& saved, const std::string& key,
                        const std::string& path);

namespace detail {
[[noreturn]] void bad_note(const std::string& key, const std::string& text,
                           const std::string& path);
}

// The note as a number that is not negative. Throws FileError.
template <class T>
T number_note(const tapeloop::nn::Checkpoint& saved, const std::string& key,
              const std::string& path) {
  const std::string& text = note(saved, key, path);
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || !(value >= 0)) {
    detail::bad_note(key, text, path);
  }
  return value;
}

// The checkpoint that `option`, as --resume, is about. Throws FileError that says how to get one where there is no such file.
tapeloop::nn::Checkpoint read_of_run(const std::string& path, const char* option);
// Throws FileError, in a line, where the checkpoint's note "program" is not `program`: another one wrote it.
void check_program(const tapeloop::nn::Checkpoint& saved, const std::string& program,
                   const std::string& path);
// nn::check_settings() for --resume: the error speaks of that option, and of --data alone where the setting `data` is another.
void check_resumed_settings(const tapeloop::nn::Checkpoint& saved,
                            const std::map<std::string, std::string>& settings,
                            const std::string& path, const std::string& data);
// For --resume of a run that is measured by its best validation: throws Error where more updates are done than `wanted`, by
// --updates, and none was validated, so that there are no best weights. `best_update` is History's.
void check_resumed_updates(std::int64_t done, std::int64_t wanted, std::int64_t best_update,
                           const std::string& path);

// What an error says, without the name of the library's function in front: who uses a program knows its options.
std::string without_name(const tapeloop::Error& error, std::string_view function);

}  // namespace common
