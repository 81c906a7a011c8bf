// SPDX-License-Identifier: MIT
// The pictures of the example, as SVG: what a decoder looks at, accuracy over length, hidden units over a sum's digits.
// Nothing is calculated here but places; the files are written by who calls.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace seq2seq {

// A translation and the weights it was made with.
struct Looked {
  std::vector<std::string> source;  // S units
  std::vector<std::string> target;  // T units; the end of the sentence is one
  tapeloop::Tensor weights;         // [T, S or more]: rows of weights over the source, padding last
  std::string caption;
};

// For each translation a grid, rows the target, columns the source, dark where the weight is large: the opacity of a box is
// the weight, and weights below 0.004 have no box. Bounded, at most about 400 KB: long sentences have smaller cells and a
// label for several, then are cut; faint boxes, and translations that have no room on 4000 pixels, are left out; the picture
// says so, and that nothing was written where there are no translations.
// Throws Error unless each row sums to 1 and padding has weight 0.
std::string attention_picture(const std::string& title, const std::vector<Looked>& translations);

struct Curve {
  std::string name;
  std::vector<double> values;  // for each length, 0 to 1
  bool dashed = false;
};
// Accuracy over length. `trained_to`: the greatest length in training, drawn as a line.
std::string length_picture(const std::string& title, const std::vector<double>& lengths,
                           const std::vector<Curve>& curves, double trained_to);

// A sum, digit by digit from the lowest, and the hidden units while it is calculated.
struct CarryTrace {
  std::vector<std::string> digits;  // T labels: what is added in each step
  std::vector<std::string> sums;    // T labels: the digit of the sum
  std::vector<int> carries;         // T: the carry after each step, 0 or 1
  tapeloop::Tensor hidden;          // [T, H], between -1 and 1
  std::string caption;
};
// Hidden units over time, one row each, those that follow the carry first, with the carry below.
std::string carry_picture(const std::string& title, const std::vector<CarryTrace>& traces);

// How closely each unit [H] follows the carry over all traces: the correlation, -1 to 1; 0 where either is constant.
std::vector<double> carry_correlations(const std::vector<CarryTrace>& traces);

}  // namespace seq2seq
