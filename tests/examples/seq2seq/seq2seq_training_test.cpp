// SPDX-License-Identifier: MIT
// The models of examples/seq2seq: gradients, translation, bit-exact resuming. seq2seq_run_test.cpp
// tests whole runs.
#include <doctest/doctest.h>

#include "examples/seq2seq/settings.h"
#include "examples/seq2seq/tasks/adder.h"
#include "examples/seq2seq/tasks/dates.h"
#include "examples/seq2seq/tasks/tasks.h"
#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/autograd/ops/losses.h"
#include "tests/examples/seq2seq/seq2seq_pairs.h"
#include "tests/folder.h"

namespace nn = tapeloop::nn;
using namespace seq2seq;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::test::Folder;
using tapeloop::test::message_of;
using tapeloop::test::same_bits;

TEST_CASE("the model's gradients are right, whatever the cell and the attention") {
  struct Kind {
    const char* cell;
    const char* attention;
    const char* attend;
  };
  const Example a{{4, 5, 6}, {5, 4}}, b{{6}, {4, 6, 5}};
  const std::vector<const Example*> both = {&a, &b};
  const Batch batch = make_batch(both);
  for (const Kind& kind : {Kind{"gru", "additive", "before"}, Kind{"lstm", "general", "after"},
                           Kind{"rnn", "dot", "after"}, Kind{"gru", "cosine", "before"},
                           Kind{"lstm", "none", "before"}}) {
    CAPTURE(kind.cell);
    CAPTURE(kind.attention);
    Random random(11);
    const Model model(7, 7,
                      {.cell = kind.cell,
                       .hidden = 2,
                       .embedding = 2,
                       .attention = kind.attention,
                       .attend = kind.attend,
                       .dtype = tapeloop::DType::float64},
                      random);
    const auto report = tapeloop::gradcheck(
        [&] {
          return cross_entropy(model(batch.source, batch.source_lengths, batch.inputs),
                               batch.targets);
        },
        nn::parameters(model));
    CHECK_MESSAGE(report.ok, report.str());
  }
}

TEST_CASE("model options that do not exist are refused") {
  Random random(1);
  CHECK(message_of([&] {
          Model(7, 7, {.cell = "cru"}, random);
        }).starts_with("cell: there is no cell 'cru'; choose one of clockwork, "));
  CHECK(message_of([&] { Model(7, 7, {.attention = "hard"}, random); }) ==
        "model: attention is 'hard', expected additive, dot, general, cosine or none");
  CHECK(message_of([&] { Model(7, 7, {.attend = "never"}, random); }) ==
        "model: attend is 'never', expected before or after");
}

TEST_CASE("a run that was interrupted goes on bit for bit") {
  const Languages languages = languages_of_pairs();
  const Settings settings = small();
  Trainer whole(examples_of_pairs(), languages, settings);
  Trainer first(examples_of_pairs(), languages, settings);
  for (int i = 0; i < 5; ++i) first.update();
  first.note_validation(1.5);
  first.note_validation(1.75);
  const Folder folder;
  const std::string path = (folder.path / "last.safetensors").string();
  first.notes = notes_of(settings, languages, fingerprint(kPairs));
  nn::save_checkpoint(path, first.checkpoint());

  Trainer second(examples_of_pairs(), languages, settings);
  for (int i = 0; i < 3; ++i) second.update();  // must have no effect later
  second.restore(nn::read_checkpoint(path), path);
  CHECK(second.updates() == 5);
  CHECK(second.history().best_nats == 1.5);
  CHECK(second.history().best_update == 5);
  CHECK(second.history().since_best == 1);
  for (int i = 0; i < 5; ++i) whole.update();
  for (int i = 0; i < 7; ++i) {
    const double a = whole.update(), b = second.update();
    CHECK(a == b);
  }
  CHECK(same_weights(whole, second));
  CHECK(whole.history().recent == second.history().recent);
}

