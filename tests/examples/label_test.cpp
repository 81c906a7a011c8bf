// SPDX-License-Identifier: MIT
// The parts of examples/label: samples of files, the program's own sentences, counts,
// batches, the model, what moved a decision, pictures.
#include "examples/label/data.h"

#include <algorithm>

#include "examples/label/model.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace label {
namespace {

using namespace tapeloop;
using Words = std::vector<std::string>;

std::vector<const Sample*> pointers(const std::vector<Sample>& samples) {
  std::vector<const Sample*> result;
  for (const Sample& sample : samples) result.push_back(&sample);
  return result;
}

TEST_CASE("texts become words in lower case; those without words are left out") {
  const test::Folder folder;
  test::put(folder.file("x.txt"), "It's GOOD!\t1\n \t0\na\tb\t0\ne\xcc\x81\t1\n");
  const Samples s = read_samples(Task::sentiment, folder.file("x.txt"), "");
  REQUIRE(s.list.size() == 3);
  CHECK(s.list[0].words == Words{"it's", "good", "!"});
  CHECK(s.list[0].labels == Words{"1"});
  CHECK(s.list[1].words == Words{"a", "b"});
  CHECK(s.list[2].words == Words{"é"});
  REQUIRE(s.notes.size() == 1);
  test::check_contains(s.notes[0], "x.txt: 1 lines without words left out");
  CHECK(lower_case("ÄÖ İ") == "äö i");
  test::put(folder.file("x.txt"), " \t0\n");
  CHECK(test::throws_with("x.txt: it has no words",
                          [&] { read_samples(Task::sentiment, folder.file("x.txt"), ""); }));
  test::put(folder.file("x.txt"), "It\tPRON\n");
  CHECK(read_samples(Task::tags, folder.file("x.txt"), "").list[0].words == Words{"It"});
}

std::int64_t labels_of(const std::vector<Sample>& samples) {
  std::int64_t count = 0;
  for (const Sample& s : samples) count += static_cast<std::int64_t>(s.labels.size());
  return count;
}

TEST_CASE("the program makes sentences, the same for one seed") {
  for (const Task task : {Task::sentiment, Task::tags}) {
    Random one(3), again(3);
    const Samples made = make_samples(task, 300, one), same = make_samples(task, 300, again);
    REQUIRE(made.list.size() == 300);
    for (std::size_t i = 0; i < 300; ++i) {
      const Sample& s = made.list[i];
      CHECK(s.words == same.list[i].words);
      CHECK(s.labels.size() == (task == Task::tags ? s.words.size() : 1));
      for (const std::string& word : s.words) {
        const bool symbol = word.size() > 1 && std::all_of(word.begin(), word.end(), [](char c) {
                              return c >= 'A' && c <= 'Z';
                            });
        CHECK_MESSAGE(!symbol, word);  // every symbol has rules
      }
    }
  }
}

TEST_CASE("words, characters and labels have numbers") {
  const std::vector<Sample> samples{{{"The", "the", "dog"}, {"A", "A", "B"}}};
  const Vocabulary v(samples);
  CHECK(v.words.size() == 3);
  CHECK(v.words.find("the") == 1);
  CHECK(v.words.find("cat") == -1);
  CHECK(v.counts == std::vector<std::int64_t>{0, 2, 1});
  CHECK(v.labels[1] == "B");
  CHECK(v.characters.find("T") == 1);
  CHECK(spelling_of("né") == Words{"n", "é"});
  const Words cut = spelling_of("abcdefghijklmnopqrstuvwxyz");
  CHECK(cut.size() == 24);
  CHECK(cut[11] == "l");
  CHECK(cut[12] == "o");
}

TEST_CASE("counts give the commonest label, a word's tag, and naive Bayes") {
  const std::vector<Sample> texts{{{"good", "good"}, {"p"}}, {{"bad"}, {"n"}}, {{"ok"}, {"n"}}};
  const Counts counts(texts, Vocabulary(texts));
  CHECK(counts.majority() == 1);
  CHECK(counts.of_text({"good"}) == 0);  // 1/3 (2 + 1)/(2 + 3) > 2/3 (0 + 1)/(2 + 3)
  CHECK(counts.of_text({"bad"}) == 1);
  CHECK(counts.of_text({"new"}) == 1);
  const std::vector<Sample> tags{{{"a", "run", "run", "run"}, {"D", "N", "V", "V"}}};
  const Counts by_word(tags, Vocabulary(tags));
  CHECK(by_word.of_word("run") == 2);
  CHECK(by_word.of_word("a") == 0);
  CHECK(by_word.of_word("new") == 2);
}

struct Made {
  Random random{5};
  std::vector<Sample> samples;
  Vocabulary vocabulary;
  Labeller model;
  explicit Made(const ModelSettings& settings)
      : samples(make_samples(settings.task, 60, random).list),
        vocabulary(samples),
        model(settings, vocabulary, random) {}
};

std::vector<ModelSettings> all_settings() {
  std::vector<ModelSettings> all;
  for (const char* pool : {"mean", "max", "attention"}) {
    all.push_back({.embedding = 16, .hidden = 12, .pool = pool, .dropout = 0.1});
  }
  for (const bool crf : {false, true}) {
    all.push_back({.task = Task::tags,
                   .embedding = 16,
                   .hidden = 12,
                   .characters = 8,
                   .dropout = 0.1,
                   .crf = crf});
  }
  return all;
}

TEST_CASE("a batch has words, places of spellings and labels side by side") {
  Made made({.task = Task::tags, .embedding = 4, .hidden = 4, .characters = 4});
  const std::vector<Sample> odd{{{"the", "zzz"}, {"DET", "XXX"}}, {{"the"}, {"DET"}}};
  const Batch b = made.model.batch(pointers(odd), false);
  CHECK(b.lengths == std::vector<std::int64_t>{2, 1});
  CHECK(b.words.to_vector<std::int64_t>()[2] == 0);
  const std::int64_t det = made.vocabulary.labels.find("DET");
  CHECK(b.labels.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{det, det, kNoLabel, kNoLabel});
  CHECK(b.counted == 2);
  CHECK(b.spelling.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 0, 1, 0});
  CHECK(b.characters.shape() == Shape{3, 2});
  CHECK(b.characters.at({0, 1}) == 0);  // no word of the training has a z
}

