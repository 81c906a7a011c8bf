// SPDX-License-Identifier: MIT
// Arrays of bytes in the IDX format of MNIST, packed by gzip or not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace common {

// The largest or the smallest of these files, which are at least one.
std::string by_size(std::vector<std::string> files, bool smaller);

// The file of the folder whose name ends in `ending`, such as "images-idx3-ubyte", or in `ending`
// and .gz; of several the largest, or the smallest. Throws FileError if there is none.
std::string find_idx(const std::string& folder, const std::string& ending, bool smaller = false);

// Whether the folder has such a file.
bool has_idx(const std::string& folder, const std::string& ending);

// Reads a file with this many axes. Appends their sizes, and returns the bytes. Throws FileError,
// with what to do, if the file is damaged or has another number of axes.
std::string read_idx(const std::string& path, std::size_t axes, std::vector<std::int64_t>& sizes);

}  // namespace common
