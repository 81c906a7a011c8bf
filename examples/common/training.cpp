// SPDX-License-Identifier: MIT
// The update and the history of training.h.
#include "examples/common/training.h"

#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <map>
#include <numeric>

#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/optim/clip.h"

namespace common {

using tapeloop::Tensor;

namespace {

constexpr std::size_t kRecentLosses = 100;
constexpr double kLargestCount = 0x1p53;  // a double holds whole numbers up to it

Tensor number(double value) { return Tensor::full({1}, value, tapeloop::DType::float64); }

}  // namespace

double descend(tapeloop::Tape& tape, const tapeloop::Var& loss, tapeloop::optim::Adam& adam,
               double clip, std::int64_t update, const std::function<std::string()>& explain) {
  const double nats = loss.item();
  if (!std::isfinite(nats)) {
    tapeloop::fail("training",
                   fmt::format("the loss of update {} is {}; lower --lr or set --clip; {}", update,
                               nats, explain()));
  }
  adam.zero_grad();
  tape.backward(loss);
  if (clip > 0) {
    try {
      tapeloop::optim::clip_grad_norm(adam.parameters(), clip);
    } catch (const tapeloop::Error& error) {
      const std::string where = explain();
      tapeloop::fail("training", where.empty() ? fmt::format("update {}: {}", update,
                                                             without_name(error, "clip_grad_norm"))
                                               : fmt::format("the gradient of update {} is not "
                                                             "finite; lower --lr or --clip; {}",
                                                             update, where));
    }
  }
  adam.step();
  return nats;
}

void History::note_loss(double nats) {
  if (recent.size() == kRecentLosses) recent.erase(recent.begin());
  recent.push_back(nats);
}

double History::recent_mean() const {
  if (recent.empty()) return 0;
  return std::accumulate(recent.begin(), recent.end(), 0.0) / static_cast<double>(recent.size());
}

void check_validation(double nats, std::int64_t updates) {
  if (!std::isnan(nats)) return;
  tapeloop::fail("validation",
                 fmt::format("the loss after update {} is nan; lower --lr or set --clip; the "
                             "checkpoints of the last validation did not change",
                             updates));
}

bool History::note_validation(double nats, std::int64_t updates,
                              const tapeloop::StateDict& weights) {
  check_validation(nats, updates);
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
        fmt::format("the state is not that of a run; expected best_nats, best_update from "
                    "-1, since_best from 0 and at most {} recent losses; take another "
                    "copy or an older checkpoint",
                    kRecentLosses));
  }
  best_nats = lists["best_nats"][0];
  best_update = static_cast<std::int64_t>(lists["best_update"][0]);
  since_best = static_cast<std::int64_t>(lists["since_best"][0]);
  recent = lists["recent"];
}

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace common
