// SPDX-License-Identifier: MIT
// What a task learns from and is measured with: made by rule, built in, or read from the file given.
// It trains nothing.
#pragma once

#include <string>
#include <vector>

#include "examples/seq2seq/arguments.h"

namespace seq2seq {

struct Material {
  std::string source;  // where it comes from, for people
  std::vector<Pair> train;
  std::vector<Pair> validation;      // looked at in training: early stopping
  std::vector<Pair> test;            // never seen
  std::vector<std::string> remarks;  // what was skipped, and why
  std::int64_t too_long = 0;         // pairs left out for --max-length
};

// Of dates, translate and decimal sums. Throws Error where a part is empty.
Material material_of(const Arguments& arguments);
// Of copy and reverse: the training part alone; each length is measured with letters of its own.
Material letters_material(const Arguments& arguments);

// The vocabularies of the training part.
Languages languages_for(const Arguments& arguments, const Material& material);
// Leaves out pairs that are longer than --max-length on either side, and says how many in a remark. Returns how many.
std::int64_t drop_long(std::vector<Pair>& pairs, const char* part, const Arguments& arguments,
                       std::vector<std::string>& remarks);

}  // namespace seq2seq
