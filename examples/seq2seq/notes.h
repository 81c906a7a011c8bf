// SPDX-License-Identifier: MIT
// Settings in the notes of a checkpoint, read back with messages that name the file. For the .cpp files of training.
#pragma once

#include <charconv>
#include <string>

#include "nn/checkpoint.h"

namespace seq2seq {

inline constexpr const char* kProgram = "seq2seq";

// The note of this name. Throws FileError where there is none.
const std::string& note(const tapeloop::nn::Checkpoint& saved, const std::string& key,
                        const std::string& path);
// Throws FileError where the checkpoint was written by another program, or for another task than `task`; an empty task fits
// all. Returns the checkpoint's task.
const std::string& check_task(const tapeloop::nn::Checkpoint& saved, const std::string& task,
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

}  // namespace seq2seq
