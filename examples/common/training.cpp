// SPDX-License-Identifier: MIT
// The update, the history and the checkpoint of training.h.
#include "examples/common/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <numeric>

#include "examples/common/notes.h"
#include "examples/common/saver.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/optim/clip.h"

namespace common {

namespace nn = tapeloop::nn;
using tapeloop::Tensor;

namespace {

constexpr std::size_t kRecentLosses = 100;
constexpr double kLargestCount = 0x1p53;  // a double holds whole numbers up to it

Tensor number(double value) { return Tensor::full({1}, value, tapeloop::DType::float64); }

}  // namespace

void History::note_loss(double nats) {
  if (recent.size() == kRecentLosses) recent.erase(recent.begin());
  recent.push_back(nats);
}

double History::recent_mean() const {
  if (recent.empty()) return 0;
  return std::accumulate(recent.begin(), recent.end(), 0.0) / static_cast<double>(recent.size());
}

bool History::note_validation(double nats, std::int64_t updates,
                              const tapeloop::StateDict& weights) {
  if (!std::isfinite(nats)) {
    tapeloop::fail(
        "validation",
        fmt::format("the model diverged: the loss after update {} is {}; lower --lr or set "
                    "--clip; the checkpoints of the validation before that are unchanged",
                    updates, nats));
  }
  const bool best = best_update < 0 || nats < best_nats;
  if (best) {
    best_weights.clear();
    for (const auto& [name, tensor] : weights) {
      const bool here = tensor.device() == tapeloop::Device::cpu;
      best_weights.push_back({name, here ? tensor.clone() : tensor.to(tapeloop::Device::cpu)});
    }
    best_nats = nats;
    best_update = updates;
    since_best = 0;
  } else {
    ++since_best;
  }
  return best;
}

tapeloop::StateDict History::state_dict() const {
  return {{"best_nats", number(best_nats)},
          {"best_update", number(static_cast<double>(best_update))},
          {"since_best", number(static_cast<double>(since_best))},
          {"recent", Tensor::from({static_cast<std::int64_t>(recent.size())}, recent)}};
}

void History::load_state_dict(const tapeloop::StateDict& state) {
  std::map<std::string, std::vector<double>> lists;
  for (const auto& [name, tensor] : state) {
    const bool numbers = tensor.dtype() == tapeloop::DType::float64 && tensor.rank() == 1;
    lists.emplace(name, numbers ? tensor.to_vector<double>() : std::vector<double>());
  }
  const auto count = [&](const char* name, double low) {
    const std::vector<double>& list = lists[name];
    return list.size() == 1 && list[0] >= low && list[0] <= kLargestCount &&
           list[0] == std::trunc(list[0]);
  };
  const bool has_recent = lists.contains("recent") && lists["recent"].size() <= kRecentLosses;
  if (!count("best_update", -1) || !count("since_best", 0) || lists["best_nats"].size() != 1 ||
      !has_recent || state.size() != state_dict().size()) {
    tapeloop::fail(
        "history",
        fmt::format("this state was not saved by a run; expected best_nats, best_update from "
                    "-1, since_best from 0 and at most {} recent losses; take another "
                    "copy or an older checkpoint",
                    kRecentLosses));
  }
  best_nats = lists["best_nats"][0];
  best_update = static_cast<std::int64_t>(lists["best_update"][0]);
  since_best = static_cast<std::int64_t>(lists["since_best"][0]);
  recent = lists["recent"];
}

double Learner::update(const std::function<tapeloop::Var()>& loss) {
  const auto explain = [&] {
    noted_.put_back();
    return find_non_finite_(loss);
  };
  noted_.note();
  tapeloop::Tape tape;
  const tapeloop::Var mean = loss();
  const double nats = mean.item();
  if (!std::isfinite(nats)) {
    tapeloop::fail("training",
                   fmt::format("the loss of update {} is {}; lower --lr{}; {}", updates_ + 1, nats,
                               options_.clip_option ? " or set --clip" : "", explain()));
  }
  adam_.zero_grad();
  tape.backward(mean);
  if (options_.clip > 0) {
    try {
      tapeloop::optim::clip_grad_norm(parameters_, options_.clip);
    } catch (const tapeloop::Error& error) {
      const std::string where = explain();
      tapeloop::fail(
          "training",
          where.empty()
              ? fmt::format("update {}: {}", updates_ + 1, without_name(error, "clip_grad_norm"))
              : fmt::format("the gradient of update {} is not finite; lower --lr{}; {}",
                            updates_ + 1, options_.clip_option ? " or --clip" : "", where));
    }
  }
  adam_.step();
  ++updates_;
  return nats;
}

bool Learner::note_validation(double nats) {
  return history.note_validation(nats, updates_, weights());
}

void Learner::use_best() {
  if (!history.best_weights.empty()) {
    nn::assign(values_, history.best_weights, "the best weights");
  }
}

tapeloop::StateDict Learner::weights() const {
  tapeloop::StateDict result;
  for (const auto& [name, var] : values_) result.push_back({name, var.value()});
  return result;
}

nn::Checkpoint Learner::state(const std::map<std::string, std::string>& notes) const {
  nn::Checkpoint result{.sections = {{"model", weights()}, {"optimizer", adam_.state_dict()}},
                        .step = updates_,
                        .notes = notes};
  for (auto& [name, tensor] : result.sections[0].second) tensor = tensor.clone();
  for (const auto& [name, random] : randoms_) result.randoms.emplace_back(kept_name(name), *random);
  return result;
}

void Learner::restore_state(const nn::Checkpoint& saved, const std::string& path) {
  nn::assign(values_, saved.section("model"), path);
  adam_.load_state_dict(saved.section("optimizer"));
  for (const auto& [name, random] : randoms_) *random = saved.random(kept_name(name));
  updates_ = saved.step;
}

nn::Checkpoint Learner::checkpoint(const std::map<std::string, std::string>& notes) const {
  nn::Checkpoint result = state(notes);
  result.sections.emplace_back("history", history.state_dict());
  result.sections.emplace_back("best", history.best_weights);
  return result;
}

void Learner::restore(const nn::Checkpoint& saved, const std::string& path) {
  restore_state(saved, path);
  history = history_of(saved, path);
}

std::string Learner::kept_name(std::string name) const {
  std::replace(name.begin(), name.end(), '.', options_.dot);
  return name;
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace common
