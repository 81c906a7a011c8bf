// SPDX-License-Identifier: MIT
// Text in SVG and HTML: escaping, bytes that are no UTF-8, and characters read byte by byte. Knows no tensor.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tapeloop::nn {

// & < > and quotes as entities; control characters, U+FFFE, U+FFFF and what is no UTF-8 as U+FFFD.
std::string escape_markup(std::string_view text);

// The length of the UTF-8 character that text begins with; 0 where it begins with none (a stray or cut-off byte, an
// overlong form, a surrogate).
std::size_t utf8_length(std::string_view text);

// A piece of a text that was read in steps: one step's symbol, or the bytes of one character.
struct TextCell {
  std::string text;  // UTF-8; bytes that are none as \xNN
  std::size_t first, steps;
};
std::vector<TextCell> text_cells(std::span<const std::string> symbols);

}  // namespace tapeloop::nn
