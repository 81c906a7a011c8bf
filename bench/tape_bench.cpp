// SPDX-License-Identifier: MIT
// What the tape costs for each node, forward and backward together, where the arithmetic is nothing.
// Instructions, which do not depend on how busy the machine is: bench/callgrind.sh.
#include "bench/support.h"
#include "bench/tape_nodes.h"

namespace {

void node(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t nodes = state.range(0);
    bench::NodeChain chain;
    for (int i = 0; i < 3; ++i) chain.pass(nodes);
    const bench::AllocationCount allocations;
    for (auto _ : state) chain.pass(nodes);
    allocations.report(state, "allocations/node", static_cast<double>(nodes));
    bench::count_time(state, "time/node", static_cast<double>(nodes));
  });
}

void untaped(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t nodes = state.range(0);
    const bench::NodeChain chain;
    for (auto _ : state) benchmark::DoNotOptimize(chain.untaped(nodes).value().raw());
    bench::count_time(state, "time/node", static_cast<double>(nodes));
  });
}

}  // namespace

BENCHMARK(node)->Name("tape/node")->ArgName("nodes")->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(untaped)
    ->Name("tape/untaped")
    ->ArgName("nodes")
    ->Arg(1000)
    ->Unit(benchmark::kMicrosecond);