TEST_CASE("what stands beside a text does not change its logits") {
  for (const ModelSettings& settings : all_settings()) {
    Made made(settings);
    const std::vector<Sample> part(made.samples.begin(), made.samples.begin() + 7);
    const Batch together = made.model.batch(pointers(part), false);
    const Tensor all = made.model.logits(made.model.embedded(together), together, false).value();
    for (std::size_t n = 0; n < part.size(); ++n) {
      const Sample* const one = &part[n];
      const Batch alone = made.model.batch({&one, 1}, false);
      const Tensor own = made.model.logits(made.model.embedded(alone), alone, false).value();
      const auto i = static_cast<std::int64_t>(n);
      const Tensor beside =
          settings.task == Task::tags ? all.select(1, i).slice(0, 0, own.dim(0)) : all.select(0, i);
      CHECK(test::distance(beside, own.select(own.rank() - 2, 0)) < 1e-5);
    }
  }
}

TEST_CASE("every form of the model learns") {
  for (const ModelSettings& settings : all_settings()) {
    Made made(settings);
    optim::Adam adam(nn::parameters(made.model), {.learning_rate = 0.02});
    const double before = measure(made.model, made.samples).nats;
    for (int i = 0; i < 40; ++i) {
      const Batch b = made.model.batch(pointers(made.samples), true);
      Tape tape;
      tape.backward(made.model.loss(made.model.logits(made.model.embedded(b), b, true), b));
      adam.step();
      adam.zero_grad();
    }
    const Report after = measure(made.model, made.samples);
    CHECK(after.nats < 0.5 * before);
    CHECK(after.accuracy() > 0.85);
    CHECK(after.counted == (settings.task == Task::tags ? labels_of(made.samples) : 60));
  }
}

TEST_CASE("labels that the training does not have do not count") {
  for (const ModelSettings& settings : all_settings()) {
    Made made(settings);
    std::vector<Sample> samples(made.samples.begin(), made.samples.begin() + 3);
    const std::int64_t all = labels_of(samples);
    samples[1].labels[0] = "other";
    const Report report = measure(made.model, samples);
    CHECK(report.counted == all - 1);
    CHECK(report.wanted[1][0] == kNoLabel);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(report.found[i].size() == samples[i].labels.size());
    }
  }
}

TEST_CASE("the influences of all words are the change of the score with all inputs") {
  for (const char* pool : {"mean", "attention"}) {
    Made made({.embedding = 8, .hidden = 6, .pool = pool});
    nn::convert(made.model, DType::float64);
    const Sample& sample = made.samples[0];
    const Sample* const one = &sample;
    const Batch b = made.model.batch({&one, 1}, false);
    const auto score = [&](double scale) {
      const Var logits = made.model.logits(made.model.embedded(b) * scale, b, false);
      return (sum(select_index(logits, 1, 1)) - mean(logits)).item();
    };
    double total = 0;
    for (const double word : influence(made.model, sample, 1)) total += word;
    CHECK(total == doctest::Approx((score(1 + 1e-5) - score(1 - 1e-5)) / 2e-5).epsilon(1e-6));
  }
}

TEST_CASE("the pictures show words and tags") {
  Made made({.embedding = 8, .hidden = 6});
  made.samples[0].words[0] = "<b>";
  const Report report = measure(made.model, made.samples);
  const std::string words = picture_of(made.model, made.samples, report);
  test::check_contains(words, "&lt;b&gt;");
  test::check_contains(words, made.vocabulary.labels[report.found[0][0]]);
  Made tags({.task = Task::tags, .embedding = 8, .hidden = 6});
  const std::vector<Sample> one{{{"a", "can", "a"}, {"VERB", "NOUN", "other"}}};
  const Report found{.found = {{0, 0, 0}}, .wanted = {{0, 1, kNoLabel}}};
  const std::string matrix = picture_of(tags.model, one, found);
  test::check_contains(matrix, ">" + tags.vocabulary.labels[0] + "</text>");
  test::check_contains(matrix, ">100</text>");
}

}  // namespace
}  // namespace label
