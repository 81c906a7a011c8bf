// SPDX-License-Identifier: MIT
// Lists of examples: text files of columns between tabs, beside images in IDX files.
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

using Columns = std::vector<std::string_view>;  // of a line

// What a list has.
struct ListKind {
  std::function<bool(const Columns&)> fits;  // whether a line may be of such a list
  std::string lines;                         // for messages: "width, label, places between tabs"
};

// `source` itself, or in a folder the *.tsv whose first line fits. Throws FileError, with what to
// do, if there is none.
std::string find_list(const std::string& source, Part part, const ListKind& kind);

// A list of examples and the images that it names.
struct ListedDigits {
  std::string path;                // of the list
  std::vector<std::string> lines;  // an empty one is no example
  Digits digits;
};
// Reads find_list(). The digits are the IDX files of its folder, or else those of `otherwise`.
// Throws FileError, with what to do, if there is no such list or no images.
ListedDigits read_listed(const std::string& source, Part part, const std::string& otherwise,
                         const ListKind& kind);

// Throws TextError: line i (from 0) of the list is not as expected.
[[noreturn]] void fail_line(const ListedDigits& list, std::size_t i, const std::string& expected);

}  // namespace common
