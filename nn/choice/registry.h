// SPDX-License-Identifier: MIT
// What choice/cell_choice.h knows of each cell; registry.cpp has the list. Private to this folder.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "tapeloop/nn/choice/any_cell.h"

namespace tapeloop::nn::detail {

struct RegisteredCell {
  const char* name;
  bool reads_time;   // the last column of its input is the time
  bool equal_sizes;  // its input is as wide as its output
  // `own`: values of the cell's options, which it has.
  std::shared_ptr<const ErasedCell> (*make)(const RecurrentOptions& options, Random& random,
                                            const NamedValues& own);
  // Calls f with the names of the cell's own options.
  void (*with_options)(const std::function<void(const OptionTable&)>& f);
};

std::span<const RegisteredCell> registered_cells();

}  // namespace tapeloop::nn::detail
