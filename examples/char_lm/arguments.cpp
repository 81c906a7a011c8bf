// SPDX-License-Identifier: MIT
// Declaration of the options, with their explanations, and which of them go together.
#include "examples/char_lm/arguments.h"

#include <CLI/CLI.hpp>
#include <limits>

namespace char_lm {

namespace {

// Defaults for the list of names: the text is short, so dropout regularizes the weights.
constexpr std::int64_t kNamesUpdates = 1200;
constexpr std::int64_t kNamesValidateEvery = 100;
constexpr double kNamesDropout = 0.5;

}  // namespace

void add_options(CLI::App& app, Arguments& a) {
  using common::add_count, common::add_number, common::kAnyCount;
  constexpr double kAnyNumber = std::numeric_limits<double>::infinity();
  Settings& s = a.settings;
  common::add_common(app, a.common, "char_lm");
  app.add_option("--data", a.data, "the text to learn (default: the built-in dinosaur names)")
      ->type_name("FILE")
      ->check(common::not_empty());
  app.add_flag("--lines", a.lines,
               "the text is a list of lines: each pass shuffles them, every 10th line validates, "
               "and new lines are printed. Without this option the last 10% of the text validate");
  app.add_option("--cell", s.model.cell, "the recurrent cell")
      ->check(CLI::IsMember({"lstm", "gru", "rnn"}))
      ->type_name("lstm|gru|rnn")
      ->default_str(s.model.cell);
  add_count(app, "--hidden", s.model.hidden, 1, 65536, "units of a layer");
  add_count(app, "--layers", s.model.layers, 1, 1000, "layers");
  add_count(app, "--embedding", s.model.embedding, 0, 65536,
            "size of the vector that is learned for each symbol; 0: one-hot input");
  add_number(app, "--dropout", s.model.dropout, 0, 0.99,
             "share of each layer's outputs that training drops");
  add_count(app, "--streams", s.streams, 1, 1 << 20,
            "places of the text that are read in parallel");
  add_count(app, "--steps", s.steps, 1, 1 << 20, "steps of truncated BPTT per update");
  add_count(app, "--updates", a.updates, 1, kAnyCount, "updates of the weights");
  add_number(app, "--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate");
  add_number(app, "--clip", s.clip, 0, kAnyNumber,
             "largest global norm of the gradient; 0: no clipping");
  add_count(app, "--validate-every", a.validate_every, 1, kAnyCount,
            "updates from one validation to the next; each saves a checkpoint");
  CLI::Option* resume = app.add_flag("--resume", a.resume,
                                     "continue the run from DIR/last.safetensors; without this "
                                     "option a new run replaces the files in DIR");
  CLI::Option* generate_only = app.add_flag("--generate-only", a.generate_only,
                                            "do not train; write text with DIR/best.safetensors")
                                   ->excludes(resume);
  add_number(app, "--temperature", a.sample.temperature, 0, 1e6,
             "temperature of sampling; 0: always the likeliest symbol");
  add_count(app, "--top-k", a.sample.top_k, 0, kAnyCount,
            "sample from the k likeliest symbols only; 0: from all");
  add_number(app, "--top-p", a.sample.top_p, 1e-9, 1,
             "sample from the likeliest symbols whose probabilities add up to this");
  app.add_option("--prompt", a.prompt, "what generated text begins with")->type_name("TEXT");
  add_count(app, "--length", a.length, 1, 1 << 30, "symbols to generate if the text is not a list");
  add_count(app, "--count", a.count, 0, 1 << 30, "lines to generate if the text is a list");
  CLI::Option* activations =
      app.add_option("--activations", a.activations,
                     "write the values of all neurons over a text as one page for a browser; "
                     "FILE.svg: a picture of ten neurons over at most 400 symbols")
          ->type_name("FILE.html")
          ->check(common::file_ending({".html", ".svg"}));
  app.add_option("--activations-text", a.activations_text,
                 "the text of --activations (default: the beginning of the validation text)")
      ->type_name("TEXT")
      ->check(common::not_empty())
      ->needs(activations);
  CLI::Option* picture =
      app.add_option("--gradient-picture", a.gradient_picture,
                     "do only this: train an RNN, an LSTM and a GRU, and draw how far back in time "
                     "the gradient of a loss reaches in each, before and after training")
          ->type_name("FILE.svg")
          ->check(common::file_ending({".svg"}))
          ->excludes(resume)
          ->excludes(generate_only)
          ->excludes(activations);
  add_count(app, "--gradient-steps", a.gradient_steps, 2, 1 << 16,
            "time steps in the picture of --gradient-picture")
      ->needs(picture);
}

void fill_in(CLI::App& app, Arguments& a) {
  const auto set = [&](const char* option, auto& value, auto preset) {
    common::preset(app, option, value, preset);
  };
  if (a.data.empty()) {
    a.lines = true;
    set("--dropout", a.settings.model.dropout, kNamesDropout);
    set("--updates", a.updates, kNamesUpdates);
    set("--validate-every", a.validate_every, kNamesValidateEvery);
    app.footer(
        "The defaults shown are those of the built-in names; `char_lm --data FILE --help` shows "
        "the defaults of a text.");
  }
  if (a.common.quick) {
    set("--updates", a.updates, 200);
    set("--validate-every", a.validate_every, 100);
    set("--hidden", a.settings.model.hidden, 48);
    set("--length", a.length, 100);
  }
  a.settings.lines = a.lines;
  a.settings.seed = a.common.seed;
  a.settings.model.device = a.common.device;
  if (a.generate_only) {
    common::check_effect(
        app, {"--generate-only",   "--out",    "--json",      "--seed",        "--threads",
              "--device",          "--quick",  "--data",      "--lines",       "--cell",
              "--hidden",          "--layers", "--embedding", "--temperature", "--top-k",
              "--top-p",           "--prompt", "--length",    "--count",       "--activations",
              "--activations-text"},
        "--generate-only, which trains nothing");
  }
  if (!a.gradient_picture.empty()) {
    common::check_effect(
        app,
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
