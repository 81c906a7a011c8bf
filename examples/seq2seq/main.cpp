// SPDX-License-Identifier: MIT
// seq2seq: sequence to sequence with attention. Without arguments it learns to read dates as people
// write them, in five languages, and draws the attention weights. The other tasks translate pairs
// from a file, copy or reverse letters, and add.
// The parts: arguments.h, material.h (data), model.h, translator.h, training.h, training_run.h (the
// loop), tasks.h, picture.h.
#include <nlohmann/json.hpp>

#include "examples/common/output.h"
#include "examples/seq2seq/tasks/tasks.h"

int main(int argc, char** argv) {
  using namespace seq2seq;
  Arguments a;
  common::CommandLine line(
      a.common, "seq2seq",
      "Learns to translate one sequence into another, and shows where its attention looks.");
  add_options(line, a);
  const auto run = [&] {
    nlohmann::json figures;
    if (a.from_checkpoint()) {
      figures = run_translation(a);
    } else if (a.task == "reverse" || a.task == "copy") {
      figures = run_letters(a);
    } else if (a.task == "add") {
      figures = a.base == 2 ? run_bits(a) : run_decimal(a);
    } else {
      figures = run_pairs(a);
    }
    if (!a.common.json.empty()) common::write_json(a.common.json, figures);
  };
  return line.run(argc, argv, run, [&] { fill_in(line, a); });
}
