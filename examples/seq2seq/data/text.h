// SPDX-License-Identifier: MIT
// UTF-8 text: cut into characters or words and joined again; its display width. It does not change
// upper and lower case.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "examples/common/text.h"
#include "tapeloop/nn/decode/metrics.h"

namespace seq2seq {

// The units of a sentence for a model.
enum class Unit { character, word };
const char* name_of(Unit unit);
Unit unit_named(const std::string& name);

// The text in Unicode's normal form C: "e" with a combining acute becomes the one character "é", as
// keyboards write it. Text that is not UTF-8 stays unchanged.
std::string composed(std::string_view text);

using common::first_invalid_utf8;

// Code points, each as its bytes; a byte that is not UTF-8 is a unit by itself.
using tapeloop::nn::characters;

// Words, numbers and marks: "It's 3.50, 你好!" is [It's] [3.50] [,] [你] [好] [!].
//   a word    letters and digits, and an apostrophe between two of them
//   a number  also with a point, comma or colon between two digits
//   alone     every other mark, and each character of Chinese, Japanese or Korean
// White space only separates.
std::vector<std::string> words(std::string_view text);

std::vector<std::string> units_of(std::string_view text, Unit unit);

// The text of units. Puts spaces between words, but not beside wide characters, before a closing
// mark or after an opening mark, so that cutting the result gives the same units again.
std::string join(const std::vector<std::string>& units, Unit unit);

// Columns of a text in a font of fixed width: 2 for Chinese, Japanese and Korean, 0 for a character
// that combines with the one before it, else 1.
int display_width(std::string_view text);

}  // namespace seq2seq
