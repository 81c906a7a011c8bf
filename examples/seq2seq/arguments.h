// SPDX-License-Identifier: MIT
// The command line of seq2seq, and the default values of each task.
#pragma once

#include <cstdint>
#include <string>

#include "examples/common/options.h"
#include "examples/seq2seq/settings.h"

namespace seq2seq {

struct Arguments {
  common::CommonOptions common;
  std::string task = "dates";  // dates, translate, reverse, copy, add
  bool task_given = false;
  Settings settings;
  std::string data;  // a file of pairs; empty: the built-in data
  std::string test;  // a file of pairs for the measures; empty: a held-out share of the data
  std::string source_unit = "character", target_unit = "character";
  std::int64_t smallest_count = 1;  // of a unit in the vocabulary
  std::int64_t most_units = 20000;  // size of a vocabulary
  std::int64_t pairs = 20000;       // number of pairs to make for training
  std::int64_t longest = 20;        // reverse and copy: most letters in training
  std::int64_t base = 2;            // add: base of the numbers
  std::int64_t digits = 8;          // add: digits of the numbers in training
  std::int64_t validate_every = 500;
  std::int64_t beams = 1;
  double length_penalty = 0;
  bool beams_given = false, penalty_given = false;
  std::int64_t samples = 10;  // number of printed translations
  std::int64_t pictures = 4;  // number of translations in the picture
  bool resume = false;
  std::string translate;  // a text to translate from a checkpoint
  bool translate_given = false;
  bool interactive = false;
  std::string model;  // the checkpoint; empty: the best of --out

  // The checkpoint to translate with. If --out has none, throws a FileError that lists the
  // checkpoints there.
  std::string best() const;
  bool from_checkpoint() const { return interactive || translate_given; }
  // The options from the command line, else the task's usual ones.
  SearchOptions search() const;
};

void add_options(common::CommandLine& line, Arguments& arguments);
// Sets the options that the user did not give to the task's values, which --help then shows. Throws
// UsageError for options that exclude each other.
void fill_in(common::CommandLine& line, Arguments& arguments);

}  // namespace seq2seq
