// SPDX-License-Identifier: MIT
// Declaration of the options, with their explanations. Refuses values that do not fit, before any
// work.
#include "examples/jazz/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/chart.h"

namespace jazz {

const char* const kExplanation = R"(Learns to play melodies over chords, and plays one.

Music is a sequence of notes, each with three numbers predicted in turn: the time since the last
onset, the pitch, the length. One step of the network is one note. A grid of time slots would spend
most steps on "nothing new", and on/off messages would have to remember what they began. The chords
are given, not predicted: the network sees the chord of each onset and the coming one, and its
pitches count from the root of the chord and from the last note as well as from the lowest key. All
tunes are learned in all 12 keys; those held out measure how well, in nats per note (lower is
better), beside an order-3 n-gram of the same notes.

examples:
  jazz                                    learns the built-in tunes, plays a blues
  jazz --chords "Dm7 | G7 | Cmaj7 | A7"   plays over these chords
  jazz --generate-only --seed 7 --form rhythm       another piece by the same network
  jazz --data DIR                                   MIDI files instead, half a minute
  jazz --data DIR --hidden 192 --embedding 128 --forget 0.2 --updates 1500     a minute)";

namespace {

// --data is read with all its subfolders, so the run must not write files there.
void check_data(const Arguments& a) {
  if (a.data.empty()) return;
  if (common::same_place(a.common.out, a.data)) {
    throw common::UsageError(fmt::format(
        "--out and --data are the same folder, {}: the next run would learn from what this one "
        "writes; name another folder by --out",
        a.data));
  }
  if (is_midi_name(a.common.json) && common::lies_in(a.common.json, a.data)) {
    throw common::UsageError(fmt::format(
        "--json: {} is among the MIDI files of --data; give another name", a.common.json));
  }
}

}  // namespace

void add_options(CLI::App& app, Arguments& a) {
  using common::add_count, common::add_number, common::kAnyCount;
  common::add_common(app, a.common, "jazz");
  app.add_option("--data", a.data,
                 "learn the MIDI files in this folder and below; without it, the built-in tunes. "
                 "Every 5th file is "
                 "held out")
      ->type_name("DIR")
      ->check(common::not_empty());
  app.add_option("--cell", a.cell, "the recurrent cell")
      ->check(CLI::IsMember({"lstm", "gru"}))
      ->type_name("lstm|gru")
      ->default_str(a.cell);
  add_count(app, "--hidden", a.model.hidden, 1, 65536, "units of a layer");
  add_count(app, "--layers", a.model.layers, 1, 100, "layers");
  add_count(app, "--embedding", a.model.embedding, 1, 65536,
            "size of the vectors that notes and chords become");
  add_number(app, "--dropout", a.model.dropout, 0, 0.95,
             "share of the layers' outputs dropped in training");
  add_number(app, "--forget", a.model.forget, 0, 0.95,
             "share of what is known of a note dropped in training");
  add_count(app, "--updates", a.train.updates, 1, kAnyCount,
            "updates of the weights; the best weights are kept");
  add_count(app, "--streams", a.train.streams, 1, 1 << 16, "tunes read side by side");
  add_count(app, "--steps", a.train.steps, 1, 1 << 16,
            "notes of each per update, the reach of the gradients");
  add_number(app, "--lr", a.train.learning_rate, 0, 10, "Adam's learning rate, the highest");
  add_count(app, "--evaluate-every", a.train.evaluate_every, 1, kAnyCount,
            "updates between evaluations, each of which saves the checkpoint");
  CLI::Option* resume =
      app.add_flag("--resume", a.resume,
                   "go on from DIR/checkpoint.safetensors, bit for bit; else it is written anew");
  app.add_flag("--generate-only", a.generate_only,
               "train nothing, use the best weights of that file")
      ->excludes(resume);
  app.add_option("--model", a.play_model,
                 "the checkpoint for --generate-only, in any folder (DIR/checkpoint.safetensors)")
      ->type_name("FILE")
      ->check(common::not_empty());
  CLI::Option* chords =
      app.add_option("--chords", a.chords, "chords to play over, bars divided by '|'")
          ->type_name("\"F7 | Bb7 | ...\"");
  app.add_option("--form", a.form, "a standard progression to play over instead")
      ->check(CLI::IsMember(form_names()))
      ->type_name("blues|minor_blues|rhythm|251")
      ->default_str(a.form)
      ->excludes(chords);
  add_count(app, "--choruses", a.choruses, 1, 1000, "how often the progression is played");
  add_number(app, "--tempo", a.tempo, 20, 400, "quarters per minute (144, or as the files)")
      ->default_str("");
  add_number(app, "--temperature", a.generate.temperature, 0.01, 100,
             "of pitches: lower is safer, higher wilder");
  add_number(app, "--top-p", a.generate.top_p, 0.01, 1,
             "draw from the likeliest pitches that reach this probability");
  add_number(app, "--rhythm-temperature", a.generate.rhythm_temperature, 0.01, 100,
             "of rhythm and rests");
  add_count(app, "--takes", a.takes, 1, 1000,
            "tunes to generate and measure; the first is written");
  app.add_option("--activations", a.activations,
                 "write what each neuron does over the first take, as one page for a browser")
      ->type_name("FILE.html")
      ->check(common::file_ending({".html"}));
}

