// SPDX-License-Identifier: MIT
// The update, and checkpoints.
#include "examples/seq2seq/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "examples/common/hash.h"
#include "examples/common/saver.h"
#include "examples/seq2seq/notes.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/optim/schedule.h"

namespace seq2seq {

namespace nn = tapeloop::nn;
using common::note, common::number_note;
using tapeloop::Random;
using tapeloop::Var;

namespace {

const char* name_of(Unit unit) { return unit == Unit::character ? "character" : "word"; }

Unit unit_of(const nn::Checkpoint& saved, const std::string& key, const std::string& path) {
  const std::string& text = note(saved, key, path);
  if (text == "word") return Unit::word;
  if (text == "character") return Unit::character;
  throw tapeloop::FileError(
      fmt::format("{}: the setting '{}' is '{}', expected word or character", path, key, text));
}

}  // namespace

std::map<std::string, std::string> notes_of(const Settings& s, const Languages& languages,
                                            const std::string& fingerprint) {
  return {{"program", kProgram},
          {"task", s.task},
          {"cell", s.model.cell},
          {"directions", s.model.bidirectional ? "2" : "1"},
          {"layers", fmt::format("{}", s.model.layers)},
          {"hidden", fmt::format("{}", s.model.hidden)},
          {"embedding", fmt::format("{}", s.model.embedding)},
          {"attention", s.model.attention},
          {"attend", s.model.attend},
          {"dropout", fmt::format("{}", s.model.dropout)},
          {"batch", fmt::format("{}", s.batch)},
          {"lr", fmt::format("{}", s.learning_rate)},
          {"decay", fmt::format("{}", s.decay)},
          {"clip", fmt::format("{}", s.clip)},
          {"longest", fmt::format("{}", s.most_symbols)},
          {"seed", fmt::format("{}", s.seed)},
          {"source-unit", name_of(languages.source_unit)},
          {"target-unit", name_of(languages.target_unit)},
          {"source-vocabulary", languages.source.to_text()},
          {"target-vocabulary", languages.target.to_text()},
          {"data", fingerprint}};
}

Settings settings_of(const nn::Checkpoint& saved, const std::string& path) {
  Settings s;
  s.task = check_task(saved, "", path);
  s.model.cell = note(saved, "cell", path);
  s.model.bidirectional = number_note<int>(saved, "directions", path) == 2;
  s.model.layers = number_note<int>(saved, "layers", path);
  s.model.hidden = number_note<std::int64_t>(saved, "hidden", path);
  s.model.embedding = number_note<std::int64_t>(saved, "embedding", path);
  s.model.attention = note(saved, "attention", path);
  s.model.attend = note(saved, "attend", path);
  s.model.dropout = number_note<double>(saved, "dropout", path);
  s.batch = number_note<std::int64_t>(saved, "batch", path);
  s.learning_rate = number_note<double>(saved, "lr", path);
  s.decay = number_note<double>(saved, "decay", path);
  s.clip = number_note<double>(saved, "clip", path);
  s.most_symbols = number_note<std::int64_t>(saved, "longest", path);
  s.seed = number_note<std::uint64_t>(saved, "seed", path);
  return s;
}

Languages languages_of(const nn::Checkpoint& saved, const std::string& path) {
  return {unit_of(saved, "source-unit", path), unit_of(saved, "target-unit", path),
          Vocabulary::from_text(note(saved, "source-vocabulary", path)),
          Vocabulary::from_text(note(saved, "target-vocabulary", path))};
}

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
      noted_(translator_.model()),
      examples_(std::move(examples)),
      batches_(examples_, settings.batch, random.split()),
      adam_(nn::parameters(translator_.model()), {.learning_rate = settings.learning_rate}) {}

double Trainer::learning_rate() const {
  const double all = static_cast<double>(settings_.updates);
  // The product of the largest allowed counts rounds to 2^63, which int64 cannot hold.
  const double most = std::nextafter(0x1p63, 0);
  const auto falling = static_cast<std::int64_t>(std::min(all * settings_.decay, most));
  const std::int64_t since = updates_ - (settings_.updates - falling);
  if (falling == 0 || since < 0) return settings_.learning_rate;
  return tapeloop::optim::Cosine({.steps = falling}).at(since, settings_.learning_rate);
}

Var Trainer::loss_of(const Batch& batch) const {
  return cross_entropy(translator_.model()(batch.source, batch.source_lengths, batch.inputs),
                       batch.targets);
}

std::string Trainer::explain(const Batch& batch) const {
  noted_.put_back();
  return nn::find_non_finite(translator_.model(), [&] { return loss_of(batch); }).str();
}

double Trainer::update() {
  const Batch batch = batches_.next();
  noted_.note();
  tapeloop::Tape tape;
  const Var loss = loss_of(batch);
  adam_.set_learning_rate(learning_rate());
  const double nats = common::descend(tape, loss, adam_, settings_.clip, updates_ + 1,
                                      [&] { return explain(batch); });
  ++updates_;
  symbols_ += batch.symbols;
  history_.note_loss(nats);
  return nats;
}

bool Trainer::note_validation(double nats) {
  return history_.note_validation(nats, updates_, nn::state_dict(translator_.model()));
}

void Trainer::use_best() {
  if (history_.best_update < 0) return;
  nn::load_state_dict(translator_.model(), history_.best_weights, "the best weights");
}

nn::Checkpoint Trainer::checkpoint(const std::map<std::string, std::string>& notes) const {
  nn::Checkpoint result{.sections = {{"model", nn::state_dict(translator_.model())},
                                     {"optimizer", adam_.state_dict()},
                                     {"history", history_.state_dict()},
                                     {"best", history_.best_weights},
                                     {"batches", batches_.state_dict()}},
                        .step = updates_,
                        .notes = notes};
  for (const auto& [name, random] : nn::randoms(translator_.model())) {
    result.randoms.emplace_back(name, *random);
  }
  return result;
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  nn::load_state_dict(translator_.model(), saved.section("model"), path);
  adam_.load_state_dict(saved.section("optimizer"));
  batches_.load_state_dict(saved.section("batches"));
  for (const auto& [name, random] : nn::randoms(translator_.model())) *random = saved.random(name);
  history_ = common::history_of(saved, path);
  updates_ = saved.step;
}

}  // namespace seq2seq
