// SPDX-License-Identifier: MIT
// jazz: a network learns to improvise over chords. Without arguments it learns from the tunes in
// corpus/ in about half a minute on one core and writes out/jazz/jazz.mid, a blues; --data DIR
// learns from MIDI files.
// The parts: score.h and events.h (the music as notes and as classes, with the reasons),
// features.h, model.h, train.h, generate.h, report.h.
// Expect: "aim: chord tones within 10 points of the corpus: ... met" and the same for copying.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "examples/common/output.h"
#include "examples/jazz/arguments.h"
#include "examples/jazz/inside.h"
#include "examples/jazz/report.h"
#include "examples/jazz/train.h"
#include "tapeloop/autograd/files/files.h"

namespace jazz {
namespace {

namespace nn = tapeloop::nn;

// Trains to the end and leaves the best weights in the trainer's model.
nlohmann::json train(const Arguments& a, Trainer& trainer, const Material& material,
                     const nn::Checkpoint& saved) {
  common::Run run(trainer, {.folder = a.common.out,
                            .only_file = "checkpoint.safetensors",
                            .updates = a.train.updates,
                            .validate_every = a.train.evaluate_every,
                            .unit = "notes",
                            .prints_validations = true});
  if (a.resume) run.resume(saved);
  const Baseline baseline = ngram_baseline(material);
  common::print("{} {} of {} units, {} parameters, seed {}\n", a.model.layers, a.model.cell,
                a.model.hidden, nn::parameter_count(trainer.model()), a.common.seed);
  common::print("nats per note of held-out tunes:    total = delta + pitch + duration\n");
  common::print("order-3 n-gram, {} keys            {}\n", baseline.keys, show(baseline.held_out));
  const common::Run::Result done = run.train();
  const std::int64_t best_update = trainer.history().best_update;
  const double gain = baseline.held_out.total() - trainer.best()->total();
  common::print("best, after update {}: {:.4f} nats per note, {:.4f} {} than the n-gram\n",
                best_update, trainer.best()->total(), std::abs(gain),
                gain > 0 ? "better" : "WORSE");
  common::print("training {:.1f} s wall, {:.1f} s CPU, {:.0f} notes\n", done.seconds,
                done.cpu_seconds, done.units);
  trainer.use_best();
  return {{"settings", notes_of(a.model, a.train, material.fingerprint())},
          {"parameters", nn::parameter_count(trainer.model())},
          {"held_out", to_json(*trainer.best())},
          {"ngram", to_json(baseline.held_out)},
          {"ngram_keys", baseline.keys},
          {"best_update", best_update},
          {"train_seconds", done.seconds},
          {"train_cpu_seconds", done.cpu_seconds}};
}

void play(const Arguments& a, const Model& model, const Material& material, const Tune& chart,
          nlohmann::json figures) {
  GenerateOptions options = a.generate;
  fit_to(options, material);
  options.seed = a.common.seed;
  const std::vector<Tune> takes = generate(model, chart, a.takes, options);
  const OutputFiles files{a.file("jazz.mid"), a.file("jazz.svg"), a.file("jazz.wav")};
  common::print("\n");
  write_tune(takes.front(), files, a.common.seed);
  if (!a.activations.empty()) {
    tapeloop::write_file(a.activations, neurons_over_tune(model, takes.front()));
    common::print("values of all neurons over the first take: {}\n", a.activations);
  }
  common::print("\n{} takes, compared with {} (the first take is in the files):\n", a.takes,
                material.name);
  const Judgement judgement = judge(takes, material);
  print(judgement);
  if (a.common.json.empty()) return;
  figures["measures"] = to_json(judgement);
  figures["seed"] = a.common.seed;
  figures["temperature"] = a.generate.temperature;
  figures["rhythm_temperature"] = a.generate.rhythm_temperature;
  figures["top_p"] = a.generate.top_p;
  figures["midi"] = files.midi;
  common::write_json(a.common.json, figures);
}

void generate_only(const common::CommandLine& line, const Arguments& a, const nn::Checkpoint& saved,
                   const Material& material, const Tune& chart) {
  const Model model = best_model(saved, material, a.checkpoint(), a.common.device);
  line.check_model(saved, a.checkpoint());
  play(a, model, material, chart, {});
}

void run(const common::CommandLine& line, const Arguments& a) {
  nn::Checkpoint saved;
  if (a.resume) saved = common::read_of_run(a.checkpoint(), "--resume");
  if (a.generate_only) saved = common::read_of_run(a.checkpoint(), "--generate-only");
  const Material material =
      a.data.empty() ? embedded_corpus() : read_material(a.data, a.common.out);
  for (const std::string& reason : material.left_out) common::print("left out: {}\n", reason);
  for (const std::string& warning : material.warnings)
    common::print("read with a warning: {}\n", warning);
  const Tune chart = chart_of(line, a, material);
  // Finds a folder that cannot be written to before the training, not after it.
  for (const char* name : {"jazz.mid", "jazz.svg"}) tapeloop::NewFile(a.file(name), 0);
  common::print("{}: {} tunes, {} notes; held out: {}, {} of them\n", material.name,
                material.training.size() + material.held_out.size(), material.notes(),
                material.held_out_rule, material.held_out.size());
  if (!a.activations.empty()) common::check_writable(a.activations);
  if (a.generate_only) return generate_only(line, a, saved, material, chart);
  Trainer trainer(a.model, a.train, material);
  nlohmann::json figures = train(a, trainer, material, saved);
  play(a, trainer.model(), material, chart, std::move(figures));
}

}  // namespace
}  // namespace jazz

int main(int argc, char** argv) {
  using namespace jazz;
  Arguments a;
  common::CommandLine line(a.common, "jazz", kExplanation);
  add_options(line, a);
  return line.run(
      argc, argv, [&] { run(line, a); }, [&] { fill_in(line, a); });
}
