// SPDX-License-Identifier: MIT
// The tasks, from the material to the printed results: each returns the figures for --json.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "examples/seq2seq/arguments.h"
#include "examples/seq2seq/pictures/picture.h"
#include "examples/seq2seq/training_run.h"

namespace seq2seq {

nlohmann::json run_pairs(const Arguments& arguments);    // dates, translate
nlohmann::json run_letters(const Arguments& arguments);  // reverse, copy
nlohmann::json run_bits(const Arguments& arguments);     // add --base 2
nlohmann::json run_decimal(const Arguments& arguments);  // add --base 10
// --translate and --interactive: uses a checkpoint of any task.
nlohmann::json run_translation(const Arguments& arguments);

// --- functions that several tasks use ---
// A translation for a picture: the end of the sentence is the last row.
Looked looked_of(const Translation& translation);
// Writes a picture and prints its path.
void write_picture(const std::string& path, const std::string& svg, const char* what);
// Writes the picture of the first `shown` traces; prints how closely the best unit follows the
// carry in all of them.
void write_carries(const Arguments& arguments, const std::string& title,
                   const std::vector<CarryTrace>& traces, std::size_t shown,
                   nlohmann::json& figures);
nlohmann::json json_of(const Measures& measures);
nlohmann::json json_of(const Arguments& arguments, const Trained& trained);
// Prints some of the pairs with their translations, marks those that differ, and returns them.
nlohmann::json print_samples(std::span<const Pair> pairs,
                             std::span<const Translation> translations);

}  // namespace seq2seq
