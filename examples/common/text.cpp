// SPDX-License-Identifier: MIT
// Byte-order marks, line ends and white space.
#include "examples/common/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "tapeloop/autograd/files/files.h"
#include "tapeloop/nn/look/markup.h"

namespace common {
namespace {

using tapeloop::FileError;
using tapeloop::nn::utf8_length;

constexpr char32_t kReplacement = 0xfffd;

void append_utf8(std::string& text, char32_t c) {
  const auto add = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return add(c);
  if (c < 0x800) return add(0xc0 | c >> 6), add(0x80 | (c & 0x3f));
  if (c < 0x10000) {
    return add(0xe0 | c >> 12), add(0x80 | (c >> 6 & 0x3f)), add(0x80 | (c & 0x3f));
  }
  add(0xf0 | c >> 18), add(0x80 | (c >> 12 & 0x3f)), add(0x80 | (c >> 6 & 0x3f));
  add(0x80 | (c & 0x3f));
}

// `bytes` must begin with the byte-order mark.
std::string from_utf16(std::string_view bytes, const std::string& name) {
  const std::size_t high = bytes[0] == '\xfe' ? 0 : 1;  // place of the higher byte of a unit
  const auto unit = [&](std::size_t at) {
    return static_cast<char32_t>(static_cast<unsigned char>(bytes[at + high]) << 8 |
                                 static_cast<unsigned char>(bytes[at + 1 - high]));
  };
  const auto damaged = [&](std::size_t at) {
    throw TextError(name, 0,
                    fmt::format("this is UTF-16 and damaged at byte {}; repair it, for example by "
                                "`iconv -c -f utf-16 -t utf-8`",
                                at + 1));
  };
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 2; at < bytes.size(); at += 2) {
    if (at + 1 == bytes.size()) damaged(at);
    char32_t c = unit(at);
    if (c >= 0xd800 && c < 0xe000) {  // half of a surrogate pair
      const char32_t low = c < 0xdc00 && at + 3 < bytes.size() ? unit(at + 2) : 0;
      if (low < 0xdc00 || low > 0xdfff) damaged(at);
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
      at += 2;
    }
    append_utf8(text, c);
  }
  return text;
}

std::int64_t line_of(std::string_view text, std::size_t offset) {
  return 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
}

// CR LF and CR become '\n'. In a text without CR and '\n', NEL, LS and PS become '\n' too.
void unify_line_ends(std::string& text) {
  if (text.find('\r') != std::string::npos) {
    std::size_t to = 0;
    for (std::size_t from = 0; from < text.size(); ++from) {
      char c = text[from];
      if (c == '\r') {
        if (from + 1 < text.size() && text[from + 1] == '\n') ++from;
        c = '\n';
      }
      text[to++] = c;
    }
    text.resize(to);
  }
  if (text.find('\n') != std::string::npos || first_invalid_utf8(text)) return;
  for (const std::string_view end : {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    std::size_t from = 0, to = 0;
    for (std::size_t found; (found = text.find(end, from)) != std::string::npos;) {
      std::copy(text.begin() + static_cast<std::ptrdiff_t>(from),
                text.begin() + static_cast<std::ptrdiff_t>(found),
                text.begin() + static_cast<std::ptrdiff_t>(to));
      to += found - from;
      text[to++] = '\n';
      from = found + end.size();
    }
    if (from > 0) text.erase(to, from - to);
  }
}

}  // namespace

TextError::TextError(const std::string& name, std::int64_t line, const std::string& problem)
    : FileError(line == 0 ? fmt::format("{}: {}", name, problem)
                          : fmt::format("{}, line {}: {}", name, line, problem)),
      line_(line),
      problem_(problem) {}

std::string decode_text(std::string bytes, const std::string& name, Encoding encoding) {
  const std::string_view all = bytes;
  if (all.starts_with(std::string_view("\xff\xfe\0\0", 4)) ||
      all.starts_with(std::string_view("\0\0\xfe\xff", 4))) {
    throw TextError(name, 0,
                    "this is UTF-32; convert it, for example by `iconv -f utf-32 -t utf-8`");
  }
  if (all.starts_with("\xff\xfe") || all.starts_with("\xfe\xff")) {
    try {
      bytes = from_utf16(bytes, name);
    } catch (const TextError&) {
      if (encoding == Encoding::unicode) throw;
      return bytes;  // binary data may begin like this
    }
  }
  if (encoding == Encoding::any && bytes.find('\0') != std::string::npos) return bytes;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (bytes.starts_with(kByteOrderMark)) bytes.erase(0, kByteOrderMark.size());
  unify_line_ends(bytes);
  bytes.erase(bytes.find_last_not_of('\x1a') + 1);
  if (encoding == Encoding::any) return bytes;
  if (const std::size_t nul = bytes.find('\0'); nul != std::string::npos) {
    throw TextError(name, line_of(bytes, nul),
                    "the line has a NUL byte; if the file is UTF-16, convert it by `iconv -f "
                    "utf-16le -t utf-8`; else remove the byte");
  }
  if (const auto bad = first_invalid_utf8(bytes)) {
    const std::size_t end = *bad == 0 ? std::string::npos : bytes.rfind('\n', *bad - 1);
    const std::size_t begin = end == std::string::npos ? 0 : end + 1;
    throw TextError(
        name, line_of(bytes, *bad),
        fmt::format("byte {} of the line (0x{:02x}) is not UTF-8; convert the file, for example by "
                    "`iconv -f latin1 -t utf-8`",
                    *bad - begin + 1, static_cast<unsigned char>(bytes[*bad])));
  }
  return bytes;
}

std::string read_text_file(const std::string& path, std::uint64_t most, Encoding encoding) {
  std::string text = decode_text(tapeloop::read_file(path, most), path, encoding);
  if (text.empty()) throw FileError(path + ": the file is empty; give a text to learn");
  return text;
}

std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return {};
}

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view one = text.substr(0, std::max<std::size_t>(1, length));
    const char32_t c = code_point(one);
    if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
      for (const char byte : one) {
        result += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
      }
    } else {
      result += one;
    }
    text.remove_prefix(one.size());
  }
  return result;
}

char32_t code_point(std::string_view character) {
  const auto lead = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return lead < 0x80 ? lead : kReplacement;
  char32_t c = lead & (0xffu >> (character.size() + 1));
  for (char byte : character.substr(1)) c = c << 6 | (static_cast<unsigned char>(byte) & 0x3fu);
  return c;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000 || c == 0xfeff;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text));
    if (!is_white_space(code_point(text.substr(0, length)))) break;
    text.remove_prefix(length);
  }
  while (!text.empty()) {
    std::size_t first = text.size() - 1;
    while (first > 0 && text.size() - first < 4 && (text[first] & '\xc0') == '\x80') --first;
    const std::string_view last = text.substr(first);
    if (utf8_length(last) != last.size() || !is_white_space(code_point(last))) break;
    text.remove_suffix(last.size());
  }
  return text;
}

std::string with_plain_spaces(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text));
    const std::string_view one = text.substr(0, length);
    if (one != "\n" && is_white_space(code_point(one))) {
      result += ' ';
    } else {
      result += one;
    }
    text.remove_prefix(length);
  }
  return result;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end != text.npos) text.remove_prefix(end + 1);
  }
  return parts;
}

bool read_count(std::string_view text, std::int64_t& number) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  number = value;
  return true;
}

}  // namespace common
