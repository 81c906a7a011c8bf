// SPDX-License-Identifier: MIT
// Escaping, and the rules of UTF-8 (RFC 3629).
#include "tapeloop/nn/look/markup.h"

#include <fmt/format.h>

#include <algorithm>

namespace tapeloop::nn {

std::size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool outside = (lead == 0xED && second > 0x9F) || (lead == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

std::string escape_markup(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char first = text.front();
    const bool control =
        (static_cast<unsigned char>(first) < 0x20 && first != '\n' && first != '\t') ||
        first == 0x7F;
    const std::string_view character = text.substr(0, length);
    // XML does not allow U+FFFE and U+FFFF.
    const bool noncharacter = character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF";
    if (length == 0 || control || noncharacter) {
      result += "\xEF\xBF\xBD";
    } else if (first == '&') {
      result += "&amp;";
    } else if (first == '<') {
      result += "&lt;";
    } else if (first == '>') {
      result += "&gt;";
    } else if (first == '"') {
      result += "&quot;";
    } else if (first == '\'') {
      result += "&#39;";
    } else {
      result += character;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

static std::string shown(std::string_view symbol) {
  std::string result;
  while (!symbol.empty()) {
    const std::size_t length = utf8_length(symbol);
    if (length > 0) {
      result += symbol.substr(0, length);
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(symbol.front()));
    }
    symbol.remove_prefix(std::max<std::size_t>(1, length));
  }
  return result;
}

std::vector<TextCell> text_cells(std::span<const std::string> symbols) {
  std::vector<TextCell> cells;
  for (std::size_t i = 0; i < symbols.size(); i += cells.back().steps) {
    std::string character = symbols[i];
    std::size_t steps = 1;
    if (character.size() == 1 && utf8_length(character) == 0) {
      std::string longer = character;
      for (std::size_t k = i + 1; k < symbols.size() && k < i + 4 && symbols[k].size() == 1; ++k) {
        longer += symbols[k];
        if (utf8_length(longer) != longer.size()) continue;
        character = longer;
        steps = k - i + 1;
        break;
      }
    }
    cells.push_back({shown(character), i, steps});
  }
  return cells;
}

}  // namespace tapeloop::nn
