// SPDX-License-Identifier: MIT
// char_lm: a character language model. Without arguments it learns a built-in list of dinosaur
// names in 10 to 30 seconds on one core and ends with ten names of its own; --data FILE learns any
// text. The parts: arguments.h, corpus.h (text), model.h, training.h, generate.h, inside.h.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "examples/char_lm/arguments.h"
#include "examples/char_lm/generate.h"
#include "examples/char_lm/inside.h"
#include "examples/common/console.h"
#include "examples/common/notes.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "examples/common/saver.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/decode/metrics.h"

namespace char_lm {
namespace {

namespace nn = tapeloop::nn;

std::string text_of(const Arguments& a) {
  return a.data.empty() ? std::string(dinosaur_names()) : read_text(a.data);
}

// Prints samples of the model and returns them. `text`: the list of the training, if it is
// available.
nlohmann::json print_samples(const Arguments& a, const CharLm& model, const Vocabulary& vocabulary,
                             bool lines, const std::string& text) {
  constexpr std::int64_t kLongestLine = 80;
  constexpr int kWarmUpLines = 3;
  nlohmann::json samples = nlohmann::json::array();
  Writer writer(model, vocabulary, a.sample, tapeloop::Random(a.common.seed).split());
  // The symbol before a beginning is the end of the previous line.
  const std::string start(1, vocabulary.index('\n') >= 0 ? '\n' : vocabulary.symbol(0));
  writer.read(start);
  if (!lines) {
    writer.read(a.prompt);
    const std::string made = a.prompt + std::string(without_cut_end(writer.write(a.length)));
    common::print("\n{}\n", made);
    samples.push_back(made);
    return samples;
  }
  const std::vector<std::string> list = lines_of(text);
  const std::set<std::string> known(list.begin(), list.end());
  // In training, lines follow other lines, so the first lines after a zero state are worse.
  for (int i = 0; i < kWarmUpLines; ++i) {
    writer.write(kLongestLine, '\n');
    writer.read(start);
  }
  common::print("\n{} made up by the best weights{}:\n", a.count,
                text.empty() ? "" : " (* is in the list)");
  for (std::int64_t i = 0; i < a.count; ++i) {
    writer.read(a.prompt);
    std::string line = writer.write(kLongestLine, '\n');
    if (static_cast<std::int64_t>(line.size()) == kLongestLine)
      line.resize(without_cut_end(line).size());
    const std::string made = a.prompt + line;
    writer.read(start);
    common::print("  {}{}\n", made, known.contains(made) ? " *" : "");
    samples.push_back(made);
  }
  return samples;
}

// Writes the activation page if the user named a file for it.
void write_activations(const Arguments& a, const CharLm& model, const Vocabulary& vocabulary,
                       const Corpus& corpus) {
  if (a.activations.empty()) return;
  const bool picture = a.activations.ends_with(".svg");
  const std::size_t shown = picture ? 72 : 800;
  std::string text = a.activations_text;
  if (text.empty()) text = beginning_of(corpus.validation, shown);
  const std::string title = fmt::format("Neurons of {}, {} units, over a text",
                                        a.settings.model.cell, a.settings.model.hidden);
  tapeloop::write_file(a.activations, neurons_over_text(model, vocabulary, text, title, picture));
  common::print("\nvalues of all neurons over {} symbols: {}\n", text.size(), a.activations);
}

Corpus split(const std::string& text, bool lines) {
  return lines ? split_lines(text) : split_text(text);
}

void draw_gradients(const Arguments& a) {
  const std::string text = text_of(a);
  const Vocabulary vocabulary(text);
  const Corpus corpus = split(text, a.lines);
  std::vector<nn::GradientPanel> panels{{"at initialisation", {}},
                                        {fmt::format("after {} updates", a.settings.updates), {}}};
  nlohmann::json figures;
  struct Kind {
    const char* cell;
    const char* name;
  };
  for (const Kind kind : {Kind{"rnn", "RNN"}, {"lstm", "LSTM"}, {"gru", "GRU"}}) {
    Settings settings = a.settings;
    settings.model.cell = kind.cell;
    Trainer trainer(corpus, vocabulary, settings);
    const auto measure = [&](nn::GradientPanel& panel) {
      for (const nn::GradientCurve& curve :
           gradients_of_last_loss(trainer.model(), settings.model, vocabulary, corpus.validation,
                                  a.gradient_steps, kind.name)) {
        common::print("{:<5} {:<4}{:>18}: a step back multiplies the gradient by {:.3g}\n",
                      kind.name, curve.layer, panel.title, nn::factor_per_step(curve.norms));
        figures[panel.title].push_back(
            {{"cell", kind.cell}, {"layer", curve.layer}, {"norms", curve.norms}});
        panel.curves.push_back(curve);
      }
      std::fflush(stdout);
    };
    measure(panels[0]);
    common::Progress progress(0, a.settings.updates, "tokens");
    while (trainer.updates() < a.settings.updates) {
      const double loss = trainer.update();
      progress.update(trainer.updates(), loss,
                      static_cast<double>(trainer.updates() * settings.streams * settings.steps));
    }
    progress.clear();
    measure(panels[1]);
  }
  tapeloop::write_file(
      a.gradient_picture,
      nn::gradient_picture(
          fmt::format("How far back the gradient reaches: {} x {} units, a loss "
                      "after {} steps of text",
                      a.settings.model.layers, a.settings.model.hidden, a.gradient_steps),
          panels));
  common::print("the picture: {}\n", a.gradient_picture);
  if (!a.common.json.empty()) common::write_json(a.common.json, figures);
}

void generate_only(const common::CommandLine& line, const Arguments& a) {
  const nn::Checkpoint saved = common::read_best(a.best(), "--generate-only");
  Settings settings = settings_of(saved, a.best());
  settings.model.device = a.common.device;
  const Vocabulary vocabulary = vocabulary_of(saved, a.best());
  line.check_model(saved, a.best());
  // Marks made-up lines only if the list is the one that the model learned.
  std::string text = text_of(a);
  if (fingerprint(text) != saved.notes.at("text")) text.clear();
  if (!a.activations.empty() && a.activations_text.empty() && a.data.empty() && text.empty()) {
    throw common::UsageError(fmt::format(
        "--activations: {} did not learn from the built-in names; give the --data that it was "
        "trained with, or a text by --activations-text",
        a.best()));
  }
  tapeloop::Random random(settings.seed);
  const CharLm model(vocabulary.size(), settings.model, random);
  nn::load_state_dict(model, saved.section("model"), a.best());
  const nlohmann::json samples = print_samples(a, model, vocabulary, settings.lines, text);
  Arguments own = a;
  own.settings = settings;
  write_activations(own, model, vocabulary, split(text_of(a), settings.lines));
  if (!a.common.json.empty())
    common::write_json(a.common.json, {{"settings", saved.notes}, {"samples", samples}});
}

void train_and_show(const Arguments& a) {
  const std::string text = text_of(a);
  const Vocabulary vocabulary(text);
  if (vocabulary.index('\0') >= 0) {
    common::print(
        "{}: the text has NUL bytes, so it is read byte for byte; if it is UTF-16, convert it by "
        "`iconv -f utf-16le -t utf-8`\n",
        a.data);
  }
  if (vocabulary.size() < 2) {
    tapeloop::fail("text", fmt::format("the text holds only the character '{}', so there is "
                                       "nothing to learn; give another text",
                                       vocabulary.escaped()));
  }
  check_prompt(vocabulary, a.prompt);
  check_prompt(vocabulary, a.activations_text, "--activations-text");
  const Corpus corpus = split(text, a.lines);
  Trainer trainer(corpus, vocabulary, a.settings);
  trainer.notes = notes_of(a.settings, vocabulary, fingerprint(text));
  const std::int64_t parameters = nn::parameter_count(trainer.model());
  common::Run::Result done;
  {
    common::Run run(trainer, {.folder = a.common.out,
                              .updates = a.settings.updates,
                              .validate_every = a.validate_every,
                              .unit = "tokens"});
    if (a.resume) run.resume(common::read_of_run(run.last(), "--resume"));
    common::print("text {} + {} characters, vocabulary {}, {} x {} {}, parameters {}, seed {}\n",
                  corpus.train.size(), corpus.validation.size(), vocabulary.size(),
                  a.settings.model.layers, a.settings.model.hidden, a.settings.model.cell,
                  parameters, a.settings.seed);
    done = run.train();
  }
  const double nats = trainer.validation_nats();
  const common::History& history = trainer.history();
  const double last_loss = history.recent.empty() ? 0 : history.recent.back();
  common::print("train loss {:.4f} (last update), {:.4f} (mean of the last {})\n", last_loss,
                history.recent_mean(), history.recent.size());
  common::print(
      "validation {:.4f} nats, {:.4f} bits per character; the best {:.4f} nats, after update {}\n",
      nats, nn::bits_per_character(nats, 1), history.best_nats, history.best_update);
  common::print("training {:.2f} s wall, {:.2f} s CPU, {:.0f} tokens/s ({:.0f} per CPU second)\n",
                done.seconds, done.cpu_seconds, done.units_per_second(),
                done.units_per_cpu_second());

  trainer.use_best();
  const nlohmann::json samples = print_samples(a, trainer.model(), vocabulary, a.lines, text);
  write_activations(a, trainer.model(), vocabulary, corpus);
  if (a.common.json.empty()) return;
  nlohmann::json settings(trainer.notes);
  settings["updates"] = a.settings.updates;
  settings["threads"] = a.common.threads;
  settings["device"] = tapeloop::name(a.common.device);
  settings["data"] = a.data;
  common::write_json(a.common.json, {{"settings", settings},
                                     {"vocabulary", vocabulary.size()},
                                     {"parameters", parameters},
                                     {"train_loss", last_loss},
                                     {"train_loss_last_100", history.recent_mean()},
                                     {"validation_nats", nats},
                                     {"validation_bits", nn::bits_per_character(nats, 1)},
                                     {"best_validation_nats", history.best_nats},
                                     {"best_update", history.best_update},
                                     {"train_seconds", done.seconds},
                                     {"train_cpu_seconds", done.cpu_seconds},
                                     {"tokens_per_second", done.units_per_second()},
                                     {"tokens_per_cpu_second", done.units_per_cpu_second()},
                                     {"samples", samples}});
}

}  // namespace
}  // namespace char_lm

int main(int argc, char** argv) {
  using namespace char_lm;
  Arguments a;
  common::CommandLine line(
      a.common, "char_lm",
      "Learns a text symbol by symbol and writes more of it. A symbol is a byte, so a text may be "
      "in any alphabet; a letter of several bytes in UTF-8 is several symbols.");
  add_options(line, a);
  const auto run = [&] {
    if (!a.activations.empty()) common::check_writable(a.activations);
    if (!a.gradient_picture.empty()) {
      common::check_writable(a.gradient_picture);
      draw_gradients(a);
    } else if (a.generate_only) {
      generate_only(line, a);
    } else {
      train_and_show(a);
    }
  };
  return line.run(argc, argv, run, [&] { fill_in(line, a); });
}
