// SPDX-License-Identifier: MIT
// Text as editors of any system write it, made into UTF-8 with '\n' at the ends of lines.
// It knows no format: columns, chords and vocabularies are the callers'.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "autograd/error.h"

namespace common {

// A text that cannot be read as a whole. what() is "NAME, line LINE: PROBLEM", or "NAME: PROBLEM" if
// the whole text is meant.
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
  any,      // also other encodings, whose bytes stay as they are
};

// The text in UTF-8, with '\n' for each line end:
//   byte-order mark  left out; UTF-16 is converted, UTF-32 refused
//   line ends        CR LF, CR and LF; also NEL, LS and PS, if the text has none of the others
//   Ctrl-Z           left out at the end of the text (DOS ended texts so)
// A text with a NUL byte or of damaged UTF-16 is refused, or stays byte for byte as it is (Encoding::any).
// Throws TextError for UTF-32, and (only Encoding::unicode) for damaged UTF-16, a NUL byte and the first
// byte that is not UTF-8. Linear time.
std::string decode_text(std::string bytes, const std::string& name,
                        Encoding encoding = Encoding::unicode);

// The same from a regular file of at most `most` bytes. Throws FileError that names the file: it
// cannot be read, is longer than `most`, or holds nothing.
std::string read_text_file(const std::string& path, std::uint64_t most,
                           Encoding encoding = Encoding::unicode);

// Offset of the first byte that is not UTF-8 (RFC 3629: no overlong form, no surrogate, nothing
// past U+10FFFF); nothing if the whole text is valid.
std::optional<std::size_t> first_invalid_utf8(std::string_view text);

// For a message: control characters and bytes that are not UTF-8 become \xNN, so that a terminal shows
// the text and obeys nothing in it.
std::string printable(std::string_view text);

// The code point of one UTF-8 character; U+FFFD for a byte that is not UTF-8.
char32_t code_point(std::string_view character);

// Unicode's white space, and the marks without width that editors leave: U+200B and U+FEFF.
bool is_white_space(char32_t c);

// The text without white space at either end.
std::string_view trimmed(std::string_view text);

// The text with a space for each character of white space other than '\n'.
std::string with_plain_spaces(std::string_view text);

}  // namespace common
