// SPDX-License-Identifier: MIT
// Asks for one division after the other by a file with one time for it.
#include "bench/gpu/times.h"

#include <fmt/format.h>

#include <fstream>
#include <set>

#include "bench/peers/row.h"
#include "tapeloop/autograd/device/cuda/cuda.h"

namespace bench {
namespace {

void write(const std::string& file, const std::string& lines) {
  std::ofstream text(file);
  text << "# hidden gates batch pass groups seconds; groups 0: two launches for each time step\n"
       << lines << std::flush;
  if (!text) throw std::runtime_error(file + ": cannot be written; name another file by --times");
  text.close();
  tapeloop::cuda::use_recurrent_times(file);
}

}  // namespace

int write_times(const std::string& file, const std::vector<std::string>& rows,
                const std::function<double(const std::string& row)>& measure) {
  std::string lines;
  int count = 0;
  // First all forward passes: a training step then has the fastest of them.
  for (const char* part : {"/forward/float32", "/step/float32"}) {
    const char* const pass = part == std::string("/forward/float32") ? "forward" : "backward";
    for (const std::string& name : rows) {
      const peer::Row row = peer::parse_row(name);
      const bool lstm = row.kind.starts_with("gpu/lstm/");
      if ((!lstm && !row.kind.starts_with("gpu/gru/")) || !row.kind.ends_with(part)) continue;
      const std::int64_t batch = row.at("N");
      std::set<std::int64_t> groups{0};
      for (const int most : {1, 4, 8, 16, 32, 64}) groups.insert((batch + most - 1) / most);
      std::string measured;
      for (const std::int64_t number : groups) {
        const std::string line =
            fmt::format("{} {} {} {} {} ", row.at("H"), lstm ? 4 : 3, batch, pass, number);
        write(file, lines + line + "1\n");
        measured += fmt::format("{}{:.9g}\n", line, measure(name));
        ++count;
      }
      lines += measured;
      write(file, lines);
    }
  }
  return count;
}

}  // namespace bench