TEST_CASE("an update that is not finite says where that began, and leaves the weights") {
  Trainer trainer(examples_of_pairs(), languages_of_pairs(), small());
  trainer.update();
  const tapeloop::ParameterList parameters = nn::parameters(trainer.translator().model());
  for (const tapeloop::NamedVar& p : parameters) {
    if (p.name == "decoder.output.weight") p.var.value().select(0, 2).select(0, 1).fill(NAN);
  }
  const Tensor before = parameters[0].var.value().clone();
  const std::string message = message_of([&] { trainer.update(); });
  for (const char* part : {"training: the loss of update 2 is nan", "lower --lr or set --clip",
                           "the parameter \"decoder.output.weight\"", "[2, 1]"}) {
    CAPTURE(message);
    CHECK(message.find(part) != std::string::npos);
  }
  CHECK(same_bits(parameters[0].var.value(), before));
}

TEST_CASE("the learning rate falls to 0 over the last share of the updates") {
  Settings settings = small();
  settings.updates = 20;
  settings.decay = 0.5;
  settings.learning_rate = 0.01;
  Trainer trainer(examples_of_pairs(), languages_of_pairs(), settings);
  std::vector<double> rates;
  for (int i = 0; i < 20; ++i) {
    rates.push_back(trainer.learning_rate());
    trainer.update();
  }
  for (std::size_t i = 0; i <= 10; ++i) CHECK(rates[i] == 0.01);
  CHECK(rates[15] == doctest::Approx(0.005));
  for (std::size_t i = 11; i < 20; ++i) CHECK(rates[i] < rates[i - 1]);
  CHECK(rates[19] > 0);
  settings.decay = 0;
  CHECK(Trainer(examples_of_pairs(), languages_of_pairs(), settings).learning_rate() == 0.01);
}

TEST_CASE("settings and vocabularies come back from a checkpoint") {
  Settings settings = small();
  settings.task = "translate";
  settings.model.cell = "lstm";
  settings.model.bidirectional = false;
  settings.model.attention = "general";
  settings.model.attend = "after";
  settings.learning_rate = 0.0025;
  const Languages languages = languages_of_pairs();
  nn::Checkpoint saved;
  saved.notes = notes_of(settings, languages, "x");
  const Settings back = settings_of(saved, "file");
  CHECK(notes_of(back, languages_of(saved, "file"), "x") == saved.notes);
  CHECK(languages_of(saved, "file").source == languages.source);

  saved.notes["hidden"] = "many";
  CHECK(message_of([&] { settings_of(saved, "file"); }) ==
        "file: the setting 'hidden': 'many' is not a whole number from 1 to 65536");
  saved.notes.erase("hidden");
  CHECK(message_of([&] { settings_of(saved, "file"); }) ==
        "file: this checkpoint has no setting 'hidden'; give a checkpoint that this program wrote");
  saved.notes["source-unit"] = "line";
  CHECK(message_of([&] { languages_of(saved, "file"); }) ==
        "file: the setting 'source-unit': 'line' is not one of character, word");
  CHECK(message_of([&] { check_task(saved, "dates", "file"); }) ==
        "file: this checkpoint is one of the task 'translate', not 'dates'; name that task, or "
        "give another checkpoint");
  saved.notes["program"] = "jazz";
  CHECK(message_of([&] { check_task(saved, "", "file"); }) ==
        "file: it was written by 'jazz', expected 'seq2seq'; train first, or name the folder of "
        "such a run by --out");
  saved.notes.erase("program");
  CHECK(message_of([&] {
          check_task(saved, "", "file");
        }).starts_with("file: it was written by another program, expected 'seq2seq'; train first"));
}

TEST_CASE("sentences are translated alike alone and together") {
  Random random(3);
  const Translator translator(languages_of_pairs(), small().model, random);
  std::vector<std::string> texts;
  for (const Pair& pair : kPairs) texts.push_back(pair.source);
  for (const std::int64_t beams : {std::int64_t{1}, std::int64_t{3}}) {
    const SearchOptions search{.beams = beams, .max_length = 6};
    const auto together = translator.translate(texts, search);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const Translation alone = translator.translate({&texts[i], 1}, search)[0];
      CHECK(alone.text == together[i].text);
      CHECK(alone.ended == together[i].ended);
    }
  }
}

