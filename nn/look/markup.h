// SPDX-License-Identifier: MIT
// Text in SVG and HTML: escaping, bytes that are not UTF-8, and characters read byte
// by byte. Knows no tensor.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::nn {

// Replaces & < > and quotes by entities; control characters, U+FFFE, U+FFFF
// and invalid UTF-8 by U+FFFD.
std::string escape_markup(std::string_view text);

// The length of the UTF-8 character at the start of text; 0 if there is none (a stray or cut-off
// byte, an overlong form, a surrogate).
std::size_t utf8_length(std::string_view text);

// A piece of a text that was read in steps: one step's symbol, or the bytes of one character.
struct TextCell {
  std::string text;  // UTF-8; invalid bytes as \xNN
  std::size_t first, steps;
};
std::vector<TextCell> text_cells(std::span<const std::string> symbols);

}  // namespace tapeloop::nn
