// SPDX-License-Identifier: MIT
// The calendar, the names of months and days, and the formats.
#include "examples/seq2seq/tasks/dates.h"

#include <fmt/format.h>

#include <array>

#include "examples/common/hash.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {
namespace {

using Names = std::array<std::string_view, 12>;
using Days = std::array<std::string_view, 7>;

struct Language {
  std::string_view code;
  Names months, short_months;
  Days days, short_days;
};

constexpr std::array<Language, 5> kLanguages = {{
    {"en",
     {"January", "February", "March", "April", "May", "June", "July", "August", "September",
      "October", "November", "December"},
     {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
     {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"},
     {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}},
    {"de",
     {"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
      "November", "Dezember"},
     {"Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.",
      "Dez."},
     {"Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"},
     {"Mo.", "Di.", "Mi.", "Do.", "Fr.", "Sa.", "So."}},
    {"fr",
     {"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre",
      "octobre", "novembre", "décembre"},
     {"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
      "déc."},
     {"lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"},
     {"lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."}},
    {"es",
     {"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre",
      "octubre", "noviembre", "diciembre"},
     {"ene.", "feb.", "mar.", "abr.", "may.", "jun.", "jul.", "ago.", "sept.", "oct.", "nov.",
      "dic."},
     {"lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"},
     {"lun.", "mar.", "mié.", "jue.", "vie.", "sáb.", "dom."}},
    {"zh",
     {"一月", "二月", "三月", "四月", "五月", "六月", "七月", "八月", "九月", "十月", "十一月",
      "十二月"},
     {"1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"},
     {"星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"},
     {"周一", "周二", "周三", "周四", "周五", "周六", "周日"}},
}};

constexpr std::array kFormats = {
    DateFormat{"iso", "any", "%Y-%M-%D"},
    DateFormat{"year/month/day", "any", "%Y/%m/%d"},
    DateFormat{"month/day/year", "any", "%m/%d/%Y"},
    DateFormat{"month/day/yy", "any", "%M/%D/%y"},
    DateFormat{"day.month.year", "any", "%D.%M.%Y"},
    DateFormat{"d.m.year", "any", "%d.%m.%Y"},
    DateFormat{"day.month.yy", "any", "%D.%M.%y"},
    DateFormat{"day-month-year", "any", "%d-%m-%Y"},
    DateFormat{"eight digits", "any", "%Y%M%D"},
    DateFormat{"en month day, year", "en", "%B %d, %Y"},
    DateFormat{"en month ordinal, year", "en", "%B %o, %Y"},
    DateFormat{"en day month year", "en", "%d %B %Y"},
    DateFormat{"en short", "en", "%D %b %Y"},
    DateFormat{"en short month day year", "en", "%b %d %Y"},
    DateFormat{"en short yy", "en", "%d %b '%y"},
    DateFormat{"en the ordinal of month", "en", "the %o of %B %Y"},
    DateFormat{"en weekday", "en", "%A, %B %d, %Y"},
    DateFormat{"en weekday day month", "en", "%A %d %B %Y"},
    DateFormat{"en short weekday", "en", "%a %b %d %Y"},
    DateFormat{"de day. month year", "de", "%d. %B %Y"},
    DateFormat{"de short", "de", "%d. %b %Y"},
    DateFormat{"de weekday", "de", "%A, %d. %B %Y"},
    DateFormat{"de weekday, den", "de", "%A, den %d. %B %Y"},
    DateFormat{"de short weekday", "de", "%a %D.%M.%Y"},
    DateFormat{"fr day month year", "fr", "%d %B %Y"},
    DateFormat{"fr le day month year", "fr", "le %d %B %Y"},
    DateFormat{"fr short", "fr", "%d %b %Y"},
    DateFormat{"fr weekday", "fr", "%A %d %B %Y"},
    DateFormat{"es day de month de year", "es", "%d de %B de %Y"},
    DateFormat{"es short", "es", "%d %b %Y"},
    DateFormat{"es weekday", "es", "%A, %d de %B de %Y"},
    DateFormat{"es del", "es", "%d de %B del %Y"},
    DateFormat{"zh numbers", "zh", "%Y年%m月%d日"},
    DateFormat{"zh weekday", "zh", "%Y年%m月%d日%A"},
    DateFormat{"zh short weekday", "zh", "%Y年%m月%d日（%a）"},
    DateFormat{"zh yy", "zh", "%y年%m月%d日"},
    DateFormat{"zh numerals", "zh", "%1年%2月%3日"},
    DateFormat{"zh hao", "zh", "%Y年%m月%d号"},
};

constexpr std::array<std::string_view, 10> kChineseDigits = {"〇", "一", "二", "三", "四",
                                                             "五", "六", "七", "八", "九"};

const Language& language_of(std::string_view code) {
  for (const Language& language : kLanguages) {
    if (language.code == code) return language;
  }
  return kLanguages[0];
}

// Writes 1 to 31: 十二 is 12, 三十一 is 31.
std::string chinese_number(int n) {
  std::string text;
  if (n >= 20) text += kChineseDigits[static_cast<std::size_t>(n / 10)];
  if (n >= 10) text += "十";
  if (n % 10 != 0) text += kChineseDigits[static_cast<std::size_t>(n % 10)];
  return text;
}

std::string chinese_year(int year) {
  std::string text;
  for (int place = 1000; place > 0; place /= 10) {
    text += kChineseDigits[static_cast<std::size_t>(year / place % 10)];
  }
  return text;
}

std::string_view ordinal_ending(int day) {
  if (day / 10 == 1) return "th";
  switch (day % 10) {
    case 1: return "st";
    case 2: return "nd";
    case 3: return "rd";
    default: return "th";
  }
}

std::string field(char code, const Date& date, const Language& language) {
  const auto month = static_cast<std::size_t>(date.month - 1);
  const auto day = static_cast<std::size_t>(day_of_week(date));
  switch (code) {
    case 'd': return fmt::format("{}", date.day);
    case 'D': return fmt::format("{:02}", date.day);
    case 'o': return fmt::format("{}{}", date.day, ordinal_ending(date.day));
    case 'm': return fmt::format("{}", date.month);
    case 'M': return fmt::format("{:02}", date.month);
    case 'b': return std::string(language.short_months[month]);
    case 'B': return std::string(language.months[month]);
    case 'a': return std::string(language.short_days[day]);
    case 'A': return std::string(language.days[day]);
    case 'y': return fmt::format("{:02}", date.year % 100);
    case 'Y': return fmt::format("{}", date.year);
    case '1': return chinese_year(date.year);
    case '2': return chinese_number(date.month);
    case '3': return chinese_number(date.day);
    default:
      tapeloop::fail("dates", fmt::format("a format has the unknown field %{}; the fields are "
                                          "listed at DateFormat",
                                          code));
  }
}

// Knows ASCII letters and the two-byte letters of Latin-1: the names above have no others.
std::string with_case(std::string text, bool upper) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const char first = upper ? 'a' : 'A', last = upper ? 'z' : 'Z';
    const unsigned char accented = upper ? 0xa0 : 0x80;
    const bool after_c3 = i > 0 && static_cast<unsigned char>(text[i - 1]) == 0xc3;
    const bool letter = (text[i] >= first && text[i] <= last) ||
                        (after_c3 && byte >= accented && byte < accented + 0x1f);
    if (letter) text[i] = static_cast<char>(byte ^ 0x20u);
  }
  return text;
}

}  // namespace

