// SPDX-License-Identifier: MIT
// The checks of gpu-check: the tests of Device::cuda, the same under compute-sanitizer, the
// benchmarks beside PyTorch's.
// Each returns JSON for the report (report.h), which also lists what could not run and why.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gpu_check {

using Json = nlohmann::ordered_json;

struct Settings {
  std::string folder;              // contains programs/, reference/, peers/
  std::string out;                 // folder of the report and of logs/
  std::string python = "python3";  // has PyTorch, if there is one
  double limit = 600;              // seconds of one check
  int rounds = 3;                  // of the benchmarks, alternating with the peer
  bool quick = false;
  std::vector<std::string> rows;  // run only these; empty: all
};

// What gpu_bench says about the GPU. Without a GPU, `facts` is empty and `reason` says why.
struct Gpu {
  Json facts;
  std::string reason;
};
Gpu find_gpu(const Settings& settings);

// [{name, outcome, passed, failed, skipped, seconds, notes}]; outcome "passed" only if no test
// failed or was skipped.
Json run_tests(const Settings& settings);
// The same for memcheck, racecheck and synccheck. Without compute-sanitizer, `missing` says so.
Json run_sanitizers(const Settings& settings, Json& missing);
// [{row, ours: {form: seconds}, peers: {variant: seconds}, ratio, work per second}]
Json run_rows(const Settings& settings, Json& about, Json& missing);

}  // namespace gpu_check
