// SPDX-License-Identifier: MIT
// The results of all runs: a file to which each run adds a line, the table and the picture.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "examples/cells/contest.h"

namespace cells {

// One line for each run: {"run": its settings as a text, "hidden": .., "loss": ..}.
class ResultsFile {
 public:
  // Reads the file if it is there. A last line without an end, of a run that was killed, is left
  // out. Throws FileError if another line is no result.
  explicit ResultsFile(std::string path);
  // nullptr: this run has not been made.
  const Outcome* find(const std::string& run) const;
  void add(const std::string& run, const Outcome& outcome);
  std::size_t size() const { return outcomes_.size(); }

 private:
  std::string path_;
  std::map<std::string, Outcome> outcomes_;
};

// A cell on a task: its outcomes over the seeds.
struct Entry {
  std::string cell;
  std::vector<Outcome> outcomes;
  double mean = 0;       // of the loss; NaN if no training ended
  double deviation = 0;  // standard deviation over the seeds
  int diverged = 0;
};
struct Ranking {
  TaskFacts task;
  std::vector<Entry> entries;  // the best first
};

Entry entry_of(const std::string& cell, const std::vector<Outcome>& outcomes);
void sort(Ranking& ranking);
std::string table_of(const std::vector<Ranking>& rankings);
// For each task the cells from best to worst, with bars of one standard deviation.
std::string picture_of(const std::vector<Ranking>& rankings);

}  // namespace cells
