// SPDX-License-Identifier: MIT
// Classes of code points, by ranges that the examples' languages need; a library makes normal
// forms.
#include "examples/seq2seq/data/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace seq2seq {
namespace {

struct Range {
  char32_t first, last;
};

template <std::size_t N>
bool in_ranges(char32_t c, const Range (&ranges)[N]) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

constexpr Range kWide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},  {0x3041, 0xa4cf},
                           {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe4f},
                           {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                           {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
constexpr Range kCombining[] = {
    {0x300, 0x36f}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};
constexpr Range kMarks[] = {{0x80, 0xa9},     {0xab, 0xb4},    {0xb6, 0xb9},     {0xbb, 0xbf},
                            {0xd7, 0xd7},     {0xf7, 0xf7},    {0x2010, 0x2027}, {0x2030, 0x205e},
                            {0x20a0, 0x20c0}, {0x2190, 0x2bff}};

using common::code_point;

enum class Kind { space, digit, letter, apostrophe, mark, wide };

Kind kind_of(char32_t c) {
  if (common::is_white_space(c)) return Kind::space;
  if (c >= '0' && c <= '9') return Kind::digit;
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Kind::letter;
  if (c == '\'' || c == 0x2019) return Kind::apostrophe;
  if (c < 0x80 || in_ranges(c, kMarks)) return Kind::mark;
  return in_ranges(c, kWide) ? Kind::wide : Kind::letter;
}

// True if the middle character belongs to the word or number around it.
bool continues(Kind before, char32_t c, Kind kind, Kind after) {
  const auto in_word = [](Kind k) { return k == Kind::letter || k == Kind::digit; };
  if (!in_word(before)) return false;
  if (in_word(kind)) return true;
  if (kind == Kind::apostrophe) return in_word(after);
  return before == Kind::digit && after == Kind::digit && (c == '.' || c == ',' || c == ':');
}

constexpr std::string_view kClosing = ".,!?;:)]}%…”";
constexpr std::string_view kOpening = "([{“$€£";

// True if a space must, or should, stand between two words.
bool spaced(const std::string& left, const std::string& right) {
  const std::vector<std::string> a = characters(left), b = characters(right);
  if (a.empty() || b.empty()) return false;
  const char32_t last = code_point(a.back()), first = code_point(b.front());
  if (in_ranges(last, kWide) || in_ranges(first, kWide)) return false;
  // Without spaces "3 . 5" would become one number.
  const bool number = kind_of(last) == Kind::digit || kind_of(first) == Kind::digit;
  if (number && (right == ":" || left == ":")) return true;
  return kClosing.find(right) == std::string_view::npos &&
         kOpening.find(left) == std::string_view::npos;
}

}  // namespace

const char* name_of(Unit unit) { return unit == Unit::word ? "word" : "character"; }

Unit unit_named(const std::string& name) { return name == "word" ? Unit::word : Unit::character; }

std::string composed(std::string_view text) {
  const auto ascii = [](char byte) { return static_cast<unsigned char>(byte) < 0x80; };
  if (std::all_of(text.begin(), text.end(), ascii)) return std::string(text);
  utf8proc_uint8_t* result = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  if (length < 0) return std::string(text);
  return {reinterpret_cast<const char*>(result), static_cast<std::size_t>(length)};
}

std::vector<std::string> words(std::string_view text) {
  const std::vector<std::string> all = characters(text);
  std::vector<char32_t> points;
  std::vector<Kind> kinds;
  for (const std::string& character : all) {
    points.push_back(code_point(character));
    kinds.push_back(kind_of(points.back()));
  }
  std::vector<std::string> result;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (kinds[i] == Kind::space) continue;
    const Kind before = i > 0 ? kinds[i - 1] : Kind::space;
    const Kind after = i + 1 < all.size() ? kinds[i + 1] : Kind::space;
    // An apostrophe or point inside a word or number joins the letter or digit after it to that
    // word.
    const bool joined = i > 1 && (kinds[i] == Kind::letter || kinds[i] == Kind::digit) &&
                        continues(kinds[i - 2], points[i - 1], before, kinds[i]);
    if (joined || continues(before, points[i], kinds[i], after)) {
      result.back() += all[i];
    } else {
      result.push_back(all[i]);
    }
  }
  return result;
}

std::vector<std::string> units_of(std::string_view text, Unit unit) {
  return unit == Unit::character ? characters(text) : words(text);
}

std::string join(const std::vector<std::string>& units, Unit unit) {
  std::string text;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (unit == Unit::word && i > 0 && spaced(units[i - 1], units[i])) text += ' ';
    text += units[i];
  }
  return text;
}

int display_width(std::string_view text) {
  int width = 0;
  for (const std::string& character : characters(text)) {
    const char32_t c = code_point(character);
    width += in_ranges(c, kCombining) ? 0 : in_ranges(c, kWide) ? 2 : 1;
  }
  return width;
}

}  // namespace seq2seq
