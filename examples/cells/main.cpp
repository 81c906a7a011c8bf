// SPDX-License-Identifier: MIT
// cells: trains every recurrent cell of the library, with about equal numbers of parameters, on
// four tasks, and compares losses, time and memory in a table and a picture:
//   adding      the sum of two marked numbers in a long sequence
//   copy        five symbols are read, and said again many steps later
//   digits      images of digits, two by two pixels a step (--data FOLDER: MNIST's files)
//   characters  the next character of a text
// A run that is in the file of results is not repeated, so a stopped comparison goes on.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/cells/results.h"
#include "examples/common/console.h"
#include "examples/common/interrupt.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"

namespace cells {
namespace {

struct Settings {
  TaskSettings tasks;
  ContestSettings contest;
  std::string task = "all";
  std::string only;  // cells; empty: all
  std::int64_t seeds = 2;
};

// What decides the result of a run.
std::string run_of(const Settings& s, const TaskFacts& task, const std::string& cell,
                   std::uint64_t seed) {
  const ContestSettings& c = s.contest;
  std::string data = task.name == "digits" ? s.tasks.data : "";
  if (task.name == "characters") data = s.tasks.text;
  return fmt::format(
      "{} {} inputs {} steps {}, {}, seed {}, {} updates of {}, {} parameters, {} "
      "layers, lr {}",
      task.name, task.inputs, task.steps, data, cell, seed, c.updates, s.tasks.batch, c.parameters,
      c.layers, c.learning_rate);
}

std::vector<std::unique_ptr<Task>> tasks_of(const Settings& s) {
  std::vector<std::unique_ptr<Task>> result;
  for (const std::string& name : task_names()) {
    if (s.task != "all" && s.task != name) continue;
    std::unique_ptr<Task> task = make_task(name, s.tasks);
    if (task == nullptr) {
      common::print("digits are left out: give the folder with MNIST's files by --data\n");
      continue;
    }
    result.push_back(std::move(task));
  }
  return result;
}

void run(const common::CommonOptions& options, const Settings& s) {
  const std::vector<std::string> all = s.only.empty() ? all_cells() : cells_of(s.only);
  const std::vector<std::unique_ptr<Task>> tasks = tasks_of(s);
  ResultsFile results(options.out + "/runs.jsonl");
  std::int64_t left = 0;
  for (const auto& task : tasks) {
    for (const std::string& cell : all) {
      for (std::int64_t i = 0; i < s.seeds; ++i) {
        const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
        left += results.find(run_of(s, task->facts(), cell, seed)) == nullptr ? 1 : 0;
      }
    }
  }
  common::print("{} cells, {} tasks, {} seeds: {} runs to make\n", all.size(), tasks.size(),
                s.seeds, left);
  common::flush_output();
  std::vector<Ranking> rankings;
  {
    const common::StopSignals signals;
    common::Progress progress(0, left * s.contest.updates, "sequences");
    std::int64_t done = 0;
    for (const auto& task : tasks) {
      Ranking ranking{task->facts(), {}};
      for (const std::string& cell : all) {
        std::vector<Outcome> outcomes;
        for (std::int64_t i = 0; i < s.seeds; ++i) {
          const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
          const std::string name = run_of(s, task->facts(), cell, seed);
          if (results.find(name) == nullptr) {
            const auto report = [&](std::int64_t update, double loss) {
              if (signals.received() != 0) {
                progress.clear();
                throw common::Interrupted(
                    fmt::format(
                        "stopped; {} results are in {}/runs.jsonl; the same command goes on",
                        results.size(), options.out),
                    signals.received());
              }
              const std::int64_t step = done * s.contest.updates + update;
              progress.update(step, loss, static_cast<double>(step * s.tasks.batch));
            };
            const Outcome outcome = train(*task, cell, s.contest, seed, report);
            results.add(name, outcome);
            progress.note(fmt::format("{}, {}, seed {}: {:.4f}", task->facts().name, cell, seed,
                                      outcome.loss));
            ++done;
          }
          outcomes.push_back(*results.find(name));
        }
        ranking.entries.push_back(entry_of(cell, outcomes));
      }
      sort(ranking);
      rankings.push_back(std::move(ranking));
    }
  }
  if (rankings.empty()) return;
  common::print("\n{}", table_of(rankings));
  const std::string file = options.out + "/odyssey.svg";
  tapeloop::write_file(file, picture_of(rankings));
  common::print("\nthe picture: {}\n", file);
  if (options.json.empty()) return;
  nlohmann::json figures;
  for (const Ranking& ranking : rankings) {
    for (const Entry& e : ranking.entries) {
      figures[ranking.task.name].push_back({{"cell", e.cell},
                                            {"hidden", e.outcomes[0].hidden},
                                            {"parameters", e.outcomes[0].parameters},
                                            {"loss", e.mean},
                                            {"deviation", e.deviation},
                                            {"diverged", e.diverged}});
    }
  }
  common::write_json(options.json, figures);
}

// A row --only: cells, separated by commas.
common::Setting only(std::string& value) {
  common::Setting row = common::free_text("--only", value, "CELLS",
                                          "cells, separated by commas, such as \"lstm, "
                                          "gru(reset=before), lmu(theta=T)\", where T is the "
                                          "number of steps",
                                          {.not_empty = true, .default_shown = false});
  row.read = [&value](const std::string& given) -> std::string {
    try {
      cells_of(given);
    } catch (const tapeloop::Error& error) {
      return error.what();
    }
    value = given;
    return "";
  };
  return row;
}

}  // namespace
}  // namespace cells

