// SPDX-License-Identifier: MIT
// A training run as a checkpoint, and back.
// It saves only the positions of the streams and makes their notes again from the material.
#include <fmt/format.h>

#include <limits>

#include "examples/common/notes.h"
#include "examples/jazz/train.h"
#include "tapeloop/autograd/tensor/error.h"

namespace jazz {

using namespace tapeloop;

namespace {

constexpr const char* kWhat = "jazz, format 1";

StateDict figures(const std::optional<NatsPerNote>& latest, const std::optional<NatsPerNote>& best,
                  std::int64_t best_update, std::int64_t notes_seen) {
  const auto row = [](const std::optional<NatsPerNote>& nats) {
    if (!nats) return Tensor::zeros({0}, DType::float64);
    return Tensor::from<double>({3}, {nats->delta, nats->pitch, nats->duration});
  };
  return {{"latest", row(latest)},
          {"best", row(best)},
          {"counts", Tensor::from<std::int64_t>({2}, {best_update, notes_seen})}};
}

const Tensor& tensor_of(const StateDict& section, const std::string& name,
                        const std::string& path) {
  for (const NamedTensor& item : section) {
    if (item.name == name) return item.tensor;
  }
  fail("checkpoint", fmt::format("{} has no '{}'; this program did not write it", path, name));
}

std::optional<NatsPerNote> nats_of(const Tensor& row) {
  if (row.numel() != 3) return std::nullopt;
  return NatsPerNote{row.at({0}), row.at({1}), row.at({2})};
}

std::int64_t number(const nn::Checkpoint& saved, const std::string& name, const std::string& path) {
  const auto found = saved.notes.find(name);
  if (found == saved.notes.end()) {
    fail("checkpoint",
         fmt::format("{} has no setting '{}'; this program did not write it", path, name));
  }
  char* end = nullptr;
  const long value = std::strtol(found->second.c_str(), &end, 10);
  if (*end != '\0' || value < 1 || value > 65536) {
    fail("checkpoint", fmt::format("{}: {} is '{}', expected a number from 1 to 65536", path, name,
                                   found->second));
  }
  return value;
}

}  // namespace

std::map<std::string, std::string> settings_of(const ModelOptions& model,
                                               const TrainOptions& options,
                                               const Material& material) {
  return {{"program", kWhat},
          {"music", material.fingerprint()},
          {"cell", model.gru ? "gru" : "lstm"},
          {"hidden", fmt::format("{}", model.hidden)},
          {"layers", fmt::format("{}", model.layers)},
          {"embedding", fmt::format("{}", model.embedding)},
          {"dropout", fmt::format("{}", model.dropout)},
          {"forget", fmt::format("{}", model.forget)},
          {"updates", fmt::format("{}", options.updates)},
          {"streams", fmt::format("{}", options.streams)},
          {"steps", fmt::format("{}", options.steps)},
          {"evaluate-every", fmt::format("{}", options.evaluate_every)},
          {"lr", fmt::format("{}", options.learning_rate)},
          {"weight-decay", fmt::format("{}", options.weight_decay)},
          {"clip", fmt::format("{}", options.clip)},
          {"seed", fmt::format("{}", options.seed)}};
}

nn::Checkpoint Trainer::checkpoint() const {
  nn::Checkpoint saved{.step = updates(),
                       .notes = settings_of(model_.options(), options_, material_)};
  StateDict positions;
  Tensor places = Tensor::zeros({options_.streams, 3}, DType::int64);
  for (std::size_t n = 0; n < streams_.size(); ++n) {
    std::int64_t* row = places.data<std::int64_t>() + 3 * n;
    row[0] = streams_[n].tune;
    row[1] = streams_[n].semitones;
    row[2] = streams_[n].next;
  }
  positions.push_back({"places", places});
  for (std::size_t k = 0; k < memory_.size(); ++k) {
    positions.push_back({fmt::format("memory{}", k), memory_[k]});
  }
  saved.sections = {{"model", nn::state_dict(model_)},
                    {"best", best_weights_},
                    {"optimizer", adam_->state_dict()},
                    {"streams", positions},
                    {"figures", figures(latest_, best_, best_update_, notes_seen_)}};
  saved.randoms.emplace_back("data", random_);
  for (const auto& [name, random] : nn::randoms(model_)) saved.randoms.emplace_back(name, *random);
  return saved;
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  common::check_program(saved, kWhat, path);
  common::check_resumed_settings(saved, settings_of(model_.options(), options_, material_), path,
                                 "music");
  const StateDict& figures = saved.section("figures");
  const StateDict& positions = saved.section("streams");
  const Tensor& places = tensor_of(positions, "places", path);
  const Tensor& counts = tensor_of(figures, "counts", path);
  if (places.shape() != Shape{options_.streams, 3} || places.dtype() != DType::int64 ||
      counts.shape() != Shape{2} || counts.dtype() != DType::int64) {
    fail("checkpoint",
         path + ": the streams or the counts have a wrong shape; this program did not write it");
  }
  nn::load_state_dict(model_, saved.section("model"), path);
  adam_->load_state_dict(saved.section("optimizer"));
  for (std::size_t n = 0; n < streams_.size(); ++n) {
    const std::int64_t* row = places.data<std::int64_t>() + 3 * n;
    if (row[0] < 0 || row[0] >= static_cast<std::int64_t>(material_.training.size()) ||
        row[1] < 0 || row[1] > 11 || row[2] < 0) {
      fail("checkpoint", fmt::format("{}: stream {} stands at tune {}, key {}, note {}", path, n,
                                     row[0], row[1], row[2]));
    }
    place(streams_[n], row[0], row[1], row[2]);
  }
  memory_.clear();
  for (std::size_t k = 0; k + 1 < positions.size(); ++k) {
    const Tensor& part = tensor_of(positions, fmt::format("memory{}", k), path);
    memory_.push_back(part.clone().to(model_.options().device));
  }
  best_weights_ = saved.section("best");
  latest_ = nats_of(tensor_of(figures, "latest", path));
  best_ = nats_of(tensor_of(figures, "best", path));
  best_update_ = counts.data<std::int64_t>()[0];
  notes_seen_ = counts.data<std::int64_t>()[1];
  random_ = saved.random("data");
  for (const auto& [name, random] : nn::randoms(model_)) *random = saved.random(name);
}

Model best_model(const nn::Checkpoint& saved, const Material& material, const std::string& path,
                 Device device) {
  const auto note = [&](const char* name) {
    const auto found = saved.notes.find(name);
    return found == saved.notes.end() ? std::string("nothing") : found->second;
  };
  common::check_program(saved, kWhat, path);
  if (note("music") != material.fingerprint()) {
    fail("checkpoint",
         fmt::format(
             "{} was trained on other music than {}; give the --data that it was trained with",
             path, material.name));
  }
  ModelOptions options;
  options.gru = note("cell") == "gru";
  options.hidden = number(saved, "hidden", path);
  options.layers = static_cast<int>(number(saved, "layers", path));
  options.embedding = number(saved, "embedding", path);
  options.device = device;
  Random random(0);
  Model model(options, random);
  const StateDict& best = saved.section("best");
  nn::load_state_dict(model, best.empty() ? saved.section("model") : best, path);
  return model;
}

}  // namespace jazz
