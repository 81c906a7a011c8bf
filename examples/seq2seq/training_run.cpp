// SPDX-License-Identifier: MIT
// A run, from the material to the best weights.
#include "examples/seq2seq/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "examples/common/console.h"
#include "examples/common/output.h"
#include "examples/common/paths.h"
#include "examples/common/run_lock.h"

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
  Trained result;
  result.trainer =
      std::make_unique<Trainer>(examples_of(material.train, languages), languages, settings);
  Trainer& trainer = *result.trainer;
  trainer.notes = notes_of(settings, languages, fingerprint(material.train));
  std::span<const Pair> validated = material.validation;
  validated = validated.first(std::min(validated.size(), kMostValidated));
  trainer.validation = examples_of(validated, languages);
  if (!a.resume) common::make_folder(folder);
  std::error_code ignored;
  std::optional<common::RunLock> lock;  // the program already holds the lock of --out
  if (std::filesystem::is_directory(folder, ignored) && !common::same_place(folder, a.common.out)) {
    lock.emplace(folder);
  }
  common::Run run(trainer, {.folder = folder,
                            .updates = settings.updates,
                            .validate_every = a.validate_every,
                            .unit = "symbols"});
  if (a.resume) run.resume(common::read_of_run(run.last(), "--resume"));
  result.parameters = nn::parameter_count(trainer.translator().model());
  common::print("{}: {} training pairs, {} and {} symbols; {}, {} parameters, seed {}\n",
                settings.task, material.train.size(), languages.source.size(),
                languages.target.size(), shape_of(settings), result.parameters, settings.seed);
  result.run = run.train();
  result.updates = trainer.updates();
  result.train_loss = trainer.history().recent_mean();
  result.stopped_early = trainer.updates() < settings.updates;
  trainer.use_best();
  common::print(
      "{} updates in {:.1f} s ({:.1f} s CPU, {:.1f} ms each){}; the best after update {}, "
      "validation {:.4f} nats per symbol\n",
      result.run.updates, result.run.seconds, result.run.cpu_seconds,
      result.run.updates > 0 ? 1e3 * result.run.seconds / static_cast<double>(result.run.updates)
                             : 0.0,
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
