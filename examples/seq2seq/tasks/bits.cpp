// SPDX-License-Identifier: MIT
// add --base 2: a plain RNN adds bit by bit, also numbers longer than in training; shows the carry
// in its hidden units.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "examples/common/console.h"
#include "examples/common/interrupt.h"
#include "examples/common/notes.h"
#include "examples/common/progress.h"
#include "examples/common/saver.h"
#include "examples/seq2seq/tasks/adder.h"
#include "examples/seq2seq/tasks/tasks.h"

namespace seq2seq {

namespace nn = tapeloop::nn;

namespace {

constexpr int kMostSums = 1000;  // of each length that is measured

struct Seconds {
  double wall = 0, cpu = 0;
};

// Trains to the end. Returns the time of all updates and checkpoints.
Seconds train_adder(const Arguments& a, AdderTrainer& trainer, const AdderSettings& settings,
                    const common::StopSignals& stop_signals) {
  common::RunFiles files(a.common.out);
  if (a.resume) {
    const nn::Checkpoint saved = common::read_of_run(files.last(), "--resume");
    adder_settings_of(saved, files.last());
    common::check_resumed_settings(saved, notes_of(settings), files.last(), "");
    trainer.restore(saved, files.last());
    files.resume(saved, trainer.history());
    common::print("going on after update {}\n", trainer.updates());
  }
  const std::int64_t first = trainer.updates();
  const double sums = static_cast<double>(settings.batch);
  const double cpu = common::cpu_seconds();
  common::Progress progress(first, a.settings.updates, "sums");
  while (trainer.updates() < a.settings.updates) {
    const double loss = trainer.update();
    progress.update(trainer.updates(), loss, sums * static_cast<double>(trainer.updates() - first));
    if (stop_signals.received() != 0) {
      progress.clear();
      files.save_stopped(trainer.checkpoint());
      throw common::Interrupted(
          common::stopped_text(trainer.updates(), a.settings.updates, files.last()),
          stop_signals.received());
    }
    if (trainer.updates() % a.validate_every == 0 && trainer.updates() < a.settings.updates) {
      progress.clear();
      files.save(trainer.checkpoint(), trainer.history());
    }
  }
  progress.clear();
  trainer.note_end();
  files.save(trainer.checkpoint(), trainer.history());
  files.retry(trainer.checkpoint(), trainer.history());
  const double seconds = progress.seconds();
  const double cpu_seconds = common::cpu_seconds() - cpu;
  progress.clear();
  common::print("{} updates of {} sums of {} {} in {:.2f} s\n", trainer.updates() - first,
                settings.batch, settings.bits, settings.bits == 1 ? "bit" : "bits", seconds);
  return {seconds, cpu_seconds};
}

}  // namespace

nlohmann::json run_bits(const Arguments& a) {
  AdderSettings settings;
  settings.hidden = a.settings.model.hidden;
  settings.bits = static_cast<int>(a.digits);
  settings.batch = a.settings.batch;
  settings.learning_rate = a.settings.learning_rate;
  settings.clip = a.settings.clip;
  settings.seed = a.common.seed;
  settings.device = a.common.device;
  AdderTrainer trainer(settings);
  std::optional<common::StopSignals> stop_signals(std::in_place);
  common::print(
      "add: a plain RNN of {} units reads two bits at a time, the lowest first; {} "
      "parameters, seed {}\n",
      settings.hidden, nn::parameter_count(trainer.adder()), settings.seed);
  std::fflush(stdout);
  const Seconds seconds = train_adder(a, trainer, settings, *stop_signals);
  stop_signals.reset();

  nlohmann::json figures = {{"task", "add"},
                            {"base", 2},
                            {"seed", settings.seed},
                            {"updates", trainer.updates()},
                            {"train_seconds", seconds.wall},
                            {"train_cpu_seconds", seconds.cpu}};
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
