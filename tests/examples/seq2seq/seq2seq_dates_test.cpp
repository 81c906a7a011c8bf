// SPDX-License-Identifier: MIT
// The dates of examples/seq2seq: the calendar, how a date is written, and how dates are divided.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/tasks/dates.h"
#include "tests/support.h"

using namespace seq2seq;
using tapeloop::Random;
using tapeloop::test::message_of;

namespace {

const DateFormat& format_named(std::string_view name) {
  for (const DateFormat& format : date_formats()) {
    if (format.name == name) return format;
  }
  FAIL("no format of that name: " << name);
  return date_formats()[0];
}

}  // namespace

TEST_CASE("the calendar knows leap years, and what is none") {
  CHECK(is_leap_year(2000));
  CHECK(is_leap_year(2024));
  CHECK_FALSE(is_leap_year(1900));
  CHECK_FALSE(is_leap_year(2023));
  CHECK(days_in_month(2024, 2) == 29);
  CHECK(days_in_month(2023, 2) == 28);
  int days = 0;
  for (int month = 1; month <= 12; ++month) days += days_in_month(2023, month);
  CHECK(days == 365);
}

TEST_CASE("the day of the week goes on from day to day over all years") {
  int expected = 3;  // 1 January 1970 was a Thursday
  for (int year = kFirstYear; year <= kLastYear; ++year) {
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= days_in_month(year, month); ++day) {
        REQUIRE(day_of_week({year, month, day}) == expected);
        expected = (expected + 1) % 7;
      }
    }
  }
}

TEST_CASE("a date is written in each language, with its conventions") {
  const Date date{2051, 4, 3};
  const std::map<std::string_view, std::string> expected = {
      {"month/day/year", "4/3/2051"},
      {"year/month/day", "2051/4/3"},
      {"day.month.yy", "03.04.51"},
      {"day-month-year", "3-4-2051"},
      {"en month ordinal, year", "April 3rd, 2051"},
      {"en weekday", "Monday, April 3, 2051"},
      {"de weekday, den", "Montag, den 3. April 2051"},
      {"fr le day month year", "le 3 avril 2051"},
      {"es weekday", "lunes, 3 de abril de 2051"},
      {"zh weekday", "2051年4月3日星期一"},
      {"zh numerals", "二〇五一年四月三日"}};
  for (const auto& entry : expected) {
    CAPTURE(entry.first);
    CHECK(write_date(date, format_named(entry.first)) == entry.second);
  }
  CHECK(iso(date) == "2051-04-03");
  CHECK(write_date({1999, 12, 31}, format_named("zh numerals")) == "一九九九年十二月三十一日");
  CHECK(write_date({1999, 10, 20}, format_named("zh numerals")) == "一九九九年十月二十日");
  CHECK(write_date({1999, 12, 11}, format_named("en the ordinal of month")) ==
        "the 11th of December 1999");
  CHECK(write_date({1999, 12, 22}, format_named("en the ordinal of month")) ==
        "the 22nd of December 1999");
}

TEST_CASE("no two dates are written alike in one format") {
  for (const DateFormat& format : date_formats()) {
    std::map<std::string, std::string> meaning;
    for (int year = kFirstYear; year <= kLastYear; ++year) {
      for (int month = 1; month <= 12; ++month) {
        for (int day = 1; day <= days_in_month(year, month); ++day) {
          const Date date{year, month, day};
          const auto [found, is_new] = meaning.emplace(write_date(date, format), iso(date));
          if (!is_new)
            FAIL("'" << found->first << "' is " << found->second << " and " << iso(date));
        }
      }
    }
  }
}

TEST_CASE("what is written means one date, whichever format it is in") {
  Random random(3);
  std::map<std::string, std::string> meaning;
  for (const DateExample& example : random_dates(50000, Part::train, random)) {
    const auto [found, is_new] = meaning.emplace(example.pair.source, example.pair.target);
    CAPTURE(example.pair.source);
    REQUIRE(found->second == example.pair.target);
  }
}

TEST_CASE("no date of one part is in another, in whatever format") {
  Random random(5);
  std::map<std::string, Part> part_of;
  for (const Part part : {Part::train, Part::validation, Part::test}) {
    for (const DateExample& example : random_dates(20000, part, random)) {
      const auto [found, is_new] = part_of.emplace(example.pair.target, part);
      CAPTURE(example.pair.target);
      REQUIRE(found->second == part);
    }
  }
  int tested = 0, validated = 0, all = 0;
  for (int year = kFirstYear; year <= kLastYear; ++year) {
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= days_in_month(year, month); ++day, ++all) {
        const Part part = part_of_date(iso({year, month, day}));
        tested += part == Part::test ? 1 : 0;
        validated += part == Part::validation ? 1 : 0;
      }
    }
  }
  CHECK(std::abs(tested - all / 10) < all / 100);
  CHECK(std::abs(validated - all / 20) < all / 100);
}

TEST_CASE("random dates come in every format and in upper case, with its accents") {
  Random random(7);
  std::set<const DateFormat*> formats;
  bool upper = false;
  for (const DateExample& example : random_dates(5000, Part::train, random)) {
    formats.insert(example.format);
    upper = upper || example.pair.source.find("FÉVRIER") != std::string::npos ||
            example.pair.source.find("MÄRZ") != std::string::npos;
    CHECK_FALSE(first_invalid_utf8(example.pair.source));
  }
  CHECK(formats.size() == date_formats().size());
  CHECK(upper);
}
