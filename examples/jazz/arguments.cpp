// SPDX-License-Identifier: MIT
// Declaration of the options, with their explanations. Refuses values that do not fit, before any
// work.
#include "examples/jazz/arguments.h"

#include <fmt/format.h>

#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/chart.h"

namespace jazz {

const char* const kExplanation = R"(Learns to play melodies over chords, and plays one.

Music is a sequence of notes, each with three numbers predicted in turn: the time since the last
onset, the pitch, the length. One step of the network is one note. A grid of time slots would spend
most steps on "nothing new", and on/off messages would have to remember what they began. The network
does not predict the chords: it sees the chord of each onset and the next chord. It sees each pitch
three times: counted from the root of the chord, from the last note, and from the lowest key. It
learns the tunes in all 12 keys. Tunes that are held out measure it in nats per note (lower is
better), compared with an order-3 n-gram of the same notes.

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
        "--json: {} would lie among the MIDI files of --data; give another name", a.common.json));
  }
}

}  // namespace

void add_options(common::CommandLine& line, Arguments& a) {
  using namespace common;
  line.add(free_text("--data", a.data, "DIR",
                     "learn the MIDI files in this folder and its subfolders; every 5th file is "
                     "held out (default: the built-in tunes)",
                     {.not_empty = true}));
  line.add(table_of(a.model));
  line.add(table_of(a.train));
  line.add({
      flag("--resume", a.resume,
           "continue the run from DIR/checkpoint.safetensors up to --updates. With the same "
           "--updates as before the result is bit for bit that of one run; another number changes "
           "the learning rates. Without this option a new run replaces that file"),
      flag("--generate-only", a.generate_only,
           "do not train; play with the best weights in DIR/checkpoint.safetensors",
           {.excludes = {"--resume"}}),
      free_text("--model", a.play_model, "FILE",
                "the checkpoint for --generate-only (default: DIR/checkpoint.safetensors)",
                {.not_empty = true}),
      free_text("--chords", a.chords, "\"F7 | Bb7 | ...\"", "chords to play over; '|' ends a bar"),
      choice("--form", a.form, form_names(), "a standard chord progression to play over",
             {.excludes = {"--chords"}}),
      count("--choruses", a.choruses, 1, 1000, "number of times that the progression is played"),
      number("--tempo", a.tempo, 20, 400,
             "quarter notes per minute (default: 144, or the tempo of the MIDI files)",
             {.default_shown = false}),
      number("--temperature", a.generate.temperature, 0.01, 100,
             "temperature of the pitches: lower is safer, higher is wilder"),
      number("--top-p", a.generate.top_p, 0.01, 1,
             "draw from the likeliest pitches whose probabilities add up to this"),
      number("--rhythm-temperature", a.generate.rhythm_temperature, 0.01, 100,
             "temperature of rhythm and rests"),
      count("--takes", a.takes, 1, 1000,
            "tunes to generate and measure; only the first is written to files"),
      free_text("--activations", a.activations, "FILE.html",
                "write the values of all neurons over the first take as one page for a browser",
                {.endings = {".html"}}),
  });
}

void fill_in(common::CommandLine& line, Arguments& a) {
  if (a.common.quick) {
    line.preset("--updates", 60);
    line.preset("--evaluate-every", 30);
    line.preset("--hidden", 32);
    line.preset("--embedding", 32);
    line.preset("--choruses", 1);
    line.preset("--takes", 2);
  }
  a.model.device = a.common.device;
  a.train.seed = a.common.seed;
  if (!a.play_model.empty() && !a.generate_only) {
    throw common::UsageError("--model has no effect without --generate-only; leave --model out");
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
    line.check_effect(
        {"--generate-only", "--model",      "--out",         "--json",   "--seed",
         "--threads",       "--device",     "--quick",       "--data",   "--cell",
         "--hidden",        "--layers",     "--embedding",   "--chords", "--form",
         "--choruses",      "--tempo",      "--temperature", "--top-p",  "--rhythm-temperature",
         "--takes",         "--activations"},
        "--generate-only, which trains nothing");
  }
}

Tune chart_of(const common::CommandLine& line, const Arguments& a, const Material& material) {
  constexpr int kBars = 16;
  constexpr double kTempo = 144;
  const bool asked = line.given("--chords") || line.given("--form");
  if (asked && !material.has_chords) {
    throw common::UsageError(
        fmt::format("{} has no chords, so the network learns none; leave out --chords and --form",
                    material.name));
  }
  Tune chart;
  if (line.given("--chords")) {
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