TEST_CASE("the weights of a translation have a row for each unit, and can be drawn") {
  Random random(4);
  // Untrained, it may output any symbol, also padding and start.
  for (int i = 0; i < 20; ++i) {
    const Translator translator(languages_of_pairs(), small().model, random);
    const std::vector<std::string> texts = {"abca", "zb"};
    const auto translations = translator.translate(texts, {.max_length = 8});
    for (const Translation& t : translations) {
      const auto rows = static_cast<std::int64_t>(t.target.size()) + (t.ended ? 1 : 0);
      CHECK(t.weights.dim(0) == rows);
      CHECK_FALSE(attention_picture("", {looked_of(t)}).empty());
    }
    CHECK(translations[0].unknown.empty());
    CHECK(translations[1].unknown == std::vector<std::string>{"z"});
  }
}

TEST_CASE("likelihood does not depend on how pairs are batched") {
  Random random(5);
  const Translator translator(languages_of_pairs(), small().model, random);
  const std::vector<Example> examples = examples_of_pairs();
  double sum = 0;
  std::int64_t symbols = 0;
  for (const Example& example : examples) {
    const auto one = translator.likelihood({&example, 1});
    sum += one.nats;
    symbols += one.symbols;
  }
  const auto all = translator.likelihood(examples);
  CHECK(all.symbols == symbols);
  CHECK(all.nats == doctest::Approx(sum).epsilon(1e-5));
}

TEST_CASE("dates are learned far enough in few updates") {
  Random random(6);
  std::vector<Pair> pairs;
  for (DateExample& example : random_dates(300, Part::train, random)) {
    pairs.push_back(std::move(example.pair));
  }
  std::vector<std::vector<std::string>> sources, targets;
  for (const Pair& pair : pairs) {
    sources.push_back(characters(pair.source));
    targets.push_back(characters(pair.target));
  }
  const Languages languages{Unit::character, Unit::character, Vocabulary(sources),
                            Vocabulary(targets)};
  std::vector<Example> examples;
  for (const Pair& pair : pairs) examples.push_back(example_of(pair, languages));
  Settings settings;
  settings.model.hidden = 24;
  settings.model.embedding = 12;
  Trainer trainer(examples, languages, settings);
  const double before = trainer.update();
  for (int i = 0; i < 80; ++i) trainer.update();
  CHECK(before > 2.5);
  CHECK(trainer.history().recent.back() < 1.5);
}

static AdderSettings adder_settings() {
  AdderSettings settings({}, 8);
  settings.model.hidden = 16;
  settings.batch = 64;
  settings.learning_rate = 0.01;
  return settings;
}

TEST_CASE("an RNN that learned sums of a few bits adds many, and goes on bit for bit") {
  AdderSettings settings = adder_settings();
  settings.seed = 1;
  AdderTrainer trainer(settings), first(settings);
  for (int i = 0; i < 900; ++i) trainer.update();
  Random random(7);
  for (const int bits : {8, 16, 32}) {
    std::vector<Sum> sums;
    for (int i = 0; i < 200; ++i) sums.push_back(random_binary_sum(bits, random));
    CHECK(right_sums(trainer.adder(), sums, bits) == 200);
    CHECK(trainer.adder().add(sums[0], bits) == sums[0].a + sums[0].b);
  }
  for (int i = 0; i < 20; ++i) first.update();
  AdderSettings other = settings;
  other.seed = 2;
  AdderTrainer second(other);
  second.restore(first.checkpoint(), "file");
  for (int i = 0; i < 10; ++i) CHECK(first.update() == second.update());

  nn::Checkpoint saved = first.checkpoint();
  CHECK(notes_of(adder_settings_of(saved, "file")) == saved.notes);
  saved.notes["base"] = "10";
  CHECK(message_of([&] { adder_settings_of(saved, "file"); }) ==
        "file: this checkpoint adds decimal numbers; give --base 10");
}

TEST_CASE("the hidden units of the adder follow the carry") {
  AdderTrainer trainer(adder_settings());
  for (int i = 0; i < 900; ++i) trainer.update();
  Random random(8);
  std::vector<CarryTrace> traces;
  for (int i = 0; i < 20; ++i) {
    traces.push_back(trace_of(trainer.adder(), random_binary_sum(16, random), 16));
  }
  double closest = 0;
  for (double follows : carry_correlations(traces)) closest = std::max(closest, std::abs(follows));
  CHECK(closest > 0.8);
}
