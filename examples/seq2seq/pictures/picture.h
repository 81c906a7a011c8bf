// SPDX-License-Identifier: MIT
// The pictures of the example, as SVG: attention weights, accuracy over length, hidden units over a
// sum's digits. It calculates only positions and writes no file.
#pragma once

#include <string>
#include <vector>

#include "tapeloop/autograd/tensor/tensor.h"

namespace seq2seq {

// A translation and its attention weights.
struct Looked {
  std::vector<std::string> source;  // S units
  std::vector<std::string> target;  // T units; the last may be the end of the sentence
  tapeloop::Tensor weights;         // [T, S or more]: rows of weights over the source, padding last
  std::string caption;
};

// Draws a grid for each translation: rows are the target, columns the source. The opacity of a box
// is the weight; weights below 0.004 have no box. The picture has at most about 400 KB: long
// sentences get smaller cells and share labels, and very long ones are cut. It leaves out faint
// boxes and translations beyond 4000 pixels, and says so; it also says if there are no
// translations. Throws Error unless each row sums to 1 and padding has weight 0.
std::string attention_picture(const std::string& title, const std::vector<Looked>& translations);

struct Curve {
  std::string name;
  std::vector<double> values;  // for each length, 0 to 1
  bool dashed = false;
};
// Draws accuracy over length. `trained_to`: the greatest length in training, drawn as a line.
std::string length_picture(const std::string& title, const std::vector<double>& lengths,
                           const std::vector<Curve>& curves, double trained_to);

// A sum, digit by digit from the lowest, and the hidden units during its calculation.
struct CarryTrace {
  std::vector<std::string> digits;  // T labels: the digits added in each step
  std::vector<std::string> sums;    // T labels: the digit of the sum
  std::vector<int> carries;         // T: the carry after each step, 0 or 1
  tapeloop::Tensor hidden;          // [T, H], between -1 and 1
  std::string caption;
};
// Draws hidden units over time, one row each, and the carry below. Units that follow the carry come
// first.
std::string carry_picture(const std::string& title, const std::vector<CarryTrace>& traces);

// How closely each unit [H] follows the carry over all traces: the correlation, -1 to 1; 0 if
// either is constant.
std::vector<double> carry_correlations(const std::vector<CarryTrace>& traces);

}  // namespace seq2seq
