// SPDX-License-Identifier: MIT
// The command line of char_lm: its options and their default values. main.cpp uses them.
#pragma once

#include <cstdint>
#include <string>

#include "examples/char_lm/training.h"
#include "examples/common/options.h"
#include "tapeloop/nn/decode/sampling.h"

namespace char_lm {

struct Arguments {
  common::CommonOptions common;
  Settings settings;
  std::string data;
  bool lines = false;
  std::int64_t validate_every = 500;
  bool resume = false;
  bool generate_only = false;
  tapeloop::nn::SampleOptions sample{.temperature = 0.6};
  std::string prompt;
  std::int64_t length = 500;
  std::int64_t count = 10;
  std::string gradient_picture;
  std::int64_t gradient_steps = 100;
  std::string activations;
  std::string activations_text;

  std::string last() const { return common.out + "/last.safetensors"; }
  std::string best() const { return common.out + "/best.safetensors"; }
};

// Declares every option.
void add_options(common::CommandLine& line, Arguments& a);

// Sets the options that the user did not give to the values for a quick run or for the list of
// names; --help then shows these. Throws common::UsageError for options that exclude each other.
void fill_in(common::CommandLine& line, Arguments& a);

}  // namespace char_lm