int main(int argc, char** argv) {
  common::CommonOptions options;
  cells::Settings s;
  std::vector<std::string> tasks = cells::task_names();
  tasks.insert(tasks.begin(), "all");
  common::CommandLine line(
      options, "cells",
      "Trains every recurrent cell with about equal numbers of parameters on four tasks, prints a "
      "table and draws a picture. Results are kept in --out: the same command goes on where it "
      "stopped, and more --seeds or cells add to them.");
  line.add({common::choice("--task", s.task, tasks, "the task"), cells::only(s.only),
            common::count("--seeds", s.seeds, 1, 1000, "trainings of each cell on each task"),
            common::count("--updates", s.contest.updates, 1, common::kAnyCount,
                          "updates of the weights of a training"),
            common::count("--batch", s.tasks.batch, 1, 100000, "sequences of an update"),
            common::count("--parameters", s.contest.parameters, 1, 100000000,
                          "number of parameters of each model, about"),
            common::count("--layers", s.contest.layers, 1, 100, "layers of each cell"),
            common::count("--length", s.tasks.length, 4, 100000,
                          "steps of the adding problem and of copy memory"),
            common::number("--lr", s.contest.learning_rate, 0, common::kAnyNumber,
                           "Adam's learning rate, which falls to 0 over the second half"),
            common::free_text("--data", s.tasks.data, "FOLDER",
                              "folder with the images and labels of MNIST, as they are or gzipped",
                              {.not_empty = true}),
            common::free_text("--text", s.tasks.text, "FILE",
                              "text of the character model (default: names of dinosaurs)",
                              {.not_empty = true, .default_shown = false})});
  return line.run(
      argc, argv, [&] { cells::run(options, s); },
      [&] {
        options.reads.push_back({"--text", s.tasks.text});
        options.writes.push_back({"the picture", options.out + "/odyssey.svg"});
        options.writes.push_back({"the results", options.out + "/runs.jsonl"});
        if (!options.quick) return;
        line.preset("--seeds", 1);
        line.preset("--updates", 3);
        line.preset("--parameters", 600);
        line.preset("--length", 16);
        line.preset("--batch", 4);
      });
}
