// SPDX-License-Identifier: MIT
// The update, validation and checkpoints.
#include "examples/char_lm/training.h"

#include <fmt/format.h>

#include <algorithm>

#include "examples/common/hash.h"
#include "examples/common/notes.h"
#include "examples/common/saver.h"
#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using common::note, common::number_note;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

// Steps of one chunk: bounds the memory. The carried state makes the result independent of it.
constexpr std::int64_t kValidationChunk = 500;

// Makes a name that checkpoints allow, such as "lstm.dropout.random".
std::string random_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace

std::map<std::string, std::string> notes_of(const Settings& s, const Vocabulary& vocabulary,
                                            const std::string& fingerprint) {
  return {{"program", kProgram},
          {"cell", s.model.cell},
          {"layers", fmt::format("{}", s.model.layers)},
          {"hidden", fmt::format("{}", s.model.hidden)},
          {"embedding", fmt::format("{}", s.model.embedding)},
          {"dropout", fmt::format("{}", s.model.dropout)},
          {"streams", fmt::format("{}", s.streams)},
          {"steps", fmt::format("{}", s.steps)},
          {"lr", fmt::format("{}", s.learning_rate)},
          {"clip", fmt::format("{}", s.clip)},
          {"seed", fmt::format("{}", s.seed)},
          {"lines", fmt::format("{}", s.lines ? 1 : 0)},
          {"text", fingerprint},
          {"vocabulary", vocabulary.escaped()}};
}

Settings settings_of(const nn::Checkpoint& saved, const std::string& path) {
  common::check_program(saved, kProgram, path);
  Settings s;
  s.model.cell = note(saved, "cell", path);
  s.model.layers = number_note<int>(saved, "layers", path);
  s.model.hidden = number_note<std::int64_t>(saved, "hidden", path);
  s.model.embedding = number_note<std::int64_t>(saved, "embedding", path);
  s.model.dropout = number_note<double>(saved, "dropout", path);
  s.streams = number_note<std::int64_t>(saved, "streams", path);
  s.steps = number_note<std::int64_t>(saved, "steps", path);
  s.learning_rate = number_note<double>(saved, "lr", path);
  s.clip = number_note<double>(saved, "clip", path);
  s.seed = number_note<std::uint64_t>(saved, "seed", path);
  s.lines = number_note<int>(saved, "lines", path) != 0;
  return s;
}

Vocabulary vocabulary_of(const nn::Checkpoint& saved, const std::string& path) {
  return Vocabulary::unescape(note(saved, "vocabulary", path));
}

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
      model_(vocabulary.size(), settings.model, random),
      streams_(corpus, vocabulary, settings.streams, settings.steps, random.split()),
      adam_(nn::parameters(model_), {.learning_rate = settings.learning_rate}),
      noted_(model_) {}

std::string Trainer::explain(const Batch& batch) const {
  noted_.put_back();
  return nn::find_non_finite(model_,
                             [&] {
                               Carried carried = before_;
                               return cross_entropy(model_(batch.x, carried), batch.y);
                             })
      .str();
}

double Trainer::update() {
  const Batch batch = streams_.at(updates_);
  if (batch.fresh) carried_.clear();
  before_ = carried_;
  noted_.note();
  tapeloop::Tape tape;
  const Var loss = cross_entropy(model_(batch.x, carried_), batch.y);
  const double nats = common::descend(tape, loss, adam_, settings_.clip, updates_ + 1,
                                      [&] { return explain(batch); });
  ++updates_;
  history.note_loss(nats);
  return nats;
}

nn::Checkpoint Trainer::checkpoint(const std::map<std::string, std::string>& notes) const {
  tapeloop::StateDict carried;
  for (std::size_t i = 0; i < carried_.size(); ++i)
    carried.push_back({std::to_string(i), carried_[i].value()});
  nn::Checkpoint result{.sections = {{"model", nn::state_dict(model_)},
                                     {"optimizer", adam_.state_dict()},
                                     {"carried", carried},
                                     {"history", history.state_dict()},
                                     {"best", history.best_weights}},
                        .step = updates_,
                        .notes = notes};
  for (const auto& [name, random] : nn::randoms(model_))
    result.randoms.emplace_back(random_name(name), *random);
  return result;
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  nn::load_state_dict(model_, saved.section("model"), path);
  adam_.load_state_dict(saved.section("optimizer"));
  for (const auto& [name, random] : nn::randoms(model_)) *random = saved.random(random_name(name));
  const tapeloop::StateDict& carried = saved.section("carried");
  carried_.assign(carried.size(), Var());
  for (const auto& [name, tensor] : carried) {
    carried_.at(std::stoul(name)) = Var(tensor.to(settings_.model.device));
  }
  history = common::history_of(saved, path);
  updates_ = saved.step;
}

}  // namespace char_lm
