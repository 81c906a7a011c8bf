// SPDX-License-Identifier: MIT
// linear_scan() beside a loop written by hand and beside a copy of the same number of bytes, in
// memory and in the caches; and the two ways in which a cell without a product of the state can run
// a sequence: recurrent(), which is one pass over its formula, or pointwise operations and a scan.
// float32.
//   T time steps, N batch, H units
#include <cstring>
#include <string>
#include <vector>

#include "bench/support.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

struct Sizes {
  std::int64_t steps, batch, hidden;
  Shape shape() const { return {steps, batch, hidden}; }
  std::string str() const {
    return "T:" + std::to_string(steps) + "/N:" + std::to_string(batch) +
           "/H:" + std::to_string(hidden);
  }
};

void by_hand(const Sizes& s, const float* a, const float* b, float* h) {
  const std::int64_t row = s.batch * s.hidden;
  for (std::int64_t i = 0; i < row; ++i) h[i] = b[i];
  for (std::int64_t t = 1; t < s.steps; ++t) {
    const float* const before = h + (t - 1) * row;
    const float *at = a + t * row, *bt = b + t * row;
    float* const ht = h + t * row;
    for (std::int64_t i = 0; i < row; ++i) ht[i] = at[i] * before[i] + bt[i];
  }
}

// Reads two tensors and writes one.
void rate(benchmark::State& state, const Sizes& s, double tensors) {
  bench::count_rate(state, "GB/s", 4e-9 * tensors * static_cast<double>(s.shape().numel()));
}

void add(const Sizes& s) {
  const auto register_row = [&](const std::string& name, const auto& run) {
    benchmark::RegisterBenchmark(("scan/" + name + "/" + s.str()).c_str(),
                                 [run](benchmark::State& state) {
                                   bench::guarded(state, [&] {
                                     const bench::Threads threads(1);
                                     run(state);
                                   });
                                 })
        ->Unit(benchmark::kMicrosecond)
        ->MeasureProcessCPUTime();
  };
  const auto numbers = [s](std::uint64_t seed) {
    Random random(seed);
    return random_uniform(s.shape(), 0, 1, random);
  };
  register_row("copy", [=](benchmark::State& state) {
    const Tensor from = numbers(1), to = numbers(2);
    const auto bytes = static_cast<std::size_t>(from.numel()) * sizeof(float);
    for (auto _ : state) {
      std::memcpy(to.raw(), from.raw(), bytes);
      benchmark::ClobberMemory();
    }
    rate(state, s, 2);
  });
  register_row("by_hand", [=](benchmark::State& state) {
    const Tensor a = numbers(1), b = numbers(2), h = numbers(3);
    for (auto _ : state) {
      by_hand(s, a.read<float>(), b.read<float>(), static_cast<float*>(h.raw()));
      benchmark::ClobberMemory();
    }
    rate(state, s, 3);
  });
  const auto scans = [=](const ScanOptions& options) {
    return [=](benchmark::State& state) {
      const Var a(numbers(1)), b(numbers(2));
      for (int i = 0; i < 2; ++i) linear_scan(a, b, Var(), options);  // allocates the memory
      for (auto _ : state) {
        benchmark::DoNotOptimize(linear_scan(a, b, Var(), options).value().raw());
      }
      rate(state, s, 3);
    };
  };
  register_row("linear_scan", scans({}));
  register_row("linear_scan/complex", scans({.kind = ScanKind::complex}));
  register_row("linear_scan/log", scans({.kind = ScanKind::log}));
  // Forward 3 tensors, backward 3 of the scan and 3 of da.
  register_row("linear_scan/training", [=](benchmark::State& state) {
    const Var a = parameter(numbers(1)), b = parameter(numbers(2)), dy(numbers(3));
    const auto step = [&] {
      Tape tape;
      const Var h = linear_scan(a, b);
      benchmark::DoNotOptimize(tape.gradient(h, dy, std::vector<Var>{a, b})[0].value().raw());
    };
    for (int i = 0; i < 2; ++i) step();
    for (auto _ : state) step();
    rate(state, s, 9);
  });
}

// A minGRU's training step after its input projection.
void add_cell(const Sizes& s) {
  for (const bool by_scan : {false, true}) {
    const std::string name =
        std::string("scan/min_gru/") + (by_scan ? "pointwise_and_scan/" : "recurrent/") + s.str();
    benchmark::RegisterBenchmark(
        name.c_str(),
        [=](benchmark::State& state) {
          bench::guarded(state, [&] {
            const bench::Threads threads(1);
            Random random(1);
            const Var zx = parameter(random_normal({s.steps, s.batch, 2 * s.hidden}, 0, 1, random));
            const Var h0(Tensor::zeros({s.batch, s.hidden})),
                dy(random_normal(s.shape(), 0, 1, random));
            const auto step = [&] {
              Tape tape;
              Var h;
              if (by_scan) {
                const auto parts = chunk(zx, 2, -1);
                const Var z = sigmoid(parts[0]);
                h = linear_scan(1.0 - z, z * parts[1], h0);
              } else {
                h = recurrent({nn::MinGruStep<false>{}, of::input(), of::state(0)}, zx, {h0}).hs;
              }
              benchmark::DoNotOptimize(tape.gradient(h, dy, std::vector<Var>{zx})[0].value().raw());
            };
            for (int i = 0; i < 2; ++i) step();
            for (auto _ : state) step();
            bench::count_rate(state, "tokens/s", static_cast<double>(s.steps * s.batch));
          });
        })
        ->Unit(benchmark::kMicrosecond)
        ->MeasureProcessCPUTime();
  }
}

[[maybe_unused]] const bool kAdded = [] {
  for (const Sizes& s : {Sizes{64, 32, 128}, Sizes{4096, 1, 128}, Sizes{4096, 32, 128}}) add(s);
  for (const Sizes& s : {Sizes{64, 32, 128}, Sizes{4096, 1, 128}}) add_cell(s);
  return true;
}();

}  // namespace
