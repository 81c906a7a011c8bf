// SPDX-License-Identifier: MIT
// Every format that the programs read, as a function of any bytes. libFuzzer calls these functions (entry.cpp.in), and
// so does fuzz_test.cpp, with the seeds, damaged seeds and the inputs that once failed.
#pragma once

#include <array>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::fuzz {

// A reader broke a promise of its header. An input that causes it belongs in tests/fuzz/failed/.
class Broken : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Each reads the bytes as its format. What is read must be written and read again without a change; what is refused must
// be refused by the documented exception, with a message that says where, and must change nothing. Throws Broken
// otherwise. Nothing is written outside scratch_file().
void try_safetensors(std::string_view bytes);
void try_checkpoint(std::string_view bytes);  // a header of JSON, a zero byte, the data
void try_midi(std::string_view bytes);
void try_pairs(std::string_view bytes);
void try_text(std::string_view bytes);
void try_charts(std::string_view bytes);
void try_arguments(std::string_view bytes);  // a program and its arguments, separated by zero bytes

// Inputs that must be read without an error.
std::vector<std::string> safetensors_seeds();
std::vector<std::string> checkpoint_seeds();
std::vector<std::string> midi_seeds();
std::vector<std::string> pairs_seeds();
std::vector<std::string> text_seeds();
std::vector<std::string> charts_seeds();
std::vector<std::string> arguments_seeds();

// --- for the targets ---

void expect(bool holds, std::string_view promise);

// The message names the place, such as a file, is valid UTF-8 without control characters, and is not the file itself.
void expect_message(const std::exception& error, std::string_view place);

// Control characters and all. Whether each of the bytes is part of a valid UTF-8 character.
bool is_utf8(std::string_view text);

// A path in a temporary folder of this process, which is removed at its end.
std::string scratch_file(std::string_view name);
void put(const std::string& path, std::string_view bytes);
std::string bytes_of(const std::string& path);

}  // namespace tapeloop::fuzz
