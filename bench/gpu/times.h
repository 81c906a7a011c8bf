// SPDX-License-Identifier: MIT
// Writes the file of cuda::use_recurrent_times: measured times of the divisions of recurrent().
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bench {

// Measures the alternating form and each division of the batch for the float32 rows of layers
// (rows.h), and writes the times to `file`. measure(row): seconds of one step, with the divisions
// that the file names at that moment. Returns the number of times.
int write_times(const std::string& file, const std::vector<std::string>& rows,
                const std::function<double(const std::string& row)>& measure);

}  // namespace bench
