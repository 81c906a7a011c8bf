// SPDX-License-Identifier: MIT
// The table of the settings, and the notes beside it.
#include "examples/seq2seq/settings.h"

#include <fmt/format.h>

#include "examples/common/cells/cells.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {

using namespace common;
namespace nn = tapeloop::nn;

SettingsTable table_of(Settings& s) {
  ModelOptions& m = s.model;
  return {
      cell(m.cell, "the cell of encoder and decoder",
           {{"layers", "give --layers"},
            {"dropout", "give --dropout"},
            {"bidirectional", "give --one-direction or --two-directions"},
            {"bias", "the cells here have biases"},
            {"connection", "the decoder here has plain layers"},
            {"noise", "the decoder here has no noise"}})
          .noted(),
      flag("--one-direction{false},--two-directions{true}", m.bidirectional,
           "directions in which the encoder reads (default: two)"),
      count("--layers", m.layers, 1, 100, "layers of encoder and decoder").noted(),
      count("--hidden", m.hidden, 1, 65536, "units of a layer in one direction").noted(),
      count("--embedding", m.embedding, 1, 65536,
            "size of the vector that is learned for each symbol")
          .noted(),
      choice("--attention", m.attention, {"additive", "dot", "general", "cosine", "none"},
             "score of the attention; none: an encoder and a decoder without attention")
          .noted(),
      choice("--attend", m.attend, {"before", "after"},
             "the decoder attends before a step (Bahdanau) or after it (Luong)")
          .noted(),
      number("--dropout", m.dropout, 0, 0.99,
             "share of the outputs between layers that training drops")
          .noted(),
      count("--batch", s.batch, 1, 1 << 20, "pairs in an update").noted(),
      count("--updates", s.updates, 1, kAnyCount, "updates of the weights"),
      number("--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate").noted(),
      number("--decay", s.decay, 0, 1,
             "the learning rate falls to 0 over this last share of the updates")
          .noted(),
      number("--clip", s.clip, 0, kAnyNumber, "largest global norm of the gradient; 0: no clipping")
          .noted(),
      count("", s.seed, 0, kAnyCount, "").noted("seed"),
  };
}

Setting longest_of(Settings& s) {
  return count("--max-length", s.most_symbols, 1, 10000,
               "longest sentence in units; training leaves longer ones out, and --translate "
               "refuses them")
      .noted("longest");
}

namespace {

// A note alone: its option is a flag.
Setting directions_of(ModelOptions& m) {
  const auto read = [&m](const std::string& given) -> std::string {
    if (given != "1" && given != "2") return fmt::format("'{}' is not 1 or 2", given);
    m.bidirectional = given == "2";
    return "";
  };
  return {.option = "",
          .text = [&m] { return m.bidirectional ? "2" : "1"; },
          .read = read,
          .note = "directions"};
}

SettingsTable all_rows(Settings& settings) {
  SettingsTable rows = table_of(settings);
  rows.push_back(longest_of(settings));
  rows.push_back(directions_of(settings.model));
  return rows;
}

SettingsTable units_of(std::string& source, std::string& target) {
  return {choice("", source, {"character", "word"}, "").noted("source-unit"),
          choice("", target, {"character", "word"}, "").noted("target-unit")};
}

}  // namespace

std::map<std::string, std::string> notes_of(const Settings& settings, const Languages& languages,
                                            const std::string& fingerprint) {
  Settings copy = settings;
  auto notes = common::notes_of(all_rows(copy));
  notes["program"] = kProgram;
  notes["task"] = settings.task;
  notes["source-unit"] = name_of(languages.source_unit);
  notes["target-unit"] = name_of(languages.target_unit);
  notes["source-vocabulary"] = languages.source.to_text();
  notes["target-vocabulary"] = languages.target.to_text();
  notes["data"] = fingerprint;
  return notes;
}

Settings settings_of(const nn::Checkpoint& saved, const std::string& path) {
  Settings settings;
  settings.task = check_task(saved, "", path);
  read_notes(all_rows(settings), saved, path);
  return settings;
}

Languages languages_of(const nn::Checkpoint& saved, const std::string& path) {
  std::string source, target;
  read_notes(units_of(source, target), saved, path);
  return {unit_named(source), unit_named(target),
          Vocabulary::from_text(note(saved, "source-vocabulary", path)),
          Vocabulary::from_text(note(saved, "target-vocabulary", path))};
}

const std::string& check_task(const nn::Checkpoint& saved, const std::string& task,
                              const std::string& path) {
  check_program(saved, kProgram, path);
  const std::string& found = note(saved, "task", path);
  if (!task.empty() && found != task) {
    throw tapeloop::FileError(
        fmt::format("{}: this checkpoint is one of the task '{}', not '{}'; name that task, or "
                    "give another checkpoint",
                    path, found, task));
  }
  return found;
}

}  // namespace seq2seq
