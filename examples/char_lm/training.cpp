// SPDX-License-Identifier: MIT
// The update, validation and checkpoints.
#include "examples/char_lm/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "autograd/error.h"
#include "optim/clip.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

constexpr std::int64_t kValidationChunk =
    500;  // steps; bounds memory, the carried state makes the result the same
constexpr std::size_t kRecentLosses = 100;

const std::string& note(const nn::Checkpoint& saved, const std::string& key,
                        const std::string& path) {
  const auto found = saved.notes.find(key);
  if (found == saved.notes.end()) {
    throw tapeloop::FileError(
        fmt::format("{}: this is no checkpoint of char_lm: it has no setting '{}'", path, key));
  }
  return found->second;
}

template <class T>
T number(const nn::Checkpoint& saved, const std::string& key, const std::string& path) {
  const std::string& text = note(saved, key, path);
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || !(value >= 0)) {
    throw tapeloop::FileError(
        fmt::format("{}: setting '{}' is '{}', not a number", path, key, text));
  }
  return value;
}

// "lstm.dropout.random" as a name that checkpoints allow.
std::string random_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace

std::map<std::string, std::string> notes_of(const Settings& s, const Vocabulary& vocabulary,
                                            const std::string& fingerprint) {
  return {{"cell", s.model.cell},
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
  Settings s;
  s.model.cell = note(saved, "cell", path);
  s.model.layers = number<int>(saved, "layers", path);
  s.model.hidden = number<std::int64_t>(saved, "hidden", path);
  s.model.embedding = number<std::int64_t>(saved, "embedding", path);
  s.model.dropout = number<double>(saved, "dropout", path);
  s.streams = number<std::int64_t>(saved, "streams", path);
  s.steps = number<std::int64_t>(saved, "steps", path);
  s.learning_rate = number<double>(saved, "lr", path);
  s.clip = number<double>(saved, "clip", path);
  s.seed = number<std::uint64_t>(saved, "seed", path);
  s.lines = number<int>(saved, "lines", path) != 0;
  return s;
}

Vocabulary vocabulary_of(const nn::Checkpoint& saved, const std::string& path) {
  return Vocabulary::unescape(note(saved, "vocabulary", path));
}

std::string fingerprint(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return fmt::format("{} bytes, {:016x}", text.size(), hash);
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

double History::recent_mean() const {
  if (recent.empty()) return 0;
  return std::accumulate(recent.begin(), recent.end(), 0.0) / static_cast<double>(recent.size());
}

// --- Trainer ---

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
  const double nats = loss.item();
  if (!std::isfinite(nats)) {
    tapeloop::fail("training",
                   fmt::format("the loss of update {} is {}; lower --lr or set --clip; {}",
                               updates_ + 1, nats, explain(batch)));
  }
  adam_.zero_grad();
  tape.backward(loss);
  if (settings_.clip > 0) {
    try {
      tapeloop::optim::clip_grad_norm(adam_.parameters(), settings_.clip);
    } catch (const tapeloop::Error& error) {
      tapeloop::fail("training", fmt::format("update {}: {}; lower --lr or --clip; {}",
                                             updates_ + 1, error.what(), explain(batch)));
    }
  }
  adam_.step();
  ++updates_;
  if (history.recent.size() == kRecentLosses) history.recent.erase(history.recent.begin());
  history.recent.push_back(nats);
  return nats;
}

nn::Checkpoint Trainer::checkpoint(const std::map<std::string, std::string>& notes) const {
  tapeloop::StateDict carried;
  for (std::size_t i = 0; i < carried_.size(); ++i)
    carried.push_back({std::to_string(i), carried_[i].value()});
  const tapeloop::StateDict past{
      {"best_nats", Tensor::full({1}, history.best_nats, tapeloop::DType::float64)},
      {"best_update", Tensor::from<std::int64_t>({1}, {history.best_update})},
      {"recent", Tensor::from({static_cast<std::int64_t>(history.recent.size())}, history.recent)}};
  nn::Checkpoint result{.sections = {{"model", nn::state_dict(model_)},
                                     {"optimizer", adam_.state_dict()},
                                     {"carried", carried},
                                     {"history", past}},
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
  for (const auto& [name, tensor] : saved.section("history")) {
    if (name == "best_nats") history.best_nats = tensor.item();
    if (name == "best_update") history.best_update = static_cast<std::int64_t>(tensor.item());
    if (name == "recent") history.recent = tensor.to_vector<double>();
  }
  updates_ = saved.step;
}

}  // namespace char_lm
