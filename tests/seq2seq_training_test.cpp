// SPDX-License-Identifier: MIT
// The models of examples/seq2seq: gradients, translation, training that goes on bit for bit, checkpoints that do not fit.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "autograd/gradcheck.h"
#include "autograd/losses.h"
#include "examples/common/interrupt.h"
#include "examples/seq2seq/adder.h"
#include "examples/seq2seq/dates.h"
#include "examples/seq2seq/notes.h"
#include "examples/seq2seq/tasks.h"
#include "examples/seq2seq/training_run.h"
#include "folder.h"
#include "support.h"

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;
using namespace seq2seq;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::test::Folder;
using tapeloop::test::message_of;
using tapeloop::test::same_bits;

namespace {

const std::vector<Pair> kPairs = {{"ab", "ba"}, {"abc", "cba"}, {"c", "c"},      {"bca", "acb"},
                                  {"aa", "aa"}, {"cb", "bc"},   {"abca", "acba"}};

Languages languages_of_pairs() {
  std::vector<std::vector<std::string>> sources, targets;
  for (const Pair& pair : kPairs) {
    sources.push_back(characters(pair.source));
    targets.push_back(characters(pair.target));
  }
  return {Unit::character, Unit::character, Vocabulary(sources), Vocabulary(targets)};
}

std::vector<Example> examples_of_pairs() {
  std::vector<Example> examples;
  for (const Pair& pair : kPairs) examples.push_back(example_of(pair, languages_of_pairs()));
  return examples;
}

Settings small() {
  Settings settings;
  settings.model.hidden = 6;
  settings.model.embedding = 4;
  settings.model.layers = 2;
  settings.model.dropout = 0.2;
  settings.batch = 3;
  settings.seed = 5;
  return settings;
}

bool same_weights(const Trainer& a, const Trainer& b) {
  const auto x = nn::state_dict(a.translator().model()), y = nn::state_dict(b.translator().model());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!same_bits(x[i].tensor, y[i].tensor)) return false;
  }
  return x.size() == y.size();
}

}  // namespace

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
  CHECK(message_of([&] { Model(7, 7, {.cell = "cru"}, random); }) ==
        "model: the cell is 'cru', expected gru, lstm or rnn");
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
  const auto notes = notes_of(settings, languages, fingerprint(kPairs));
  nn::save_checkpoint(path, first.checkpoint(notes));

  Trainer second(examples_of_pairs(), languages, settings);
  for (int i = 0; i < 3; ++i) second.update();  // nothing of this may remain
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
        "file: the setting 'hidden' is 'many', expected a number that is not negative");
  saved.notes.erase("hidden");
  CHECK(
      message_of([&] { settings_of(saved, "file"); }) ==
      "file: this is no checkpoint of such a model: it has no setting 'hidden'; give one that this "
      "program wrote");
  saved.notes["source-unit"] = "line";
  CHECK(message_of([&] { languages_of(saved, "file"); }) ==
        "file: the setting 'source-unit' is 'line', expected word or character");
  CHECK(message_of([&] { check_task(saved, "dates", "file"); }) ==
        "file: this checkpoint is of the task 'translate', not 'dates'; name that task, or give "
        "another file");
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
  // Untrained: it may say anything, the symbols for padding and start included.
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

