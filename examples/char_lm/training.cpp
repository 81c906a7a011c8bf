// SPDX-License-Identifier: MIT
// The update, validation and checkpoints.
#include "examples/char_lm/training.h"

#include <fmt/format.h>

#include <algorithm>

#include "examples/common/hash.h"
#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

// Steps of one chunk: bounds the memory. The carried state makes the result independent of it.
constexpr std::int64_t kValidationChunk = 500;

}  // namespace

std::string fingerprint(std::string_view text) {
  return fmt::format("{} bytes, {:016x}", text.size(), common::fnv1a(text));
}

double validate(const CharLm& model, const Vocabulary& vocabulary, std::string_view text) {
  std::vector<std::int64_t> tokens;
  tokens.reserve(text.size());
  for (char symbol : text) tokens.push_back(vocabulary.index(symbol));
  const Tensor all = Tensor::from({static_cast<std::int64_t>(tokens.size()), 1}, tokens);
  const std::int64_t predicted = all.dim(0) - 1;
  Carried carried;
  double total = 0;
  for (std::int64_t start = 0; start < predicted; start += kValidationChunk) {
    const std::int64_t stop = std::min(start + kValidationChunk, predicted);
    const Var logits = model(all.slice(0, start, stop), carried);
    total +=
        cross_entropy(logits, all.slice(0, start + 1, stop + 1), {.reduce = tapeloop::Reduce::sum})
            .item();
  }
  return total / static_cast<double>(predicted);
}

Trainer::Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings)
    : Trainer(corpus, vocabulary, settings, Random(settings.seed)) {}

Trainer::Trainer(const Corpus& corpus, const Vocabulary& vocabulary, const Settings& settings,
                 Random random)
    : settings_(settings),
      corpus_(corpus),
      vocabulary_(vocabulary),
      model_(vocabulary.size(), settings.model, random),
      streams_(corpus, vocabulary, settings.streams, settings.steps, random.split()),
      learner_(
          model_,
          {.adam = {.learning_rate = settings.learning_rate}, .clip = settings.clip, .dot = '_'}) {}

double Trainer::update() {
  const Batch batch = streams_.at(updates());
  if (batch.fresh) carried_.clear();
  const Carried before = carried_;
  const double nats = learner_.update([&] {
    carried_ = before;
    return cross_entropy(model_(batch.x, carried_), batch.y);
  });
  learner_.history.note_loss(nats);
  return nats;
}

double Trainer::units() const {
  return static_cast<double>(updates() * settings_.streams * settings_.steps);
}

bool Trainer::finished() const {
  return updates() >= settings_.updates && history().best_update >= 0;
}

std::string Trainer::validate() {
  validated_ = char_lm::validate(model_, vocabulary_, corpus_.validation);
  const bool best = learner_.note_validation(*validated_);
  return fmt::format("update {:>6}  train {:.4f}  validation {:.4f} nats{}", updates(),
                     history().recent_mean(), *validated_, best ? "  (best)" : "");
}

double Trainer::validation_nats() const {
  return validated_ ? *validated_ : char_lm::validate(model_, vocabulary_, corpus_.validation);
}

nn::Checkpoint Trainer::checkpoint() const {
  tapeloop::StateDict carried;
  for (std::size_t i = 0; i < carried_.size(); ++i) {
    carried.push_back({std::to_string(i), carried_[i]});
  }
  nn::Checkpoint result = learner_.checkpoint(notes);
  // Between the optimizer and the history, as in the files of earlier versions.
  result.sections.insert(result.sections.begin() + 2, {"carried", carried});
  return result;
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  learner_.restore(saved, path);
  const tapeloop::StateDict& carried = saved.section("carried");
  carried_.assign(carried.size(), Tensor());
  for (const auto& [name, tensor] : carried) {
    carried_.at(std::stoul(name)) = tensor.to(settings_.model.device);
  }
}

void Trainer::check(const nn::Checkpoint& saved, const std::string& path) const {
  common::check_program(saved, kProgram, path);
  common::check_resumed_settings(saved, notes, path, "text");
}

}  // namespace char_lm
