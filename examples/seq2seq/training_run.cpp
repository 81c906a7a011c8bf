// SPDX-License-Identifier: MIT
// The loop around the updates.
#include "examples/seq2seq/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <system_error>

#include "examples/common/console.h"
#include "examples/common/interrupt.h"
#include "examples/common/output.h"
#include "examples/common/paths.h"
#include "examples/common/progress.h"
#include "examples/common/run_lock.h"
#include "examples/common/saver.h"
#include "examples/seq2seq/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

namespace nn = tapeloop::nn;

namespace {

constexpr std::size_t kMostValidated = 2000;  // pairs used in each validation

std::vector<Example> examples_of(std::span<const Pair> pairs, const Languages& languages) {
  std::vector<Example> examples;
  examples.reserve(pairs.size());
  for (const Pair& pair : pairs) examples.push_back(example_of(pair, languages));
  return examples;
}

std::string shape_of(const Settings& s) {
  return fmt::format(
      "{}{} {} x {}, {}", s.model.bidirectional ? "two-way " : "", s.model.cell, s.model.layers,
      s.model.hidden,
      s.model.attention == "none" ? std::string("no attention") : s.model.attention + " attention");
}

}  // namespace

Trained train(const Arguments& a, const Settings& settings, const Material& material,
              const std::string& folder) {
  const Languages languages = languages_for(a, material);
  const auto notes = notes_of(settings, languages, fingerprint(material.train));
  Trained result;
  result.trainer =
      std::make_unique<Trainer>(examples_of(material.train, languages), languages, settings);
  Trainer& trainer = *result.trainer;
  if (!a.resume) common::make_folder(folder);
  std::error_code ignored;
  std::optional<common::RunLock> lock;  // the program already holds the lock of --out
  if (std::filesystem::is_directory(folder, ignored) && !common::same_place(folder, a.common.out)) {
    lock.emplace(folder);
  }
  common::RunFiles files(folder);
  const std::string& last = files.last();
  if (a.resume) {
    const nn::Checkpoint saved = common::read_of_run(last, "--resume");
    check_task(saved, settings.task, last);
    common::check_resumed_settings(saved, notes, last, "data");
    trainer.restore(saved, last);
    common::check_resumed_updates(trainer.updates(), a.settings.updates,
                                  trainer.history().best_update, last);
    files.resume(saved, trainer.history());
  }
  const common::StopSignals stop_signals;
  result.parameters = nn::parameter_count(trainer.translator().model());
  common::print("{}: {} pairs to learn from, {} and {} symbols; {}, {} parameters, seed {}\n",
                settings.task, material.train.size(), languages.source.size(),
                languages.target.size(), shape_of(settings), result.parameters, settings.seed);
  if (a.resume) common::print("going on after update {}\n", trainer.updates());
  std::fflush(stdout);

  std::vector<Pair> validated = material.validation;
  if (validated.size() > kMostValidated) validated.resize(kMostValidated);
  const std::vector<Example> validation = examples_of(validated, languages);
  const std::int64_t first = trainer.updates();
  common::Progress progress(first, a.settings.updates, "symbols");
  // A run that was stopped after its last update, before any validation, still has to validate.
  const auto unfinished = [&] {
    const common::History& history = trainer.history();
    const bool patience_over = a.patience > 0 && history.since_best >= a.patience;
    return history.best_update < 0 || (trainer.updates() < a.settings.updates && !patience_over);
  };
  const auto end_if_stopped = [&] {
    if (stop_signals.received() == 0) return;
    progress.clear();
    files.save_stopped(trainer.checkpoint(notes));
    throw common::Interrupted(common::stopped_text(trainer.updates(), a.settings.updates, last),
                              stop_signals.received());
  };
  while (unfinished()) {
    const std::int64_t stop =
        std::min(a.settings.updates, (trainer.updates() / a.validate_every + 1) * a.validate_every);
    const double wall = progress.seconds(), cpu = common::cpu_seconds();
    while (trainer.updates() < stop) {
      const double loss = trainer.update();
      progress.update(trainer.updates(), loss, static_cast<double>(trainer.symbols()));
      end_if_stopped();
    }
    result.seconds += progress.seconds() - wall;
    result.cpu_seconds += common::cpu_seconds() - cpu;
    const auto likely = trainer.translator().likelihood(validation);
    const double nats = likely.nats / static_cast<double>(likely.symbols);
    if (!std::isfinite(nats)) {
      tapeloop::fail("training",
                     fmt::format("it diverged: validation after update {} gives {}; lower --lr or "
                                 "set --clip; {} is from before",
                                 stop, nats, last));
    }
    const bool best = trainer.note_validation(nats);
    progress.clear();
    files.save(trainer.checkpoint(notes), trainer.history());
    progress.note(fmt::format("update {:>6}  train {:.4f}  validation {:.4f} nats per symbol{}",
                              stop, trainer.history().recent_mean(), nats, best ? "  (best)" : ""));
    end_if_stopped();
  }
  progress.clear();
  files.retry(trainer.checkpoint(notes), trainer.history());
  result.updates = trainer.updates();
  result.train_loss = trainer.history().recent_mean();
  result.stopped_early = trainer.updates() < a.settings.updates;
  if (result.seconds > 0) {
    result.symbols_per_second = static_cast<double>(trainer.symbols()) / result.seconds;
    result.updates_per_second = static_cast<double>(result.updates - first) / result.seconds;
  }
  trainer.use_best();
  common::print(
      "{} updates in {:.1f} s ({:.1f} s CPU, {:.1f} ms each){}; the best after update {}, "
      "validation {:.4f} nats per symbol\n",
      result.updates - first, result.seconds, result.cpu_seconds,
      result.updates_per_second > 0 ? 1e3 / result.updates_per_second : 0.0,
      result.stopped_early ? ", stopped early" : "", trainer.history().best_update,
      trainer.history().best_nats);
  std::fflush(stdout);
  return result;
}

Loaded load_translator(const nn::Checkpoint& saved, const std::string& task,
                       const std::string& path, tapeloop::Device device) {
  check_task(saved, task, path);
  Settings settings = settings_of(saved, path);
  settings.model.device = device;
  tapeloop::Random random(settings.seed);
  Loaded loaded{settings, Translator(languages_of(saved, path), settings.model, random)};
  nn::load_state_dict(loaded.translator.model(), saved.section("model"), path);
  return loaded;
}

}  // namespace seq2seq
