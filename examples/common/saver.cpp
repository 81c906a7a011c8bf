// SPDX-License-Identifier: MIT
// Writes files by nn/checkpoint.h and remembers the saves that failed.
#include "examples/common/saver.h"

#include <filesystem>
#include <map>
#include <new>

#include "autograd/error.h"
#include "examples/common/console.h"
#include "examples/common/notes.h"

namespace common {

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;

namespace {

// Failed saves, by path. run_main() reads them after the training loops have ended.
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

// Makes a checkpoint of the best weights that a run's checkpoint holds.
nn::Checkpoint best_in(const nn::Checkpoint& saved, const History& history) {
  return {.sections = {{"model", saved.section("best")}},
          .step = history.best_update,
          .notes = saved.notes};
}

bool is_best_of(const nn::Checkpoint& best, const nn::Checkpoint& run, const History& history) {
  return best.notes == run.notes && best.step == history.best_update;
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
                                  saved_ < 0 ? path_ + " has nothing of this run"
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

RunFiles::RunFiles(const std::string& folder)
    : last_(folder + "/last.safetensors"), best_(folder + "/best.safetensors") {}

void RunFiles::save(const nn::Checkpoint& now, const History& history) {
  last_saved_ = last_.save(now);
  // In this order best.safetensors is never newer than last.safetensors, from which a run goes on.
  if (last_saved_) save_best(now, history);
}

void RunFiles::save_best(const nn::Checkpoint& now, const History& history) {
  if (best_saved_ == history.best_update) return;
  if (history.best_update < 0) {
    std::error_code ignored;
    fs::remove(best(), ignored);
  } else if (!best_.save(best_in(now, history))) {
    return;
  }
  best_saved_ = history.best_update;
}

void RunFiles::resume(const nn::Checkpoint& saved, const History& history) {
  last_ = Saver(last_.path(), saved.step);
  std::error_code ignored;
  if (history.best_update >= 0 && fs::exists(best(), ignored)) {
    try {
      if (is_best_of(nn::read_checkpoint(best()), saved, history)) {
        best_saved_ = history.best_update;
      }
    } catch (const tapeloop::FileError&) {  // damaged: save_best() makes it again
    }
  }
  save_best(saved, history);
}

void RunFiles::retry(const nn::Checkpoint& now, const History& history) {
  if (!last_saved_ || best_saved_ != history.best_update) save(now, history);
}

nn::Checkpoint read_best(const std::string& path, const char* option) {
  const fs::path beside = fs::path(path).parent_path() / "last.safetensors";
  std::error_code ignored;
  if (fs::path(path).filename() != "best.safetensors" || !fs::exists(beside, ignored)) {
    return read_of_run(path, option);
  }
  nn::Checkpoint last;
  try {
    last = nn::read_checkpoint(beside.string());
  } catch (const tapeloop::FileError& error) {
    say("warning: {}; {} is used without comparing the two\n", error.what(), path);
    return read_of_run(path, option);
  }
  const bool has_best = section_of(last, "best") != nullptr;
  History history;
  if (const tapeloop::StateDict* state = section_of(last, "history")) {
    history.load_state_dict(*state);
  }
  if (has_best && !fs::exists(path, ignored)) return best_in(last, history);
  const nn::Checkpoint best = read_of_run(path, option);
  if (is_best_of(best, last, history)) return best;
  if (has_best) {
    say("warning: {} does not belong to the run in {}; the best weights of the latter are used\n",
        path, beside.string());
    return best_in(last, history);
  }
  say("warning: {} does not belong to the run in {}, which has no best weights yet\n", path,
      beside.string());
  return best;
}

}  // namespace common
