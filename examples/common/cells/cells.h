// SPDX-License-Identifier: MIT
// Recurrent cells by their names: the option --cell, and layers with the state between two calls.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "examples/common/settings.h"
#include "tapeloop/nn/choice/any_cell.h"

namespace common {

// The row --cell: any cell of the library with its options, nn::CellChoice. `refused`: options of a
// stack that this program does not take, and what to do instead.
Setting cell(std::string& value, const std::string& help,
             std::map<std::string, std::string> refused, const Rules& rules = {});

// The recurrent state between two calls, without its history: h, and c of an LSTM, each [layers, N,
// H]; of a cell that reads times, last the next times [1, N, 1]. Empty: zeros.
using Memory = std::vector<tapeloop::Tensor>;

// Layers of one cell, which read one step after the other.
class Recurrent {
 public:
  Recurrent() = default;
  // `cell`: a text for nn::CellChoice. If the cell reads times, options.input does not count them.
  // If its input must be as wide as its output, a Linear makes it so.
  Recurrent(const std::string& cell, const tapeloop::nn::RecurrentOptions& options,
            tapeloop::Random& random);

  // xs [T, N, I], or symbols [T, N] (int64) that are read as one-hot vectors -> the last layer's
  // outputs [T, N, H]. `memory` is the state before, and becomes the state after. A cell that reads
  // times gets the number of the step.
  tapeloop::Var operator()(const tapeloop::Var& xs, Memory& memory) const;
  tapeloop::Var operator()(const tapeloop::Tensor& symbols, Memory& memory) const;

  const tapeloop::nn::AnyRecurrent& layers() const { return layers_; }
  // The layers, under the name of their cell.
  void visit(tapeloop::nn::Visitor& v) const {
    v(layers_.choice().cell(), layers_);
    if (before_.weight.defined()) v("before", before_);
  }

 private:
  bool reads_time() const { return layers_.cells()[0].reads_time(); }
  // Runs the layers on a Var, or on symbols.
  template <class Input>
  tapeloop::Var run(const Input& xs, Memory& memory) const;
  tapeloop::nn::AnyRecurrent layers_;
  tapeloop::nn::Linear before_;  // undefined, if the input has the right width
};

}  // namespace common
