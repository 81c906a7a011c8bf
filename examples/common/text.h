// SPDX-License-Identifier: MIT
// Turns text from editors of any system into UTF-8 with '\n' at the ends of lines. Knows no format:
// columns, chords and vocabularies are the task of the callers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"

namespace common {

// Thrown for a text that cannot be decoded. what() is "NAME, line LINE: PROBLEM", or "NAME:
// PROBLEM" if the problem concerns the whole text.
class TextError : public tapeloop::FileError {
 public:
  TextError(const std::string& name, std::int64_t line, const std::string& problem);
  std::int64_t line() const { return line_; }  // from 1; 0: the whole text
  const std::string& problem() const { return problem_; }

 private:
  std::int64_t line_;
  std::string problem_;
};

enum class Encoding {
  unicode,  // UTF-8, or UTF-16 with a byte-order mark; every other encoding is refused
  any,      // other encodings too; their bytes stay unchanged
};

// Decodes the text to UTF-8, with '\n' for each line end:
//   byte-order mark  left out; UTF-16 is converted, UTF-32 refused
//   line ends        CR LF, CR and LF; also NEL, LS and PS, if the text has none of the others
//   Ctrl-Z           left out at the end of the text (old DOS texts end so)
//   NUL byte         refused; with Encoding::any the whole text stays unchanged
//   damaged UTF-16   the same
// Throws TextError for UTF-32 and, with Encoding::unicode only, for damaged UTF-16, for a NUL byte
// and for the first byte that is not UTF-8. Linear time.
std::string decode_text(std::string bytes, const std::string& name,
                        Encoding encoding = Encoding::unicode);

// The same for a regular file of at most `most` bytes. Throws FileError that names the file if the
// file cannot be read, is longer than `most`, or is empty.
std::string read_text_file(const std::string& path, std::uint64_t most,
                           Encoding encoding = Encoding::unicode);

// Offset of the first byte that is not UTF-8 (RFC 3629: no overlong form, no surrogate, nothing
// past U+10FFFF); nothing if the whole text is valid.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// For a message: control characters and bytes that are not UTF-8 become \xNN, so that they cannot
// control a terminal.
std::string printable(std::string_view text);

// The code point of one UTF-8 character; U+FFFD for a byte that is not UTF-8.
char32_t code_point(std::string_view character);

// Unicode's white space, and the marks without width that editors leave: U+200B and U+FEFF.
bool is_white_space(char32_t c);

// The text without white space at either end.
std::string_view trimmed(std::string_view text);

// The parts of a text between separators; one more than there are separators.
std::vector<std::string_view> split(std::string_view text, char separator);

// The whole number that a text is. Returns false, and changes nothing, if it is none.
bool read_count(std::string_view text, std::int64_t& number);

// Replaces each character of white space by a space, except '\n'.
std::string with_plain_spaces(std::string_view text);

}  // namespace common
