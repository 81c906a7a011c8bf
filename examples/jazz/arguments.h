// SPDX-License-Identifier: MIT
// The command line of jazz: its options, and the chord chart that they choose. main.cpp uses them.
#pragma once

#include <string>

#include "examples/common/options.h"
#include "examples/jazz/generate.h"
#include "examples/jazz/settings.h"

namespace jazz {

extern const char* const kExplanation;  // for --help

struct Arguments {
  common::CommonOptions common;
  ModelOptions model;
  TrainOptions train;
  std::string data;
  std::string play_model;  // the checkpoint for --generate-only; empty: the one in --out
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

// Declares every option.
void add_options(common::CommandLine& line, Arguments& a);

// For --quick, sets the options that the user did not give to the values of a quick run.
void fill_in(common::CommandLine& line, Arguments& a);

// The bars of all choruses to play over: the chosen chords or form, or bars without chords if the
// material has no chords. Throws common::UsageError.
Tune chart_of(const common::CommandLine& line, const Arguments& a, const Material& material);

}  // namespace jazz
