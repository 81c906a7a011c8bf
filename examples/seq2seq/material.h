// SPDX-License-Identifier: MIT
// The data of a task for training and measures: generated, built in, or read from a file. Trains
// nothing.
#pragma once

#include <string>
#include <vector>

#include "examples/seq2seq/arguments.h"

namespace seq2seq {

struct Material {
  std::string source;  // where it comes from, for people
  std::vector<Pair> train;
  std::vector<Pair> validation;      // for early stopping
  std::vector<Pair> test;            // never seen in training
  std::vector<std::string> remarks;  // what was skipped, and why
  std::int64_t too_long = 0;         // pairs left out because of --max-length
};

// For dates, translate and decimal sums. Throws Error if a part is empty.
Material material_of(const Arguments& arguments);
// For copy and reverse: only the training part. The measures use new letters of each length.
Material letters_material(const Arguments& arguments);

// The vocabularies of the training part.
Languages languages_for(const Arguments& arguments, const Material& material);
// Leaves out pairs with a side longer than --max-length, and says in a remark how many. Returns how
// many.
std::int64_t drop_long(std::vector<Pair>& pairs, const char* part, const Arguments& arguments,
                       std::vector<std::string>& remarks);

}  // namespace seq2seq
