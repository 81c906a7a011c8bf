// SPDX-License-Identifier: MIT
// main() of every benchmark program: prints the conditions of the measurement, then runs Google
// Benchmark. Has no rows. Ends with status 1 if a row could not run or an argument is unknown.
#include <fstream>
#include <string>
#include <thread>

#include "bench/support.h"
#include "tapeloop/autograd/device/cpu/kernels.h"

namespace {

bool failed = false;

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

void bench::mark_failed() { failed = true; }

int main(int argc, char** argv) {
  benchmark::AddCustomContext("kernels", tapeloop::cpu::isa_name());
  benchmark::AddCustomContext("threads", std::to_string(tapeloop::num_threads()) +
                                             ", or as in the row's name, of " +
                                             std::to_string(std::thread::hardware_concurrency()));
  benchmark::AddCustomContext("cpu", cpu_name());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return failed ? 1 : 0;
}
