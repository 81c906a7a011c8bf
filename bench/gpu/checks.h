// SPDX-License-Identifier: MIT
// What gpu-check runs: the tests of Device::cuda, the same under compute-sanitizer, the rows of the benchmarks beside PyTorch's.
// Each gives JSON for the report (report.h), which also says what could not be run and why.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gpu_check {

using Json = nlohmann::ordered_json;

struct Settings {
  std::string folder;              // with programs/, reference/, peers/
  std::string out;                 // where the report goes, and logs/ beside it
  std::string python = "python3";  // with PyTorch, where there is one
  double limit = 600;              // seconds of one check
  int rounds = 3;                  // of the benchmarks, in turn with the peer
  bool quick = false;
  std::vector<std::string> rows;  // instead of all
};

// What gpu_bench says about the GPU; where there is none, empty and the reason.
struct Gpu {
  Json facts;
  std::string reason;
};
Gpu find_gpu(const Settings& settings);

// [{name, outcome, passed, failed, skipped, seconds, notes}]; outcome "passed" only where nothing failed or was skipped.
Json run_tests(const Settings& settings);
// The same of memcheck, racecheck and synccheck; `missing` is told where there is no compute-sanitizer.
Json run_sanitizers(const Settings& settings, Json& missing);
// [{row, ours: {form: seconds}, peers: {variant: seconds}, ratio, work per second}]
Json run_rows(const Settings& settings, Json& about, Json& missing);

}  // namespace gpu_check
