// SPDX-License-Identifier: MIT
// The update, and checkpoints.
#include "examples/seq2seq/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "examples/common/hash.h"
#include "tapeloop/optim/schedule.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using tapeloop::Random;

std::string fingerprint(std::span<const Pair> pairs) {
  std::uint64_t hash = common::kNothingHashed;
  for (const Pair& pair : pairs) {
    for (const std::string_view part : {std::string_view(pair.source), std::string_view("\t"),
                                        std::string_view(pair.target), std::string_view("\n")}) {
      hash = common::fnv1a(part, hash);
    }
  }
  return fmt::format("{} pairs, {:016x}", pairs.size(), hash);
}

Trainer::Trainer(std::vector<Example> examples, Languages languages, const Settings& settings)
    : Trainer(std::move(examples), std::move(languages), settings, Random(settings.seed)) {}

Trainer::Trainer(std::vector<Example> examples, Languages languages, const Settings& settings,
                 Random random)
    : settings_(settings),
      translator_(std::move(languages), settings.model, random),
      examples_(std::move(examples)),
      batches_(examples_, settings.batch, random.split()),
      learner_(translator_.model(),
               {.adam = {.learning_rate = settings.learning_rate}, .clip = settings.clip}) {}

double Trainer::learning_rate() const {
  const double all = static_cast<double>(settings_.updates);
  // The product of the largest allowed counts rounds to 2^63, which int64 cannot hold.
  const double most = std::nextafter(0x1p63, 0);
  const auto falling = static_cast<std::int64_t>(std::min(all * settings_.decay, most));
  const std::int64_t since = updates() - (settings_.updates - falling);
  if (falling == 0 || since < 0) return settings_.learning_rate;
  return tapeloop::optim::Cosine({.steps = falling}).at(since, settings_.learning_rate);
}

double Trainer::update() {
  const Batch batch = batches_.next();
  learner_.adam().set_learning_rate(learning_rate());
  const double nats = learner_.update([&] {
    return cross_entropy(translator_.model()(batch.source, batch.source_lengths, batch.inputs),
                         batch.targets);
  });
  symbols_ += batch.symbols;
  learner_.history.note_loss(nats);
  return nats;
}

bool Trainer::finished() const {
  const bool patience_over = settings_.patience > 0 && history().since_best >= settings_.patience;
  return history().best_update >= 0 && (updates() >= settings_.updates || patience_over);
}

std::string Trainer::validate() {
  const auto likely = translator_.likelihood(validation);
  const double nats = likely.nats / static_cast<double>(likely.symbols);
  const bool best = note_validation(nats);
  return fmt::format("update {:>6}  train {:.4f}  validation {:.4f} nats per symbol{}", updates(),
                     history().recent_mean(), nats, best ? "  (best)" : "");
}

nn::Checkpoint Trainer::checkpoint() const {
  nn::Checkpoint result = learner_.checkpoint(notes);
  result.sections.emplace_back("batches", batches_.state_dict());
  return result;
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  learner_.restore(saved, path);
  batches_.load_state_dict(saved.section("batches"));
}

void Trainer::check(const nn::Checkpoint& saved, const std::string& path) const {
  check_task(saved, settings_.task, path);
  common::check_resumed_settings(saved, notes, path, "data");
}

}  // namespace seq2seq
