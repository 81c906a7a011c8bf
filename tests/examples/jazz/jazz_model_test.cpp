// SPDX-License-Identifier: MIT
// Tests of the jazz example's network: gradients, resumed training, generation, bad input. The
// program itself measures how well it plays.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "examples/jazz/generate.h"
#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/chart.h"
#include "examples/jazz/train.h"
#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/messages.h"

using tapeloop::test::contains;
using tapeloop::test::kNothingThrown;
using tapeloop::test::message_of;

namespace {

using namespace jazz;
using namespace tapeloop;
namespace fs = std::filesystem;

// A new folder for each test, removed afterwards.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() /
             ("tapeloop_jazz_model_" + std::to_string(::getpid()) + "_" + name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
};

ModelOptions tiny(const char* cell = "lstm") {
  return {.cell = cell, .hidden = 8, .embedding = 6, .dropout = 0.3, .forget = 0.2};
}
TrainOptions short_run(std::uint64_t seed = 3) {
  return {.updates = 6, .streams = 3, .steps = 7, .evaluate_every = 2, .seed = seed};
}

Batch batch_of(const std::vector<Tune>& tunes, std::int64_t steps) {
  Batch batch(steps, static_cast<std::int64_t>(tunes.size()));
  for (std::size_t n = 0; n < tunes.size(); ++n) {
    const Sequence sequence = encode_sequence(tunes[n]);
    Line line(sequence.start);
    for (std::int64_t t = 0; t < steps; ++t) {
      const Event& event = sequence.events.at(static_cast<std::size_t>(t));
      batch.set(t, static_cast<std::int64_t>(n), line, event);
      line.add(event);
    }
  }
  return batch;
}

bool same(const StateDict& a, const StateDict& b) {
  bool equal = a.size() == b.size();
  for (std::size_t i = 0; equal && i < a.size(); ++i) {
    equal =
        a[i].name == b[i].name && a[i].tensor.to_vector<float>() == b[i].tensor.to_vector<float>();
  }
  return equal;
}

}  // namespace

