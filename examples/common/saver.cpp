// SPDX-License-Identifier: MIT
// Writes files by nn/save/checkpoint.h and remembers the saves that failed.
#include "examples/common/saver.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>

#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "tapeloop/autograd/tensor/error.h"

namespace common {

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;

namespace {

// Failed saves, by path. CommandLine::run() reads them after the training loops have ended.
std::map<std::string, std::string>& failures() {
  static std::map<std::string, std::string> all;
  return all;
}

// Returns nullptr if the section is absent or empty.
const tapeloop::StateDict* section_of(const nn::Checkpoint& saved, const std::string& name) {
  for (const auto& [own, state] : saved.sections) {
    if (own == name && !state.empty()) return &state;
  }
  return nullptr;
}

// The history in a run's checkpoint, with the best weights if the checkpoint has them.
History history_in(const nn::Checkpoint& saved, const std::string& path) {
  History history;
  if (const tapeloop::StateDict* state = section_of(saved, "history")) {
    try {
      history.load_state_dict(*state);
    } catch (const tapeloop::Error& error) {
      throw tapeloop::FileError(path + ": " + error.what());
    }
  }
  if (const tapeloop::StateDict* weights = section_of(saved, "best")) {
    history.best_weights = *weights;
  }
  return history;
}

// Returns the best weights of a run as a separate checkpoint.
nn::Checkpoint best_in(const nn::Checkpoint& run, const History& history) {
  return {.sections = {{"model", history.best_weights}},
          .step = history.best_update,
          .notes = run.notes};
}

bool same_bits(const tapeloop::Tensor& a, const tapeloop::Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const tapeloop::Tensor x = a.contiguous(), y = b.contiguous();
  const std::int64_t bytes = x.numel() * static_cast<std::int64_t>(tapeloop::size_of(x.dtype()));
  return bytes == 0 || std::memcmp(x.raw(), y.raw(), static_cast<std::size_t>(bytes)) == 0;
}

// Compares by name: the file may list the tensors in another order.
bool same_weights(const tapeloop::StateDict& a, const tapeloop::StateDict& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& item) {
           return std::any_of(b.begin(), b.end(), [&](const auto& other) {
             return item.name == other.name && same_bits(item.tensor, other.tensor);
           });
         });
}

// Compares weights, not only settings and update: two runs of the same settings may differ in
// --updates. Files of earlier versions have no weights to compare.
bool is_best_of(const nn::Checkpoint& best, const nn::Checkpoint& run, const History& history) {
  if (best.notes != run.notes || best.step != history.best_update) return false;
  const tapeloop::StateDict* weights = section_of(best, "model");
  return weights != nullptr &&
         (history.best_weights.empty() || same_weights(*weights, history.best_weights));
}

}  // namespace

bool Saver::save(const nn::Checkpoint& now) {
  std::string problem;
  try {
    nn::save_checkpoint(path_, now);
  } catch (const tapeloop::FileError& error) {
    problem = error.what();
  } catch (const std::bad_alloc&) {
    problem = path_ + ": memory ran out";
  }
  if (problem.empty()) {
    failures().erase(path_);
    saved_ = now.step;
    return true;
  }
  say("warning: update {} is not saved: {}\n", now.step, problem);
  std::fflush(stderr);
  failures()[path_] = fmt::format("update {} could not be saved, {}: {}", now.step,
                                  saved_ < 0 ? path_ + " holds no update of this run"
                                             : fmt::format("{} is of update {}", path_, saved_),
                                  problem);
  return false;
}

void Saver::save_or_throw(const nn::Checkpoint& now) {
  if (save(now)) return;
  throw tapeloop::FileError("the run was stopped; " + failures().at(path_));
}

std::string unsaved() {
  std::string text;
  for (const auto& [path, problem] : failures()) text += (text.empty() ? "" : "\n") + problem;
  return text;
}

RunFiles::RunFiles(const std::string& folder, const char* only)
    : last_(folder + "/" + (only == nullptr ? "last.safetensors" : only)),
      best_(only == nullptr ? folder + "/best.safetensors" : "") {}

void RunFiles::save(const nn::Checkpoint& now, const History& history) {
  last_saved_ = last_.save(now);
  // Saved in this order, best.safetensors is never newer than last.safetensors, from which a run
  // resumes.
  if (last_saved_) save_best(now, history);
}

void RunFiles::save_best(const nn::Checkpoint& now, const History& history) {
  if (best().empty() || history.best_update < 0 || best_saved_ == history.best_update) return;
  if (best_.save(best_in(now, history))) best_saved_ = history.best_update;
}

void RunFiles::resume(const nn::Checkpoint& saved, const History& history) {
  last_ = Saver(last_.path(), saved.step);
  std::error_code ignored;
  if (history.best_update >= 0 && !best().empty() && fs::exists(best(), ignored)) {
    try {
      if (is_best_of(nn::read_checkpoint(best()), saved, history)) {
        best_saved_ = history.best_update;
        best_ = Saver(best_.path(), history.best_update);
      }
    } catch (const tapeloop::FileError&) {  // the file is damaged: save_best() makes it again
    }
  }
  save_best(saved, history);
}

void RunFiles::retry(const nn::Checkpoint& now, const History& history) {
  if (!last_saved_)
    save(now, history);
  else
    save_best(now, history);
}

History history_of(const nn::Checkpoint& saved, const std::string& path) {
  saved.section("history");  // throws if absent
  History history = history_in(saved, path);
  if (history.best_update < 0 || !history.best_weights.empty()) return history;
  const fs::path beside = fs::path(path).parent_path() / "best.safetensors";
  const std::string missing = fmt::format("{}: it has no best weights, ", path);
  std::error_code ignored;
  if (!fs::exists(beside, ignored)) {
    throw tapeloop::FileError(fmt::format(
        "{}and there is no {}; put that file of the same run there, or leave --resume out to start "
        "a new run",
        missing, beside.string()));
  }
  const nn::Checkpoint best = nn::read_checkpoint(beside.string());
  if (!is_best_of(best, saved, history)) {
    throw tapeloop::FileError(
        fmt::format("{}and {} is of another run; put that file of the same run there, or leave "
                    "--resume out to start a new run",
                    missing, beside.string()));
  }
  history.best_weights = best.section("model");
  return history;
}

nn::Checkpoint read_best(const std::string& path, const char* option) {
  const fs::path beside = fs::path(path).parent_path() / "last.safetensors";
  std::error_code ignored;
  if (fs::path(path).filename() != "best.safetensors" || !fs::exists(beside, ignored)) {
    return read_of_run(path, option);
  }
  nn::Checkpoint last;
  History history;
  try {
    last = nn::read_checkpoint(beside.string());
    history = history_in(last, beside.string());
  } catch (const tapeloop::FileError& error) {
    say("warning: {}; {} is used without comparing the two\n", error.what(), path);
    return read_of_run(path, option);
  }
  const bool has_best = history.best_update >= 0 && !history.best_weights.empty();
  if (has_best && !fs::exists(path, ignored)) return best_in(last, history);
  nn::Checkpoint best = read_of_run(path, option);
  if (is_best_of(best, last, history)) return best;
  if (has_best) {
    say("warning: {} does not belong to the run in {}; the best weights in the second file are "
        "used\n",
        path, beside.string());
    return best_in(last, history);
  }
  say("warning: {} does not belong to the run in {}, which has no best weights yet\n", path,
      beside.string());
  return best;
}

}  // namespace common
