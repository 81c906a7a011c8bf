// SPDX-License-Identifier: MIT
// CellChoice: a recurrent cell by its name, with options, as the user of a program writes it:
//   lstm      gru(reset=before)      peephole_lstm(variant=coupled, layers=2, noise.zoneout_h=0.05)
// Options are fields of the cell's Options struct and of RecurrentOptions, by their names in C++.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tapeloop/nn/recurrent/cell.h"

namespace tapeloop::nn {

// Options by their names, in the order given: {"reset", "before"}.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

class CellChoice {
 public:
  CellChoice() : CellChoice("lstm") {}
  // NAME or NAME(option=value, option=value). `option` alone means option=true. Throws Error if the
  // cell or an option is unknown, with the names that there are, or if a value does not fit.
  CellChoice(const std::string& text);  // NOLINT(google-explicit-constructor): a choice is a text
  CellChoice(const char* text) : CellChoice(std::string(text)) {}  // NOLINT
  // The same from settings.
  CellChoice(std::string cell, const NamedValues& options);

  const std::string& cell() const { return cell_; }  // the name, "gru"
  std::string text() const;  // one form for all spellings: "gru(reset=before)"
  // The options of the cell, and those of RecurrentOptions.
  const NamedValues& own() const { return own_; }
  const NamedValues& shared() const { return shared_; }  // the latter
  // These options with those of the choice.
  RecurrentOptions applied_to(RecurrentOptions options) const;
  // The cell with its own options.
  CellChoice without_shared() const;

 private:
  void add(const std::string& option, const std::string& value);
  std::string cell_;
  NamedValues own_, shared_;
};

// The names of all cells, sorted.
std::vector<std::string> cell_names();
// What the cell takes besides RecurrentOptions: "reset=after|before"; "none". Throws Error if there
// is no such cell.
std::string cell_options(const std::string& cell);
// Whether the last column of the cell's input is the time. Throws Error if there is no such cell.
bool cell_reads_time(const std::string& cell);
// Whether its input must be as wide as its output, as that of an LRU.
bool cell_has_equal_sizes(const std::string& cell);
// What all cells take: "layers=N, bidirectional=true|false, ..."
std::string shared_cell_options();

}  // namespace tapeloop::nn
