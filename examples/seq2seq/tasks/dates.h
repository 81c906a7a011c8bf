// SPDX-License-Identifier: MIT
// Dates as people write them, in five languages, and as ISO 8601. Rules make any number of them.
// Knows no model. It writes dates and reads none.
//
// A model learns the meaning of ambiguous dates from the examples:
//   3/4/2051   slashes: month/day/year, as in the United States
//   2051/4/3   slashes, the year first: year/month/day
//   3.4.2051   dots: day.month.year, as in Germany
//   3-4-2051   dashes: day-month-year, as in Spain
//   3.4.51     two digits of a year: 70 to 99 are 19xx, 00 to 69 are 20xx
// Day and month names are in upper case, in lower case, or in the usual case of the language.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "examples/seq2seq/data/pairs.h"
#include "tapeloop/autograd/number/random.h"

namespace seq2seq {

struct Date {
  int year = 1970;
  int month = 1;  // 1 to 12
  int day = 1;    // 1 to days_in_month
  bool operator==(const Date&) const = default;
};

inline constexpr int kFirstYear = 1970, kLastYear = 2069;

bool is_leap_year(int year);  // Gregorian
int days_in_month(int year, int month);
int day_of_week(const Date& date);  // 0: Monday .. 6: Sunday
std::string iso(const Date& date);  // "2051-04-03"

// One way of writing a date.
struct DateFormat {
  std::string_view name;      // "en month day, year"
  std::string_view language;  // en, de, fr, es, zh, or "any" for numbers alone
  // %d day, %D day with a zero, %o ordinal day, %m month, %M month with a zero, %b short and %B
  // full month name, %a short and %A full day of the week, %y two digits of the year, %Y four; in
  // Chinese numerals %1 year, %2 month, %3 day.
  std::string_view pattern;
};
std::span<const DateFormat> date_formats();
std::string write_date(const Date& date, const DateFormat& format);

// The part of the data that a date belongs to. It depends on the date alone, so that no spelling of
// a held-out date is in the training. One date in ten is for testing, one in twenty for validation.
enum class Part { train, validation, test };
Part part_of_date(std::string_view iso_date);

struct DateExample {
  Pair pair;  // the written form, and ISO
  const DateFormat* format = nullptr;
};
// Draws a date of this part from kFirstYear to kLastYear, with any format and case, all equally
// likely.
DateExample random_date(Part part, tapeloop::Random& random);
std::vector<DateExample> random_dates(std::int64_t count, Part part, tapeloop::Random& random);

}  // namespace seq2seq
