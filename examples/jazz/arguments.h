// SPDX-License-Identifier: MIT
// The command line of jazz: its options, and the chord chart that they ask for.
// What is done with them is in main.cpp.
#pragma once

#include <string>

#include "examples/common/options.h"
#include "examples/jazz/generate.h"
#include "examples/jazz/train.h"

namespace jazz {

extern const char* const kExplanation;  // for --help

struct Arguments {
  common::CommonOptions common;
  ModelOptions model;
  TrainOptions train;
  std::string cell = "lstm";
  std::string data;
  std::string play_model;  // the checkpoint for --generate-only; empty: that of --out
  std::string chords;
  std::string form = "blues";
  int choruses = 4;
  double tempo = 0;
  int takes = 8;
  GenerateOptions generate;
  bool resume = false;
  bool generate_only = false;
  std::string activations;

  std::string file(const char* name) const { return common.out + "/" + name; }
  std::string checkpoint() const {
    return play_model.empty() ? file("checkpoint.safetensors") : play_model;
  }
};

// Declares every option; app and arguments must live as long as the parsing.
void add_options(CLI::App& app, Arguments& a);

// Options that were not given take the values of a quick run where one is asked for.
void fill_in(CLI::App& app, Arguments& a);

// The bars to play over, in all choruses: the chords or the form asked for, or bars without chords
// where the material has none. Throws common::UsageError.
Tune chart_of(const CLI::App& app, const Arguments& a, const Material& material);

}  // namespace jazz
