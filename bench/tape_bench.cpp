// SPDX-License-Identifier: MIT
// The tape's cost per node, forward and backward together; the arithmetic takes almost no time.
// bench/callgrind.sh counts instructions, which do not depend on how busy the machine is.
#include "bench/support.h"
#include "bench/tape_nodes.h"

namespace {

constexpr std::int64_t kNodes = 1000;  // of each pass

void node(benchmark::State& state) {
  bench::guarded(state, [&] {
    bench::NodeChain chain;
    for (int i = 0; i < 3; ++i) chain.pass(kNodes);
    const bench::AllocationCount allocations;
    for (auto _ : state) chain.pass(kNodes);
    allocations.report(state, "allocations/node", static_cast<double>(kNodes));
    bench::count_time(state, "time/node", static_cast<double>(kNodes));
  });
}

void untaped(benchmark::State& state) {
  bench::guarded(state, [&] {
    const bench::NodeChain chain;
    for (auto _ : state) benchmark::DoNotOptimize(chain.untaped(kNodes).value().raw());
    bench::count_time(state, "time/node", static_cast<double>(kNodes));
  });
}

}  // namespace

BENCHMARK(node)->Name("tape/node")->Unit(benchmark::kMicrosecond);
BENCHMARK(untaped)->Name("tape/untaped")->Unit(benchmark::kMicrosecond);
