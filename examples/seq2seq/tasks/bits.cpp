// SPDX-License-Identifier: MIT
// add --base 2: a plain RNN adds bit by bit, also numbers longer than in training; shows the carry
// in its hidden units.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "examples/seq2seq/tasks/adder.h"
#include "examples/seq2seq/tasks/tasks.h"

namespace seq2seq {

namespace nn = tapeloop::nn;

namespace {

constexpr int kMostSums = 1000;  // of each length that is measured

}  // namespace

nlohmann::json run_bits(const Arguments& a) {
  const AdderSettings settings(a.settings, static_cast<int>(a.digits));
  AdderTrainer trainer(settings);
  common::Run::Result done;
  {
    common::Run run(trainer, {.folder = a.common.out,
                              .updates = settings.updates,
                              .validate_every = a.validate_every,
                              .unit = "sums"});
    if (a.resume) run.resume(common::read_of_run(run.last(), "--resume"));
    common::print(
        "add: a plain RNN of {} units reads two bits at a time, the lowest first; {} "
        "parameters, seed {}\n",
        settings.model.hidden, nn::parameter_count(trainer.adder()), settings.seed);
    done = run.train();
  }
  common::print("{} updates of {} sums of {} {} in {:.2f} s\n", done.updates, settings.batch,
                settings.bits, settings.bits == 1 ? "bit" : "bits", done.seconds);

  nlohmann::json figures = {{"task", "add"},
                            {"base", 2},
                            {"seed", settings.seed},
                            {"updates", trainer.updates()},
                            {"train_seconds", done.seconds},
                            {"train_cpu_seconds", done.cpu_seconds}};
  tapeloop::Random random = tapeloop::Random(settings.seed + 1).split();
  for (const int times : {1, 2, 4}) {
    const int bits = std::min(kMostBits, times * settings.bits);
    const std::string name = fmt::format("{}", bits);
    if (figures["right"].contains(name)) continue;
    const std::vector<Sum> sums = different_binary_sums(kMostSums, bits, random);
    const std::int64_t right = right_sums(trainer.adder(), sums, bits);
    common::print("{:>3} {}: {} of {} sums right in every bit\n", bits, bits == 1 ? "bit" : "bits",
                  right, sums.size());
    figures["right"][name] = right;
    figures["sums"][name] = sums.size();
  }
  std::vector<CarryTrace> traces;
  const int shown_bits = std::min(kMostBits, 2 * settings.bits);
  for (const Sum& sum : different_binary_sums(2, shown_bits, random)) {
    traces.push_back(trace_of(trainer.adder(), sum, shown_bits));
  }
  // A sum whose carry goes through all bits.
  traces.push_back(
      trace_of(trainer.adder(), {(std::uint64_t{1} << shown_bits) - 1, 1}, shown_bits));
  for (const CarryTrace& trace : traces) common::print("  {}\n", trace.caption);
  write_carries(a, "The carry in the hidden units of an RNN that adds", traces, traces.size(),
                figures);
  return figures;
}

}  // namespace seq2seq
