// SPDX-License-Identifier: MIT
// The table of the settings.
#include "examples/char_lm/settings.h"

#include "examples/common/cells/cells.h"
#include "examples/common/notes.h"

namespace char_lm {

namespace nn = tapeloop::nn;

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  return {
      cell(s.model.cell, "the recurrent cell",
           {{"layers", "give --layers"},
            {"dropout", "give --dropout"},
            {"bidirectional", "a language model reads in one direction"}})
          .noted(),
      count("--hidden", s.model.hidden, 1, 65536, "units of a layer").noted(),
      count("--layers", s.model.layers, 1, 1000, "layers").noted(),
      count("--embedding", s.model.embedding, 0, 65536,
            "size of the vector that is learned for each symbol; 0: one-hot input")
          .noted(),
      number("--dropout", s.model.dropout, 0, 0.99,
             "share of each layer's outputs that training drops")
          .noted(),
      count("--streams", s.streams, 1, 1 << 20, "places of the text that are read in parallel")
          .noted(),
      count("--steps", s.steps, 1, 1 << 20, "steps of truncated BPTT per update").noted(),
      count("--updates", s.updates, 1, kAnyCount, "updates of the weights"),
      number("--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate").noted(),
      number("--clip", s.clip, 0, kAnyNumber, "largest global norm of the gradient; 0: no clipping")
          .noted(),
      count("", s.seed, 0, kAnyCount, "").noted("seed"),
      flag("", s.lines, "").noted("lines"),
  };
}

std::map<std::string, std::string> notes_of(const Settings& settings, const Vocabulary& vocabulary,
                                            const std::string& fingerprint) {
  Settings copy = settings;
  auto notes = common::notes_of(table_of(copy));
  notes["program"] = kProgram;
  notes["text"] = fingerprint;
  notes["vocabulary"] = vocabulary.escaped();
  return notes;
}

Settings settings_of(const nn::Checkpoint& saved, const std::string& path) {
  common::check_program(saved, kProgram, path);
  Settings settings;
  common::read_notes(table_of(settings), saved, path);
  return settings;
}

Vocabulary vocabulary_of(const nn::Checkpoint& saved, const std::string& path) {
  return Vocabulary::unescape(common::note(saved, "vocabulary", path));
}

}  // namespace char_lm
