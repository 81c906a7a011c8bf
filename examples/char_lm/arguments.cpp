// SPDX-License-Identifier: MIT
// Declaration of the options, with their explanations, and which of them go together.
#include "examples/char_lm/arguments.h"

namespace char_lm {

namespace {

// Defaults for the list of names: the text is short, so dropout regularizes the weights.
constexpr int kNamesUpdates = 1200;
constexpr int kNamesValidateEvery = 100;
constexpr double kNamesDropout = 0.5;

}  // namespace

void add_options(common::CommandLine& line, Arguments& a) {
  using namespace common;
  line.add(
      {free_text("--data", a.data, "FILE",
                 "the text to learn (default: the built-in dinosaur names)", {.not_empty = true}),
       flag("--lines", a.lines,
            "the text is a list of lines: each pass shuffles them, every 10th line validates, and "
            "new lines are printed. Without this option the last 10% of the text validate")});
  line.add(table_of(a.settings));
  line.add({
      count("--validate-every", a.validate_every, 1, kAnyCount,
            "updates from one validation to the next; each saves a checkpoint"),
      flag(
          "--resume", a.resume,
          "continue the run from DIR/last.safetensors up to --updates, which may be another number "
          "than before; without this option a new run replaces the files in DIR"),
      flag("--generate-only", a.generate_only, "do not train; write text with DIR/best.safetensors",
           {.excludes = {"--resume"}}),
      number("--temperature", a.sample.temperature, 0, 1e6,
             "temperature of sampling; 0: always the likeliest symbol"),
      count("--top-k", a.sample.top_k, 0, kAnyCount,
            "sample from the k likeliest symbols only; 0: from all"),
      number("--top-p", a.sample.top_p, 1e-9, 1,
             "sample from the likeliest symbols whose probabilities add up to this"),
      free_text("--prompt", a.prompt, "TEXT", "the beginning of the generated text"),
      count("--length", a.length, 1, 1 << 30, "symbols to generate if the text is not a list"),
      count("--count", a.count, 0, 1 << 30, "lines to generate if the text is a list"),
      free_text("--activations", a.activations, "FILE.html",
                "write the values of all neurons over a text as one page for a browser; FILE.svg: "
                "a picture of ten neurons over at most 400 symbols",
                {.endings = {".html", ".svg"}}),
      free_text("--activations-text", a.activations_text, "TEXT",
                "the text of --activations (default: the beginning of the validation text)",
                {.needs = {"--activations"}, .not_empty = true}),
      free_text(
          "--gradient-picture", a.gradient_picture, "FILE.svg",
          "do only this: train an RNN, an LSTM and a GRU, and draw how far back in time the "
          "gradient of a loss reaches in each, before and after training",
          {.excludes = {"--resume", "--generate-only", "--activations"}, .endings = {".svg"}}),
      count("--gradient-steps", a.gradient_steps, 2, 1 << 16,
            "time steps in the picture of --gradient-picture", {.needs = {"--gradient-picture"}}),
  });
}

void fill_in(common::CommandLine& line, Arguments& a) {
  if (a.data.empty()) {
    a.lines = true;
    line.preset("--dropout", kNamesDropout);
    line.preset("--updates", kNamesUpdates);
    line.preset("--validate-every", kNamesValidateEvery);
    line.footer(
        "The defaults shown are those of the built-in names; `char_lm --data FILE --help` shows "
        "the defaults of a text.");
  }
  if (a.common.quick) {
    line.preset("--updates", 200);
    line.preset("--validate-every", 100);
    line.preset("--hidden", 48);
    line.preset("--length", 100);
  }
  a.settings.lines = a.lines;
  a.settings.seed = a.common.seed;
  a.settings.model.device = a.common.device;
  if (a.generate_only) {
    line.check_effect(
        {"--generate-only",   "--out",    "--json",      "--seed",        "--threads",
         "--device",          "--quick",  "--data",      "--lines",       "--cell",
         "--hidden",          "--layers", "--embedding", "--temperature", "--top-k",
         "--top-p",           "--prompt", "--length",    "--count",       "--activations",
         "--activations-text"},
        "--generate-only, which trains nothing");
  }
  if (!a.gradient_picture.empty()) {
    line.check_effect(
        {"--gradient-picture", "--gradient-steps", "--out", "--json", "--seed", "--threads",
         "--device", "--quick", "--data", "--lines", "--hidden", "--layers", "--embedding",
         "--dropout", "--streams", "--steps", "--updates", "--lr", "--clip"},
        "--gradient-picture, which does nothing else");
  }
  const bool trains = !a.generate_only && a.gradient_picture.empty();
  a.common.folder = !trains    ? common::OutFolder::read
                    : a.resume ? common::OutFolder::continued
                               : common::OutFolder::written;
  a.common.reads = {{"--data", a.data}};
  a.common.writes = {{"--activations", a.activations}, {"--gradient-picture", a.gradient_picture}};
  auto& checkpoints = trains ? a.common.writes : a.common.reads;
  checkpoints.push_back({"the run's last checkpoint", a.last()});
  checkpoints.push_back({"the run's best weights", a.best()});
}

}  // namespace char_lm
