// SPDX-License-Identifier: MIT
// The command line of seq2seq, and what each task takes where nothing was said.
#pragma once

#include <cstdint>
#include <string>

#include "examples/common/options.h"
#include "examples/seq2seq/training.h"

namespace seq2seq {

struct Arguments {
  common::CommonOptions common;
  std::string task = "dates";  // dates, translate, reverse, copy, add
  bool task_given = false;
  Settings settings;
  std::string data;  // a file of pairs; empty: what is built in
  std::string test;  // a file of pairs to measure with; empty: a share of the data that is held out
  std::string source_unit = "character", target_unit = "character";
  std::int64_t smallest_count = 1;  // of a unit, to be in the vocabulary
  std::int64_t most_units = 20000;  // of a vocabulary
  std::int64_t pairs = 20000;       // to be made for training
  std::int64_t longest = 20;        // reverse and copy: letters in training
  std::int64_t base = 2;            // add
  std::int64_t digits = 8;          // add: of the numbers in training
  std::int64_t validate_every = 500;
  std::int64_t patience =
      5;  // validations without a better one after which training ends; 0: no early stop
  std::int64_t beams = 1;
  double length_penalty = 0;
  bool beams_given = false, penalty_given = false;
  std::int64_t samples = 10;  // translations that are printed
  std::int64_t pictures = 4;  // translations in the attention picture
  bool resume = false;
  std::string translate;  // a text to translate from a checkpoint
  bool translate_given = false;
  bool interactive = false;
  std::string model;  // the checkpoint; empty: the best of --out

  // The checkpoint to translate with. Throws FileError that names what there is where --out has none.
  std::string best() const;
  bool from_checkpoint() const { return interactive || translate_given; }
  // As asked for, else as is usual for the task.
  SearchOptions search() const;
};

void add_options(CLI::App& app, Arguments& arguments);
// Options that nobody gave take the values of the task, which --help then shows; throws UsageError for what does not go
// together.
void fill_in(CLI::App& app, Arguments& arguments);

}  // namespace seq2seq
