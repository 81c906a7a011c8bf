// SPDX-License-Identifier: MIT
// label: words to labels by a bidirectional LSTM. `sentiment` gives a text one label, and shows
// which words moved the decision; `tags` gives each word one, and shows which tags are confused.
// Without --data it learns sentences that it makes by a grammar.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/notes.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/task_training.h"
#include "examples/label/model.h"
#include "tapeloop/autograd/files/files.h"

namespace label {
namespace {

using namespace tapeloop;

struct Settings {
  std::string task = "sentiment", data, test;
  ModelSettings model;
  std::int64_t batch = 32, epochs = 20, sentences = 500;
  double learning_rate = 2e-3, clip = 5;
  bool resume = false;
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  ModelSettings& m = s.model;
  return {
      count("--sentences", s.sentences, 40, 1 << 20, "different sentences that the program makes")
          .noted(),
      count("--embedding", m.embedding, 1, 4096, "features of a word").noted(),
      count("--characters", m.characters, 0, 4096,
            "features of a word from its characters, an even number; 0: they are not read")
          .noted(),
      count("--hidden", m.hidden, 1, 4096, "units of each direction").noted(),
      choice("--pool", m.pool, {"mean", "max", "attention"}, "sentiment: from words to a text")
          .noted(),
      flag("--crf", m.crf, "tags: a conditional random field scores neighbouring tags").noted(),
      number("--dropout", m.dropout, 0, 0.99, "share of features that training drops").noted(),
      number("--word-dropout", m.word_dropout, 0, 1000,
             "training takes a word of count c for unknown with probability X / (X + c)")
          .noted(),
      count("--batch", s.batch, 1, 1 << 16, "sentences of an update").noted(),
      count("--epochs", s.epochs, 1, 1 << 20, "passes over the training sentences"),
      number("--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate").noted(),
      number("--clip", s.clip, 0, kAnyNumber, "largest global norm of the gradient; 0: no clipping")
          .noted(),
  };
}

struct Data {
  std::vector<Sample> train, test;
};

template <class T>
void shuffle(std::vector<T>& list, Random& random) {
  for (std::size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[random.below(i)]);
}

Data load(const common::CommonOptions& options, const Settings& s) {
  Random random(options.seed + 1);
  Samples all = s.data.empty() ? make_samples(s.model.task, s.sentences, random)
                               : read_samples(s.model.task, s.data, s.test);
  Data data;
  if (!s.test.empty()) {
    Samples test = read_samples(s.model.task, s.test, "");
    data.test = std::move(test.list);
    std::move(test.notes.begin(), test.notes.end(), std::back_inserter(all.notes));
  } else {
    shuffle(all.list, random);
    const auto held_out =
        static_cast<std::ptrdiff_t>(std::max<std::size_t>(1, all.list.size() / 10));
    data.test.assign(all.list.end() - held_out, all.list.end());
    all.list.resize(all.list.size() - data.test.size());
  }
  for (const std::string& note : all.notes) common::print("{}\n", note);
  if (data.train = std::move(all.list); data.train.empty()) {
    throw FileError("--data: it has only one sample; give at least two, or a --test");
  }
  return data;
}

std::string fingerprint(const std::vector<Sample>& samples) {
  std::uint64_t hash = common::kNothingHashed;
  for (const Sample& sample : samples) {
    for (const auto* list : {&sample.words, &sample.labels}) {
      for (const std::string& word : *list) hash = common::fnv1a("\n", common::fnv1a(word, hash));
    }
  }
  return fmt::format("{} samples, {:016x}", samples.size(), hash);
}

// The batches of an epoch: sentences of similar length, in random order. They depend on the seed
// and the number of the epoch alone.
std::vector<std::vector<const Sample*>> batches_of(const std::vector<Sample>& samples,
                                                   std::int64_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<const Sample*> order;
  for (const Sample& sample : samples) order.push_back(&sample);
  shuffle(order, random);
  std::stable_sort(order.begin(), order.end(), [](const Sample* a, const Sample* b) {
    return a->words.size() < b->words.size();
  });
  std::vector<std::vector<const Sample*>> batches;
  for (std::size_t i = 0; i < order.size(); i += static_cast<std::size_t>(size)) {
    const std::size_t end = std::min(order.size(), i + static_cast<std::size_t>(size));
    batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                         order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  shuffle(batches, random);
  return batches;
}

void run(const common::CommonOptions& common, Settings& s, const std::string& picture) {
  const bool tags = s.model.task == Task::tags;
  const Data data = load(common, s);
  const Vocabulary vocabulary(data.train);
  Random random(common.seed);
  const Labeller model(s.model, vocabulary, random);
  nn::move(model, common.device);

  const auto per_epoch = (static_cast<std::int64_t>(data.train.size()) + s.batch - 1) / s.batch;
  std::int64_t epoch = -1;
  std::vector<std::vector<const Sample*>> batches;
  Batch now;
  const common::TaskTraining* at = nullptr;
  common::Task task{
      .draw =
          [&] {
            if (const std::int64_t e = at->updates() / per_epoch; e != epoch) {
              epoch = e;
              batches = batches_of(data.train, s.batch,
                                   common.seed + 1000003 * static_cast<std::uint64_t>(e + 1));
            }
            now = model.batch(batches[static_cast<std::size_t>(at->updates() % per_epoch)], true);
          },
      .loss = [&] { return model.loss(model.logits(model.embedded(now), now, true), now); },
      .validate =
          [&] {
            const Report report = measure(model, data.test);
            return common::Score{report.nats, report.accuracy()};
          },
      .notes = common::notes_of(table_of(s))};
  task.notes["program"] = "label " + s.task;
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] = fingerprint(data.train);
  common::TaskTraining training(model,
                                {.batch = s.batch,
                                 .updates = s.epochs * per_epoch,
                                 .validate_every = per_epoch,
                                 .learning_rate = s.learning_rate,
                                 .clip = s.clip,
                                 .goal = 2},
                                std::move(task));
  at = &training;
  const Report before = measure(model, data.test);
  if (before.counted == 0) {
    throw FileError(
        "--test: none of its labels occurs in the training; give files with the same "
        "labels as --data");
  }
  std::int64_t unknown = -before.counted;
  for (const Sample& sample : data.test) unknown += static_cast<std::int64_t>(sample.labels.size());
  common::print("{} sentences train, {} test; {} words, {} labels, parameters {}, seed {}\n",
                data.train.size(), data.test.size(), vocabulary.words.size() - 1,
                vocabulary.labels.size(), nn::parameter_count(model), common.seed);
  if (unknown > 0)
    common::print("{} labels of the test do not occur in the training; they do not count\n",
                  unknown);

  const common::Run::Result done = common::train(training, common.out, "sentences", s.resume);

  // The last weights: the test chooses nothing.
  const Report report = measure(model, data.test);
  const Counts counts(data.train, vocabulary);
  std::int64_t majority = 0, counted = 0;
  for (std::size_t i = 0; i < data.test.size(); ++i) {
    for (std::size_t t = 0; t < report.wanted[i].size(); ++t) {
      const std::int64_t wanted = report.wanted[i][t];
      if (wanted == kNoLabel) continue;
      majority += wanted == counts.majority() ? 1 : 0;
      counted += wanted == (tags ? counts.of_word(data.test[i].words[t])
                                 : counts.of_text(data.test[i].words));
    }
  }
  const auto all = static_cast<double>(report.counted);
  const double by_majority = static_cast<double>(majority) / all;
  const double by_counts = static_cast<double>(counted) / all;
  common::print("right on {} {} of the test ({:.1f} s of CPU time):\n", report.counted,
                tags ? "words" : "texts", done.cpu_seconds);
  common::print("  the network           {:.4f}\n", report.accuracy());
  common::print("  {:<21} {:.4f}\n", tags ? "most frequent tag" : "naive Bayes", by_counts);
  common::print("  the commonest label   {:.4f}\n", by_majority);
  write_file(picture, picture_of(model, data.test, report));
  common::print("the picture: {}\n", picture);
  if (common.json.empty()) return;
  common::write_json(common.json, {{"accuracy", report.accuracy()},
                                   {tags ? "most_frequent_tag" : "naive_bayes", by_counts},
                                   {"majority", by_majority},
                                   {"loss", report.nats},
                                   {"test_labels", report.counted},
                                   {"unknown_labels", unknown},
                                   {"updates", training.updates()},
                                   {"seconds", done.seconds},
                                   {"train_cpu_seconds", done.cpu_seconds}});
}

}  // namespace
}  // namespace label

