// SPDX-License-Identifier: MIT
// Training one cell on one task. It prints nothing and opens no file.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "examples/cells/tasks.h"

namespace cells {

struct ContestSettings {
  std::int64_t updates = 1500;
  std::int64_t parameters = 5000;  // of a model, about
  std::int64_t layers = 1;
  double learning_rate = 3e-3;  // of Adam; falls to 0 over the second half
  double clip = 1;              // largest global norm of the gradient
};

struct Outcome {
  std::int64_t hidden = 0, parameters = 0;
  double loss = 0;          // on unseen samples; NaN if the training diverged
  double milliseconds = 0;  // CPU time of an update
  double mib = 0;           // most memory of an update
};

// Texts for nn::CellChoice, in which T stands for the number of steps: every cell of the library by
// its name, or with the options of its paper, and the variants of some.
std::vector<std::string> all_cells();
// "indrnn(steps=T), lstm" -> both. Throws Error if one is no cell.
std::vector<std::string> cells_of(const std::string& list);

// Builds the model with the number of hidden units, a multiple of 4, that comes nearest to the
// number of parameters. Trains it; `report` gets the number of updates and the loss of each.
Outcome train(Task& task, const std::string& cell, const ContestSettings& settings,
              std::uint64_t seed, const std::function<void(std::int64_t, double)>& report);

}  // namespace cells