bool is_leap_year(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int days_in_month(int year, int month) {
  if (month == 2) return is_leap_year(year) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Tomohiko Sakamoto's rule, 1992, with Monday as 0.
int day_of_week(const Date& date) {
  constexpr std::array<int, 12> kOffsets = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
  const int year = date.month < 3 ? date.year - 1 : date.year;
  const int offset = kOffsets[static_cast<std::size_t>(date.month - 1)];
  return (year + year / 4 - year / 100 + year / 400 + offset + date.day + 6) % 7;
}

std::string iso(const Date& date) {
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}

std::span<const DateFormat> date_formats() { return kFormats; }

std::string write_date(const Date& date, const DateFormat& format) {
  const Language& language = language_of(format.language);
  std::string text;
  for (std::size_t i = 0; i < format.pattern.size(); ++i) {
    if (format.pattern[i] == '%' && i + 1 < format.pattern.size()) {
      text += field(format.pattern[++i], date, language);
    } else {
      text += format.pattern[i];
    }
  }
  return text;
}

Part part_of_date(std::string_view iso_date) {
  std::uint64_t hash = common::fnv1a(iso_date);
  // Dates that differ only in their last digits have hashes that differ only in few bits: mix them
  // before the division.
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdu;
  hash ^= hash >> 33;
  const std::uint64_t share = hash % 20;
  return share < 2 ? Part::test : share == 2 ? Part::validation : Part::train;
}

DateExample random_date(Part part, tapeloop::Random& random) {
  Date date;
  std::string standard;
  do {
    date.year = kFirstYear + static_cast<int>(random.below(kLastYear - kFirstYear + 1));
    date.month = 1 + static_cast<int>(random.below(12));
    date.day = 1 + static_cast<int>(random.below(
                       static_cast<std::uint64_t>(days_in_month(date.year, date.month))));
    standard = iso(date);
  } while (part_of_date(standard) != part);
  const DateFormat& format = kFormats[random.below(kFormats.size())];
  std::string text = write_date(date, format);
  const std::uint64_t letters = random.below(3);
  if (letters > 0) text = with_case(std::move(text), letters == 1);
  return {{std::move(text), std::move(standard)}, &format};
}

std::vector<DateExample> random_dates(std::int64_t count, Part part, tapeloop::Random& random) {
  std::vector<DateExample> examples;
  examples.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) examples.push_back(random_date(part, random));
  return examples;
}

}  // namespace seq2seq