TEST_CASE("the gradients of the whole network agree with differences in float64, with both cells") {
  const Material material = embedded_corpus();
  for (const char* cell : {"lstm", "gru"}) {
    CAPTURE(cell);
    Random random(1);
    const Model model({.cell = cell,
                       .hidden = 3,
                       .layers = 2,
                       .embedding = 2,
                       .dropout = 0,
                       .forget = 0,
                       .dtype = DType::float64},
                      random);
    const Batch batch = batch_of({material.training[0], material.training[1]}, 4);
    const auto report = gradcheck(
        [&] {
          Memory memory;
          return model.loss(batch, memory).sum;
        },
        nn::parameters(model));
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("nats per note of several tunes are those of each, weighted by its notes") {
  const Material material = embedded_corpus();
  Random random(5);
  const Model model(tiny(), random);
  // Tunes of different lengths. One is longer than a part of the evaluation, 128 events.
  const Tune loop = repeated(standard_form("rhythm"), 1);
  Tune longest = material.training[0];
  for (int i = 0; i < 150; ++i)
    longest.notes.push_back({length_of(loop) + i * 48, 48, 60 + i % 12});
  const std::vector<Tune> tunes = {material.training[1], longest, material.training[2]};
  double sum = 0;
  double notes = 0;
  for (const Tune& tune : tunes) {
    sum += nats_per_note(model, {tune}).total() * static_cast<double>(tune.notes.size());
    notes += static_cast<double>(tune.notes.size());
  }
  CHECK(nats_per_note(model, tunes).total() == doctest::Approx(sum / notes).epsilon(1e-5));
}

TEST_CASE("the relative columns follow a transposition, and leave the rest alone") {
  const int c = kNoRoot - 12;
  for (int up = 1; up < 12; ++up) {
    CHECK(root_columns(c + up)[30 + static_cast<std::size_t>(up)] == root_columns(c)[30]);
    CHECK(step_columns(30 + up)[37 + static_cast<std::size_t>(up)] == step_columns(30)[37]);
    CHECK(root_columns(up)[kRest] == root_columns(c)[kRest]);
  }
  for (int root = 0; root < kRoots; ++root) {
    for (std::int64_t column : root_columns(root)) CHECK((column >= 0 && column < kRootColumns));
  }
  for (int pitch = 0; pitch < kPitchClasses; ++pitch) {
    for (std::int64_t column : step_columns(pitch)) CHECK((column >= 0 && column < kStepColumns));
  }
}

TEST_CASE("training that is saved and gone on with is bit for bit the uninterrupted one") {
  const Folder folder("resume");
  const Material material = embedded_corpus();
  for (const char* cell : {"lstm", "gru"}) {
    CAPTURE(cell);
    Trainer whole(tiny(cell), short_run(), material);
    std::vector<double> losses;
    while (!whole.finished()) losses.push_back(whole.update());
    CHECK(losses.size() == 6);

    Trainer first(tiny(cell), short_run(), material);
    for (int i = 0; i < 3; ++i) first.update();
    const std::string path = folder.file("checkpoint.safetensors");
    nn::save_checkpoint(path, first.checkpoint());
    Trainer second(tiny(cell), short_run(), material);
    second.restore(nn::read_checkpoint(path), path);
    CHECK(second.updates() == 3);
    for (std::size_t i = 3; i < 6; ++i) CHECK(second.update() == losses[i]);
    CHECK(same(nn::state_dict(second.model()), nn::state_dict(whole.model())));
    CHECK(second.best()->total() == whole.best()->total());
    CHECK(second.history().best_update == whole.history().best_update);
    CHECK(second.notes_seen() == whole.notes_seen());

    // The best weights are those of the best evaluation, also when read from the file.
    nn::save_checkpoint(path, second.checkpoint());
    const Model best = best_model(nn::read_checkpoint(path), material, path);
    CHECK(nats_per_note(best, material.held_out).total() == whole.best()->total());
  }
}

TEST_CASE("a checkpoint of other settings, of another program or damaged is refused by name") {
  const Folder folder("refused");
  const Material material = embedded_corpus();
  Trainer trainer(tiny(), short_run(), material);
  trainer.update();
  const std::string path = folder.file("checkpoint.safetensors");
  nn::save_checkpoint(path, trainer.checkpoint());

  ModelOptions wide = tiny();
  wide.hidden = 9;
  Trainer other(wide, short_run(4), material);
  const StateDict before = nn::state_dict(other.model());
  const std::string differs = message_of([&] { other.check(nn::read_checkpoint(path), path); });
  CAPTURE(differs);
  CHECK(contains(differs, path));
  CHECK(contains(differs, "hidden"));
  CHECK(contains(differs, "seed"));
  CHECK_FALSE(contains(differs, "layers"));
  CHECK(same(before, nn::state_dict(other.model())));

  Material less = material;
  less.training.pop_back();
  CHECK(contains(message_of([&] { best_model(nn::read_checkpoint(path), less, path); }),
                 "other music"));

  const std::string foreign = folder.file("foreign.safetensors");
  nn::save_checkpoint(foreign, {.sections = {{"model", nn::state_dict(trainer.model())}},
                                .notes = {{"cell", "gru"}}});
  CHECK(contains(message_of([&] { best_model(nn::read_checkpoint(foreign), material, foreign); }),
                 "jazz, format 1"));
  CHECK(contains(message_of([&] { trainer.check(nn::read_checkpoint(foreign), foreign); }),
                 "it was written by another program, expected 'jazz, format 1'"));

  fs::resize_file(path, fs::file_size(path) / 2);
  CHECK_THROWS_AS(nn::read_checkpoint(path), FileError);
  CHECK_THROWS_AS(nn::read_checkpoint(folder.file("absent")), FileError);
}

TEST_CASE("what is generated follows the chart's length, the range and the seed") {
  const Material material = embedded_corpus();
  Random random(7);
  const Model model(tiny(), random);  // untrained: only the rules keep it within bounds
  const Tune chart = repeated(parse_chart("F7 | Bb7 | F7 | Cm7 F7"), 3);
  CHECK(bars_of(chart) == 12);
  GenerateOptions options{.seed = 11};
  fit_to(options, material);
  CHECK(options.lowest == kLowestMelody);
  CHECK(options.highest == kHighestMelody);
  CHECK(options.one_voice);
  const std::vector<Tune> takes = generate(model, chart, 4, options);
  REQUIRE(takes.size() == 4);
  for (const Tune& tune : takes) {
    CHECK(tune.chords == chart.chords);
    CHECK(length_of(tune) == length_of(chart));
    int end = 0;
    bool fits = !tune.notes.empty();
    for (const Note& note : tune.notes) {
      fits = fits && note.start >= end && note.length > 0 && note.pitch >= kLowestMelody &&
             note.pitch <= kHighestMelody;
      end = note.start + note.length;
    }
    CHECK(fits);
    CHECK(end <= length_of(chart));
  }
  CHECK(takes[0] != takes[1]);
  CHECK(generate(model, chart, 1, options)[0] == takes[0]);
  options.seed = 12;
  CHECK(generate(model, chart, 1, options)[0] != takes[0]);

  // Only time steps that some tune has: the network alone would leave the grid.
  const auto on_grid = [](const Tune& tune) {
    return std::all_of(tune.notes.begin(), tune.notes.end(), [](const Note& note) {
      return note.start % 48 == 0 || note.start % 16 == 0;
    });
  };
  for (const Tune& tune : takes) CHECK(on_grid(tune));
  options.steps.clear();
  CHECK_FALSE(on_grid(generate(model, chart, 1, options)[0]));
  CHECK_THROWS_AS(generate(model, chart, 0, options), std::invalid_argument);
  CHECK_THROWS_AS(generate(model, Tune{}, 1, options), std::invalid_argument);
}

TEST_CASE("folders without anything to learn from are refused, damaged files are named") {
  const Folder folder("folders");
  CHECK(contains(message_of([&] { read_material(folder.path / "absent"); }), "absent"));
  CHECK(message_of([&] { read_material(folder.path); }) != kNothingThrown);
  std::ofstream(folder.file("broken.mid")) << "MThd, or so it says";
  const std::string broken = message_of([&] { read_material(folder.path); });
  CHECK(contains(broken, "broken.mid"));
  CHECK(contains(broken, "give a folder with music"));

  // One good file beside it: its last fifth is held out.
  const Tune tune = embedded_corpus().training[0];
  write_midi(tune, folder.file("good.mid"), {.swing = false, .rhythm_section = false});
  const Material material = read_material(folder.path);
  CHECK(material.left_out.size() == 1);
  CHECK(material.training.size() == 1);
  CHECK(material.held_out.size() == 1);
  CHECK(material.notes() == tune.notes.size());
  CHECK(material.has_chords);
}

TEST_CASE("another program reads the MIDI file: notes, chord symbols and tempo") {
  if (std::system("command -v midicsv >/dev/null 2>&1") != 0) {
    std::printf("SKIPPED: midicsv is not installed\n");
    return;
  }
  const Folder folder("midicsv");
  Random random(7);
  const Model model(tiny(), random);
  Tune chart = repeated(standard_form("blues"), 1);
  chart.tempo = 150;
  const Tune tune = generate(model, chart, 1, {.seed = 2})[0];
  write_midi(tune, folder.file("jazz.mid"));
  const std::string command =
      "midicsv '" + folder.file("jazz.mid") + "' '" + folder.file("jazz.csv") + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  std::ifstream csv(folder.file("jazz.csv"));
  std::size_t notes = 0;
  std::size_t chords = 0;
  bool tempo = false;
  for (std::string line; std::getline(csv, line);) {
    if (contains(line, "Note_on_c")) ++notes;
    if (contains(line, "Marker_t, \"Bdim7\"")) ++chords;
    if (contains(line, "Tempo, 400000")) tempo = true;
  }
  CHECK(notes > tune.notes.size());  // the rhythm section plays, too
  CHECK(chords == 1);
  CHECK(tempo);
}
