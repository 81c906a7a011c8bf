// SPDX-License-Identifier: MIT
// Lists of examples in text files of columns between tabs, beside images in IDX files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "examples/common/pictures/digits.h"

namespace common {

// Which of several files of one kind: the larger one trains, the smaller one measures.
enum class Part { train, test };

// The columns of a line.
using Columns = std::vector<std::string_view>;
Columns columns_of(std::string_view line);
// The number in a column. Returns false, and changes nothing, if it is none.
bool read_count(std::string_view column, std::int64_t& number);

// A list of examples and the images that it names.
struct ListedDigits {
  std::string path;                // of the list
  std::vector<std::string> lines;  // without the empty ones
  Digits digits;
};
// Reads `source`, a folder or a file. In a folder the list is the *.tsv whose first line fits; of
// several, Part::test takes the one that ends in -test.tsv, Part::train another. The digits are the
// IDX files of that folder, or else those of `otherwise`. Throws FileError, with what to do, if
// there is no such list or no images.
ListedDigits read_listed(const std::string& source, Part part, const std::string& otherwise,
                         const std::function<bool(const Columns&)>& fits);

// Throws FileError: line i (from 0) of the list is not as expected.
[[noreturn]] void fail_line(const ListedDigits& list, std::size_t i, const std::string& expected);

}  // namespace common
