// SPDX-License-Identifier: MIT
// Training steps (float32) of every recurrent cell, and of an LSTM with noise: forward, backward
// with a dense upstream gradient, gradients of all parameters and of xs. No optimizer.
// GFLOPS counts the products: 3 x 2TN for each element of a matrix of the cell. All cells get the
// same batch, so that you can compare the rates.
//   T time steps, N batch, I input size, H hidden size
#include "bench/support.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;

constexpr std::int64_t kSteps = 64, kBatch = 32, kHidden = 128;

template <class Cell>
void add(const char* name, const nn::OptionsOf<Cell>& own = {}, const nn::Noise& noise = {},
         std::int64_t input = kHidden) {
  const auto run = [own, noise, input](benchmark::State& state) {
    bench::guarded(state, [&] {
      const bench::Threads threads(1);
      Random random(1);
      const nn::Recurrent<Cell> model({.input = input, .hidden = kHidden, .noise = noise}, random,
                                      own);
      const ParameterList parameters = nn::parameters(model);
      const Var xs = parameter(random_normal({kSteps, kBatch, input}, 0, 1, random));
      const Var dys(random_normal({kSteps, kBatch, model.output_size()}, 0, 1, random));
      const auto step = [&] {
        Tape tape;
        const auto [ys, last] = model(xs);
        tape.backward(ys, dys);
        benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
        for (const NamedVar& p : parameters) p.var.zero_grad();
        xs.zero_grad();
      };
      bench::measure(state, step);
      double elements = 0;
      for (const NamedVar& p : parameters) {
        if (p.var.rank() >= 2) elements += static_cast<double>(p.var.numel());
      }
      const auto tokens = static_cast<double>(kSteps * kBatch);
      bench::count_rate(state, "GFLOPS", 6e-9 * tokens * elements);
      bench::count_rate(state, "tokens/s", tokens);
    });
  };
  benchmark::RegisterBenchmark((std::string("cells/") + name).c_str(), run)
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime();
}

[[maybe_unused]] const bool kAdded = [] {
  using V = nn::LstmVariant;
  add<nn::LstmCell>("lstm");
  add<nn::LstmCell>("lstm/projection", {.projection = 64});
  add<nn::LstmCell>("lstm/zoneout", {}, {.zoneout_h = 0.1, .zoneout_c = 0.3});
  add<nn::LstmCell>("lstm/variational", {}, {.inputs = 0.2, .states = 0.2, .outputs = 0.2});
  add<nn::LstmCell>("lstm/weight_drop", {}, {.weights = 0.3});
  add<nn::PeepholeLstmCell>("peephole_lstm");
  add<nn::PeepholeLstmCell>("peephole_lstm/full", {.peephole = nn::Peephole::full});
  add<nn::PeepholeLstmCell>("coupled", {.variant = V::coupled});
  add<nn::PeepholeLstmCell>("coupled/none",
                            {.variant = V::coupled, .peephole = nn::Peephole::none});
  add<nn::FullGateLstmCell>("full_gate_lstm");
  add<nn::LayerNormLstmCell>("layer_norm_lstm");
  add<nn::LayerNormLstmCell>("layer_norm_lstm/gatewise", {.norm = nn::GateNorm::gatewise});
  add<nn::BatchNormLstmCell>("batch_norm_lstm");
  add<nn::RnnCell>("rnn");
  add<nn::GruCell>("gru");
  add<nn::GruCell>("gru/reset_before", {.reset = nn::GruReset::before});
  add<nn::LayerNormGruCell>("layer_norm_gru");
  add<nn::MguCell>("mgu");
  add<nn::UgrnnCell>("ugrnn");
  add<nn::MutCell>("mut1", {.variant = 1});
  add<nn::MutCell>("mut3", {.variant = 3});
  add<nn::RecurrentHighwayCell>("recurrent_highway", {.depth = 3});
  add<nn::IndRnnCell>("indrnn");
  add<nn::MinGruCell>("min_gru");
  add<nn::MinLstmCell>("min_lstm");
  add<nn::SruCell>("sru");
  add<nn::SlstmCell>("slstm");
  add<nn::SlstmCell>("slstm/heads", {.heads = 4});
  add<nn::MlstmCell>("mlstm", {.heads = 4});
  add<nn::QrnnCell>("qrnn");
  add<nn::LruCell>("lru");
  add<nn::S4dCell>("s4d", {.state = 8});
  add<nn::ClockworkCell>("clockwork");
  add<nn::PhasedLstmCell>("phased_lstm", {}, {}, kHidden + 1);
  add<nn::LmuCell>("lmu", {.order = 64});
  return true;
}();

}  // namespace
