// SPDX-License-Identifier: MIT
// One function for each format that the programs read; it accepts any bytes. libFuzzer calls these
// functions (entry.cpp.in). fuzz_test.cpp calls them too, with the seeds, with damaged seeds and
// with the inputs that once failed.
#pragma once

#include <array>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::fuzz {

// Thrown if a reader broke a promise of its header. Keep an input that causes it in
// tests/fuzz/failed/.
class Broken : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Each function reads the bytes as its format. An accepted input must be written and read again
// unchanged. A refused input must change nothing and must throw the documented exception, with a
// message that names the place. Throws Broken otherwise. Writes only to scratch_file().
void try_safetensors(std::string_view bytes);
void try_checkpoint(std::string_view bytes);  // a header of JSON, a zero byte, the data
void try_midi(std::string_view bytes);
void try_pairs(std::string_view bytes);
void try_text(std::string_view bytes);
void try_charts(std::string_view bytes);
void try_arguments(std::string_view bytes);  // a program and its arguments, separated by zero bytes
void try_images(std::string_view bytes);

// Inputs that must be read without an error.
std::vector<std::string> safetensors_seeds();
std::vector<std::string> checkpoint_seeds();
std::vector<std::string> midi_seeds();
std::vector<std::string> pairs_seeds();
std::vector<std::string> text_seeds();
std::vector<std::string> charts_seeds();
std::vector<std::string> arguments_seeds();
std::vector<std::string> images_seeds();

// --- for the targets ---

void expect(bool holds, std::string_view promise);

// Checks that the message names the place (a file, for example), is valid UTF-8 without control
// characters, and is not long.
void expect_message(const std::exception& error, std::string_view place);

// True if each byte is part of a valid UTF-8 character. Control characters are allowed.
bool is_utf8(std::string_view text);

// A path in a temporary folder of this process. The folder is removed at the end of the process.
std::string scratch_file(std::string_view name);
void put(const std::string& path, std::string_view bytes);
std::string bytes_of(const std::string& path);

}  // namespace tapeloop::fuzz
