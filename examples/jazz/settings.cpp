// SPDX-License-Identifier: MIT
// The tables of the settings.
#include "examples/jazz/settings.h"

#include "examples/common/cells/cells.h"

namespace jazz {

using namespace common;

SettingsTable table_of(ModelOptions& m) {
  return {
      cell(m.cell, "the recurrent cell",
           {{"layers", "give --layers"},
            {"dropout", "give --dropout"},
            {"bidirectional", "the network reads in one direction"}})
          .noted(),
      count("--hidden", m.hidden, 1, 65536, "units of a layer").noted(),
      count("--layers", m.layers, 1, 100, "layers").noted(),
      count("--embedding", m.embedding, 1, 65536,
            "size of the vectors that are learned for notes and chords")
          .noted(),
      number("--dropout", m.dropout, 0, 0.95, "share of the layers' outputs that training drops")
          .noted(),
      number("--forget", m.forget, 0, 0.95,
             "share of the features of each note that training hides from the network")
          .noted(),
  };
}

SettingsTable table_of(TrainOptions& o) {
  return {
      count(
          "--updates", o.updates, 1, kAnyCount,
          "updates of the weights, over which the learning rate decays; the best weights are kept")
          .noted(),
      count("--streams", o.streams, 1, 1 << 16, "tunes that are read in parallel").noted(),
      count("--steps", o.steps, 1, 1 << 16,
            "notes of each tune per update; gradients reach back as many notes")
          .noted(),
      number("--lr", o.learning_rate, 0, 10, "highest learning rate of Adam").noted(),
      count("--evaluate-every", o.evaluate_every, 1, kAnyCount,
            "updates from one evaluation to the next; each saves the checkpoint")
          .noted(),
      number("", o.weight_decay, 0, kAnyNumber, "").noted("weight-decay"),
      number("", o.clip, 0, kAnyNumber, "").noted("clip"),
      count("", o.seed, 0, kAnyCount, "").noted("seed"),
  };
}

std::map<std::string, std::string> notes_of(const ModelOptions& model, const TrainOptions& options,
                                            const std::string& music) {
  ModelOptions m = model;
  TrainOptions o = options;
  auto notes = common::notes_of(table_of(m));
  notes.merge(common::notes_of(table_of(o)));
  notes["program"] = kProgram;
  notes["music"] = music;
  return notes;
}

}  // namespace jazz