int main(int argc, char** argv) {
  using namespace label;
  common::CommonOptions options;
  Settings s;
  std::string picture;
  common::CommandLine line(options, "label",
                           "Gives texts or words labels by a bidirectional LSTM. Without --data it "
                           "learns sentences that the program makes.");
  line.add({common::choice("TASK", s.task, {"sentiment", "tags"},
                           "sentiment: one label for a text; tags: one label for each word"),
            common::free_text("--data", s.data, "FILE|FOLDER",
                              "sentiment: lines \"text TAB label\"; tags: CoNLL-U, or lines \"word "
                              "TAB tag\" with an empty line after each sentence",
                              {.not_empty = true}),
            common::free_text("--test", s.test, "FILE|FOLDER",
                              "measure on these; without it, a tenth of the data does not train",
                              {.not_empty = true})});
  line.add(table_of(s));
  line.add(common::flag("--resume", s.resume,
                        "continue the run from DIR/last.safetensors up to --epochs"));
  return line.run(
      argc, argv, [&] { common::check_writable(picture), run(options, s, picture); },
      [&] {
        const bool tags = s.task == "tags";
        s.model.task = tags ? Task::tags : Task::sentiment;
        line.preset("--out", "out/label/" + s.task);
        if (tags) {
          line.preset("--embedding", 100), line.preset("--characters", 50);
          line.preset("--epochs", 10);
          line.preset("--hidden", 100), line.preset("--dropout", 0.4);
        }
        if (options.quick) line.preset("--epochs", 2), line.preset("--sentences", 200);
        if (tags && line.given("--pool"))
          throw common::UsageError("--pool is an option of sentiment");
        if (!tags && s.model.crf) throw common::UsageError("--crf is an option of tags");
        if (s.model.characters % 2 != 0) {
          throw common::UsageError(
              fmt::format("--characters is {}; give an even number, for two "
                          "directions",
                          s.model.characters));
        }
        common::note_run(options, s.resume);
        options.reads = {{"--data", s.data}, {"--test", s.test}};
        picture = fmt::format("{}/{}.svg", options.out, tags ? "confusion" : "words");
        options.writes.push_back({"the picture", picture});
      });
}
