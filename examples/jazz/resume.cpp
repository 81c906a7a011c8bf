// SPDX-License-Identifier: MIT
// A training run as a checkpoint, and back.
// It saves only the positions of the streams and makes their notes again from the material.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "examples/common/notes.h"
#include "examples/jazz/train.h"
#include "tapeloop/autograd/tensor/error.h"

namespace jazz {

using namespace tapeloop;

namespace {

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

}  // namespace

nn::Checkpoint Trainer::checkpoint() const {
  nn::Checkpoint saved =
      learner_.state(notes_of(model_.options(), options_, material_.fingerprint()));
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
  // 0 in the file: no evaluation yet.
  const std::int64_t best_update = std::max<std::int64_t>(0, history().best_update);
  // Parts stand in the order of the files of earlier versions.
  saved.sections.insert(saved.sections.begin() + 1, {"best", history().best_weights});
  saved.sections.emplace_back("streams", positions);
  saved.sections.emplace_back("figures", figures(latest_, best_, best_update, notes_seen_));
  saved.randoms.insert(saved.randoms.begin(), {"data", random_});
  return saved;
}

void Trainer::check(const nn::Checkpoint& saved, const std::string& path) const {
  common::check_program(saved, kProgram, path);
  std::map<std::string, std::string> settings =
      notes_of(model_.options(), options_, material_.fingerprint());
  settings["updates"] = common::note(saved, "updates", path);  // may become another number
  common::check_resumed_settings(saved, settings, path, "music");
}

void Trainer::restore(const nn::Checkpoint& saved, const std::string& path) {
  const StateDict& figures = saved.section("figures");
  const StateDict& positions = saved.section("streams");
  const Tensor& places = tensor_of(positions, "places", path);
  const Tensor& counts = tensor_of(figures, "counts", path);
  if (places.shape() != Shape{options_.streams, 3} || places.dtype() != DType::int64 ||
      counts.shape() != Shape{2} || counts.dtype() != DType::int64) {
    fail("checkpoint",
         path + ": the streams or the counts have a wrong shape; this program did not write it");
  }
  learner_.restore_state(saved, path);
  for (std::size_t n = 0; n < streams_.size(); ++n) {
    const std::int64_t* row = places.data<std::int64_t>() + 3 * n;
    if (row[0] < 0 || row[0] >= static_cast<std::int64_t>(material_.training.size()) ||
        row[1] < 0 || row[1] > 11 || row[2] < 0) {
      fail("checkpoint",
           fmt::format("{}: stream {} is at tune {}, key {}, note {}; expected tune 0 to {}, key 0 "
                       "to 11, a note from 0; this program did not write it",
                       path, n, row[0], row[1], row[2], material_.training.size() - 1));
    }
    place(streams_[n], row[0], row[1], row[2]);
  }
  memory_.clear();
  for (std::size_t k = 0; k + 1 < positions.size(); ++k) {
    const Tensor& part = tensor_of(positions, fmt::format("memory{}", k), path);
    memory_.push_back(part.clone().to(model_.options().device));
  }
  latest_ = nats_of(tensor_of(figures, "latest", path));
  best_ = nats_of(tensor_of(figures, "best", path));
  common::History& history = learner_.history;
  history = {};
  history.best_weights = saved.section("best");
  if (best_) {
    history.best_nats = best_->total();
    history.best_update = counts.data<std::int64_t>()[0];
  }
  notes_seen_ = counts.data<std::int64_t>()[1];
  random_ = saved.random("data");
}

Model best_model(const nn::Checkpoint& saved, const Material& material, const std::string& path,
                 Device device) {
  common::check_program(saved, kProgram, path);
  if (common::note(saved, "music", path) != material.fingerprint()) {
    fail("checkpoint",
         fmt::format(
             "{} was trained on other music than {}; give the --data that it was trained with",
             path, material.name));
  }
  ModelOptions options;
  common::read_notes(table_of(options), saved, path);
  options.device = device;
  Random random(0);
  Model model(options, random);
  const StateDict& best = saved.section("best");
  nn::load_state_dict(model, best.empty() ? saved.section("model") : best, path);
  return model;
}

}  // namespace jazz