TEST_CASE("an RNN that learned sums of a few bits adds many, and goes on bit for bit") {
  AdderSettings settings;
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
  AdderTrainer trainer({});
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

TEST_CASE("texts that cannot be translated are refused, and checkpoints of other tasks") {
  const Folder folder;
  Settings settings = small();
  settings.task = "dates";
  settings.most_symbols = 4;
  const Languages languages = languages_of_pairs();
  const Trainer trainer(examples_of_pairs(), languages, settings);
  Arguments a;
  a.model = (folder.path / "model.safetensors").string();
  nn::save_checkpoint(a.model, trainer.checkpoint(notes_of(settings, languages, "x")));
  a.translate_given = true;
  const auto refused = [&](const std::string& text) {
    a.translate = text;
    return message_of([&] { run_translation(a); });
  };
  CHECK(refused("abcab") ==
        "translate: the text has 5 characters, this model takes 4 at most; shorten it, or train "
        "with --max-length 5");
  CHECK(refused("  ") == "translate: the text is empty; give at least one character");
  CHECK(refused("a\xff") == "translate: byte 2 of the text is no UTF-8; give it in that encoding");
  a.translate = "a?z";
  CHECK(run_translation(a)["remark"].get<std::string>().starts_with(
      "never seen in training: '?' 'z'"));
  a.translate = "ae\u0301";  // composed, as training text is
  CHECK(run_translation(a)["remark"].get<std::string>().starts_with("never seen in training: 'é'"));
  a.task = "copy";
  a.task_given = true;
  CHECK(refused("abc") == a.model +
                              ": this checkpoint is of the task 'dates', not 'copy'; name "
                              "that task, or give another file");
}

TEST_CASE("a training run leaves checkpoints, resumes, and refuses another vocabulary") {
  const Folder folder;
  Arguments a;
  a.common.out = folder.path.string();
  a.settings = small();
  a.settings.updates = 6;
  a.validate_every = 3;
  Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  CHECK(train(a, a.settings, material, a.common.out).updates == 6);
  a.resume = true;
  a.settings.updates = 9;
  const Trained resumed = train(a, a.settings, material, a.common.out);
  CHECK(resumed.updates == 9);
  const std::string best = a.best();
  const Loaded loaded = load_translator(nn::read_checkpoint(best), "dates", best);
  const std::vector<std::string> texts = {"abca"};
  const SearchOptions search{.max_length = 9};
  CHECK(loaded.translator.translate(texts, search)[0].text ==
        resumed.translator().translate(texts, search)[0].text);
  const auto refused = [&] {
    return message_of([&] { train(a, a.settings, material, a.common.out); });
  };
  material.train.push_back({"new letter q", "q"});
  CHECK(refused().starts_with("--resume: " + folder.path.string() +
                              "/last.safetensors learned from other data than this (7 pairs, "));
  CHECK(refused().ends_with("; give the --data that it was trained with"));
  material.train = kPairs;
  a.settings.model.hidden = 7;
  CHECK(refused() == "--resume: " + folder.path.string() +
                         "/last.safetensors was saved with other settings:\n  hidden: \"7\" now, "
                         "\"6\" there\n  Go on with those, or start anew.");
  a.common.out = (folder.path / "none").string();
  CHECK(refused() == "--resume: there is no " + a.common.out +
                         "/last.safetensors; leave --resume out to train first, or name the folder "
                         "of a run by --out");
  CHECK_FALSE(fs::exists(a.common.out));
}

TEST_CASE("Ctrl-C ends a run with a checkpoint from which it goes on") {
  const Folder folder;
  Arguments a;
  a.common.out = folder.path.string();
  a.settings = small();
  a.settings.updates = 1'000'000'000;
  a.settings.decay = 0;
  a.validate_every = a.settings.updates;
  a.patience = 0;
  const Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  const std::string last = folder.path.string() + "/last.safetensors";
  {
    // Presses until the run has taken it: before that the signal is this program's to ignore.
    const auto before = std::signal(SIGINT, [](int) {});
    std::atomic<bool> done = false;
    std::thread presses([&] {
      while (!done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        if (!done && !fs::exists(last)) ::kill(::getpid(), SIGINT);
      }
    });
    std::string message;
    try {
      train(a, a.settings, material, a.common.out);
    } catch (const common::Interrupted& stopped) {
      message = stopped.what();
    }
    done = true;
    presses.join();
    std::signal(SIGINT, before);
    CHECK(message.starts_with("stopped after update "));
    CHECK(message.ends_with(" of 1000000000, which is saved in " + last +
                            "; the same command with --resume goes on"));
  }
  const std::int64_t done = nn::read_checkpoint(last).step;
  CHECK(done > 0);
  a.resume = true;
  a.settings.updates = done + 2;
  a.validate_every = 1;
  CHECK(train(a, a.settings, material, a.common.out).updates == done + 2);
}

TEST_CASE("Ctrl-C is noted while it is waited for, and else does what it did") {
  static int caught = 0;
  caught = 0;
  const auto before = std::signal(SIGINT, [](int) { ++caught; });
  {
    const common::CtrlC ctrl_c;
    CHECK_FALSE(ctrl_c.pressed());
    std::raise(SIGINT);
    CHECK(ctrl_c.pressed());
  }
  CHECK(caught == 0);
  std::raise(SIGINT);
  CHECK(caught == 1);
  {
    const common::CtrlC again;
    CHECK_FALSE(again.pressed());
  }
  std::signal(SIGINT, before);
}

TEST_CASE("a checkpoint is found in a folder, or what is there is named") {
  const Folder folder;
  Arguments a;
  a.common.out = (folder.path / "run").string();
  CHECK(message_of([&] { a.best(); }) ==
        "--out: there is no folder " + a.common.out +
            "; train first, name the folder of a run by --out, or a checkpoint by --model");
  fs::create_directories(folder.path / "run" / "attention");
  fs::create_directories(folder.path / "run" / "plain");
  CHECK(message_of([&] { a.best(); }) == "--out: there is no checkpoint in " + a.common.out +
                                             "; train first, or name the folder of a run by --out");
  const auto touch = [&](const std::string& name) {
    const std::string path = a.common.out + "/" + name;
    nn::save_checkpoint(path, {});
    return path;
  };
  touch("plain/best.safetensors");
  touch("attention/last.safetensors");
  CHECK(message_of([&] { a.best(); }) ==
        "--out: there is no best.safetensors in " + a.common.out +
            ", but there is attention/last.safetensors, plain/best.safetensors; name one by "
            "--model");
  const std::string with_attention = touch("attention/best.safetensors");
  CHECK(a.best() == with_attention);
  const std::string own = touch("best.safetensors");
  CHECK(a.best() == own);
  a.model = "named";
  CHECK(a.best() == "named");
}

TEST_CASE("training ends where validation no longer gets better") {
  const Folder folder;
  Arguments a;
  a.settings = small();
  a.settings.learning_rate = 0;
  a.settings.updates = 100;
  a.validate_every = 2;
  a.patience = 3;
  const Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  const Trained trained = train(a, a.settings, material, folder.path.string());
  CHECK(trained.stopped_early);
  CHECK(trained.updates == 8);  // the first validation is the best, three follow
}
