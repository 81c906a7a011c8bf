// SPDX-License-Identifier: MIT
// Matrix products at the shapes of recurrent models, one thread, float32, beside the peak of one
// core.
// The rows call operations, as models do: the time includes the result's memory and the choice of a
// kernel.
#include <vector>

#include "bench/support.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/number/vec.h"
#include "tapeloop/autograd/ops/ops.h"

namespace {

using namespace tapeloop;

void count_flops(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  bench::count_rate(state, "GFLOPS", 2e-9 * static_cast<double>(m * n * k));
}

// Independent chains of fused multiply-adds in registers: the peak to compare the other rows with.
// It uses the instruction set of this program's flags, which the label names.
void peak_fma(benchmark::State& state) {
  using V = Vec<float, isa::Native>;
  constexpr int kChains = 12, kRounds = 1000;
  V chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = V::of(i);
  V factor = V::of(0.5f), addend = V::of(1);
  benchmark::DoNotOptimize(factor.raw);
  benchmark::DoNotOptimize(addend.raw);
  for (auto _ : state) {
    for (int round = 0; round < kRounds; ++round) {
      for (V& x : chain) x = fma(x, factor, addend);
    }
  }
  for (int i = 1; i < kChains; ++i) chain[0] += chain[i];
  benchmark::DoNotOptimize(sum_lanes(chain[0]));
  count_flops(state, V::width, kChains, kRounds);
  state.SetLabel(isa::Native::name);
}

// x [M, K] times w [N, K] transposed: one time step, or a whole sequence if M is T * N.
void product(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
    Random random(1);
    const Var x(random_normal({m, k}, 0, 1, random));
    const Var w = parameter(random_normal({n, k}, 0, 1, random));
    benchmark::DoNotOptimize(linear(x, w).value().raw());
    for (auto _ : state) benchmark::DoNotOptimize(linear(x, w).value().raw());
    count_flops(state, m, n, k);
  });
}

// The gradient of a step's input, dz [M, K] times w [K, N]: the same weight, not transposed.
void transposed(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t m = state.range(0), n = state.range(1), k = state.range(2);
    Random random(1);
    const Var dz(random_normal({m, k}, 0, 1, random));
    const Var w = parameter(random_normal({k, n}, 0, 1, random));
    benchmark::DoNotOptimize(linear(dz, transpose(w)).value().raw());
    for (auto _ : state) benchmark::DoNotOptimize(linear(dz, transpose(w)).value().raw());
    count_flops(state, m, n, k);
  });
}

// The gradient of a weight, dW [M, N] = the sum over time steps of dz_t [K, M] transposed times h_t
// [K, N].
void weight_gradient(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t pieces = state.range(0), m = state.range(1), n = state.range(2),
                       k = state.range(3);
    Random random(1);
    std::vector<Product> products;
    for (std::int64_t t = 0; t < pieces; ++t) {
      products.push_back({random_normal({1, k, m}, 0, 1, random).transpose(1, 2),
                          random_normal({1, k, n}, 0, 1, random)});
    }
    const Tensor dw = Tensor::empty({1, m, n});
    for (auto _ : state) {
      backend(Device::cpu).matmul(dw, products, false);
      benchmark::DoNotOptimize(dw.raw());
    }
    count_flops(state, m, n, pieces * k);
  });
}

void step_shapes(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"M", "N", "K"})->Unit(benchmark::kMicrosecond);
  for (std::int64_t m : {1, 16, 32, 64}) {
    for (std::int64_t k : {64, 128, 256, 512, 1024}) rows->Args({m, 4 * k, k});
  }
}
void sequence_shapes(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"M", "N", "K"})->Unit(benchmark::kMicrosecond);
  rows->Args({2048, 512, 128})->Args({2048, 1024, 256})->Args({6400, 2048, 512});
  rows->Args({2048, 4096, 1024});
}
void transposed_shapes(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"M", "N", "K"})->Unit(benchmark::kMicrosecond);
  for (std::int64_t m : {1, 32}) {
    for (std::int64_t n : {64, 128, 256, 512, 1024}) rows->Args({m, n, 4 * n});
  }
}
void weight_shapes(benchmark::internal::Benchmark* rows) {
  rows->ArgNames({"pieces", "M", "N", "K"})->Unit(benchmark::kMicrosecond);
  for (std::int64_t h : {64, 128, 256, 1024})
    rows->Args({64, 4 * h, h, 32})->Args({8, 4 * h, h, 256});
}

}  // namespace

BENCHMARK(peak_fma)->Name("gemm/peak_fma");
BENCHMARK(product)->Name("gemm")->Apply(step_shapes);
BENCHMARK(product)->Name("gemm")->Apply(sequence_shapes);
BENCHMARK(transposed)->Name("gemm/transposed")->Apply(transposed_shapes);
BENCHMARK(weight_gradient)->Name("gemm/weight_gradient")->Apply(weight_shapes);