void fill_in(CLI::App& app, Arguments& a) {
  const auto set = [&](const char* option, auto& value, auto preset) {
    common::preset(app, option, value, preset);
  };
  if (a.common.quick) {
    set("--updates", a.train.updates, 60);
    set("--evaluate-every", a.train.evaluate_every, 30);
    set("--hidden", a.model.hidden, 32);
    set("--embedding", a.model.embedding, 32);
    set("--choruses", a.choruses, 1);
    set("--takes", a.takes, 2);
  }
  a.model.gru = a.cell == "gru";
  a.model.device = a.common.device;
  a.train.seed = a.common.seed;
  if (!a.play_model.empty() && !a.generate_only) {
    throw common::UsageError("--model has no effect without --generate-only; leave it out");
  }
  const bool continues = a.resume || (a.generate_only && a.play_model.empty());
  a.common.folder = continues ? common::OutFolder::continued : common::OutFolder::written;
  if (a.generate_only) {
    a.common.other_folder =
        fmt::format("give --model {} and another folder for the tune by --out", a.checkpoint());
  }
  a.common.reads = {{"--data", a.data}, {"--model", a.play_model}};
  a.common.writes = {{"--activations", a.activations},
                     {"the run's checkpoint", a.file("checkpoint.safetensors")},
                     {"the tune", a.file("jazz.mid")},
                     {"its picture", a.file("jazz.svg")},
                     {"its sound", a.file("jazz.wav")}};
  check_data(a);
  if (a.generate_only) {
    common::check_effect(
        app,
        {"--generate-only", "--model",      "--out",         "--json",   "--seed",
         "--threads",       "--device",     "--quick",       "--data",   "--cell",
         "--hidden",        "--layers",     "--embedding",   "--chords", "--form",
         "--choruses",      "--tempo",      "--temperature", "--top-p",  "--rhythm-temperature",
         "--takes",         "--activations"},
        "--generate-only, which trains nothing");
  }
}

Tune chart_of(const CLI::App& app, const Arguments& a, const Material& material) {
  constexpr int kBars = 16;
  constexpr double kTempo = 144;
  const bool asked = app.count("--chords") + app.count("--form") > 0;
  if (asked && !material.has_chords) {
    throw common::UsageError(
        fmt::format("{} states no chords, so none can be learned; leave out --chords and --form",
                    material.name));
  }
  Tune chart;
  if (!a.chords.empty() || app.count("--chords") > 0) {
    try {
      chart = parse_chart(a.chords);
    } catch (const std::invalid_argument& error) {
      throw common::UsageError(std::string("--chords: ") + error.what());
    }
  } else if (material.has_chords) {
    chart = standard_form(a.form);
  } else {
    chart = empty_chart(material.training.front(), kBars);
  }
  if (material.has_chords) chart.tempo = kTempo;
  if (a.tempo > 0) chart.tempo = a.tempo;
  chart.title =
      fmt::format("{}, seed {}", chart.form.empty() ? "generated" : chart.form, a.common.seed);
  try {
    return repeated(chart, a.choruses);
  } catch (const std::invalid_argument& error) {
    throw common::UsageError(std::string("--choruses: ") + error.what());
  }
}

}  // namespace jazz
