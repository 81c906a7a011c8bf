// SPDX-License-Identifier: MIT
// Elementwise kernels: the LSTM's gates from one functor beside a loop written by hand, and exp,
// tanh and sigmoid. One thread, float32, data in the caches. No tape: tape_bench.cpp measures the
// cost of recording.
//   N batch, H hidden size; gate order i f g o
#include <string>
#include <vector>

#include "bench/hand_written_lstm.h"
#include "bench/support.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/cells/gates/lstm.h"

namespace {

using namespace tapeloop;

constexpr std::int64_t kBatch = 32, kHidden = 256, kUnits = kBatch * kHidden;

struct GateData {  // fits into the second-level cache
  Random random{1};
  Var z = normal({kBatch, 4 * kHidden});
  Var c = normal({kBatch, kHidden});
  Var dh = normal({kBatch, kHidden});
  Var dc = normal({kBatch, kHidden});
  Var normal(const Shape& shape) { return Var(random_normal(shape, 0, 1, random)); }
};

void forward(benchmark::State& state) {
  bench::guarded(state, [&] {
    const GateData data;
    for (auto _ : state) {
      const auto [h, c] = pointwise(nn::LstmGates{}, columns<4>(data.z), data.c);
      benchmark::DoNotOptimize(h.value().raw());
      benchmark::DoNotOptimize(c.value().raw());
    }
    bench::count_time(state, "time/unit", static_cast<double>(kUnits));
  });
}

// The kernel that the tape calls for the node: the functor's exact gradient. The gates' gradients
// are contiguous.
struct GateGradient {
  GateData data;
  Tensor dz = Tensor::empty({kBatch, 4 * kHidden}), dc = Tensor::empty({kBatch, kHidden});
  std::vector<Tensor> inputs, outputs;

  GateGradient() {
    for (std::int64_t gate = 0; gate < 4; ++gate) {
      const std::int64_t first = gate * kHidden;
      inputs.push_back(data.z.value().slice(1, first, first + kHidden));
      outputs.push_back(dz.slice(1, first, first + kHidden));
    }
    for (const Var& x : {data.c, data.dh, data.dc}) inputs.push_back(x.value());
    outputs.push_back(dc);
  }
  void compute() const {
    const nn::LstmGates functor;
    transform(*pointwise_kernel<nn::LstmGates>().backward, &functor, inputs, outputs);
    benchmark::ClobberMemory();
  }
};

void backward(benchmark::State& state) {
  bench::guarded(state, [&] {
    const GateGradient gradient;
    for (auto _ : state) gradient.compute();
    bench::count_time(state, "time/unit", static_cast<double>(kUnits));
  });
}

// Checks that the baseline computes the same values.
void check_equal(const char* what, const Tensor& by_hand, const Var& expected) {
  const double error = max(abs(Var(by_hand) - expected), {0, 1}).item();
  if (!(error < 1e-5)) {
    fail(what, "differs by " + std::to_string(error) + " from the functor's result");
  }
}

Tensor block(std::int64_t columns_of_units) {
  return Tensor::zeros({kBatch, columns_of_units * kHidden});
}

struct HandWritten {
  GateData data;
  Tensor saved = block(5), h = block(1), c = block(1), dz = block(4), dc_before = block(1);
  void forward() const {
    bench::lstm_forward(kBatch, kHidden, data.z.value().read<float>(), data.c.value().read<float>(),
                        saved.data<float>(), h.data<float>(), c.data<float>());
    benchmark::ClobberMemory();
  }
  void backward() const {
    bench::lstm_backward(kBatch, kHidden, saved.read<float>(), data.c.value().read<float>(),
                         data.dh.value().read<float>(), data.dc.value().read<float>(),
                         dz.data<float>(), dc_before.data<float>());
    benchmark::ClobberMemory();
  }
};

void hand_written_forward(benchmark::State& state) {
  bench::guarded(state, [&] {
    const HandWritten lstm;
    lstm.forward();
    const auto [h, c] = pointwise(nn::LstmGates{}, columns<4>(lstm.data.z), lstm.data.c);
    check_equal("hand-written h", lstm.h, h);
    check_equal("hand-written c", lstm.c, c);
    for (auto _ : state) lstm.forward();
    bench::count_time(state, "time/unit", static_cast<double>(kUnits));
    state.SetLabel(isa::Native::name);
  });
}

void hand_written_backward(benchmark::State& state) {
  bench::guarded(state, [&] {
    const HandWritten lstm;
    lstm.forward();
    lstm.backward();
    const GateGradient gradient;  // equal numbers
    gradient.compute();
    check_equal("hand-written dz", lstm.dz, gradient.dz);
    check_equal("hand-written dc", lstm.dc_before, gradient.dc);
    for (auto _ : state) lstm.backward();
    bench::count_time(state, "time/unit", static_cast<double>(kUnits));
    state.SetLabel(isa::Native::name);
  });
}

// The loop of a function alone, over numbers in the first-level cache.
template <class F>
void function(benchmark::State& state) {
  constexpr std::size_t kCount = 2048;
  std::vector<float> from(kCount), to(kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    from[i] = 3 * static_cast<float>(normal_at(1, i));
  }
  const F functor{};
  void* const operands[] = {from.data(), to.data()};
  const std::int64_t steps[] = {1, 1};
  const auto loop = pointwise_kernel<F>().cpu[0];
  for (auto _ : state) {
    loop(&functor, operands, steps, static_cast<std::int64_t>(kCount));
    benchmark::ClobberMemory();
  }
  bench::count_time(state, "time/element", static_cast<double>(kCount));
}

}  // namespace

BENCHMARK(forward)->Name("pointwise/lstm_gates/forward");
BENCHMARK(backward)->Name("pointwise/lstm_gates/backward");
BENCHMARK(hand_written_forward)->Name("pointwise/lstm_gates/hand_written_forward");
BENCHMARK(hand_written_backward)->Name("pointwise/lstm_gates/hand_written_backward");
BENCHMARK(function<formula::Exp>)->Name("pointwise/exp");
BENCHMARK(function<formula::Tanh>)->Name("pointwise/tanh");
BENCHMARK(function<formula::Sigmoid>)->Name("pointwise/sigmoid");
