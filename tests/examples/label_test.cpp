// SPDX-License-Identifier: MIT
// The parts of examples/label: readers and their errors, the program's own sentences, counts,
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

TEST_CASE("texts are read line by line, in lower case") {
  const Samples s = texts_of("It's GOOD!\t1\n\na\tb  \t0 \n!?\t1\n \t0", "x");
  REQUIRE(s.list.size() == 3);
  CHECK(s.list[0].words == Words{"it's", "good", "!"});
  CHECK(s.list[0].labels == Words{"1"});
  CHECK(s.list[1].words == Words{"a", "b"});  // the last TAB separates
  CHECK(s.list[1].labels == Words{"0"});
  CHECK(s.notes == Words{"x: 1 lines without words left out"});
  CHECK(lower_case("ÄÖ İ") == "äö i");
}

TEST_CASE("CoNLL-U is read without comments, multiword tokens and empty nodes") {
  const std::string rest = "\t_\t_\t_\t_\t_\t_";
  const Samples s = tagged_of("# text = It's\ta\n1-2\tIt's\t_\t_" + rest + "\n1\tIt\tit\tPRON" +
                                  rest + "\n2\t's\tbe\tAUX" + rest + "\n2.1\tgone\tgo\tVERB" +
                                  rest + "\n\n\n1\t#\t#\tSYM" + rest,
                              "x");
  REQUIRE(s.list.size() == 2);
  CHECK(s.list[0].words == Words{"It", "'s"});
  CHECK(s.list[0].labels == Words{"PRON", "AUX"});
  CHECK(s.list[1].words == Words{"#"});
  CHECK(s.labels() == 3);
  CHECK(s.notes == Words{"x: 2 multiword tokens and empty nodes left out"});
}

TEST_CASE("columns of words and tags are read; further columns are ignored") {
  const Samples s = tagged_of("# a comment\n#1\tX\nThe\tDET\tDT\n#\tSYM\n\n-1\tNUM", "x");
  REQUIRE(s.list.size() == 2);
  CHECK(s.list[0].words == Words{"#1", "The", "#"});
  CHECK(s.list[0].labels == Words{"X", "DET", "SYM"});
  CHECK(s.list[1].words == Words{"-1"});
}

TEST_CASE("lines that do not fit are named") {
  const auto text = [](const char* t) { return [t] { texts_of(t, "x"); }; };
  const auto tags = [](const char* t) { return [t] { tagged_of(t, "x"); }; };
  CHECK(test::throws_with("x, line 2: there is no TAB; expected", text("a\t1\nb\n")));
  CHECK(test::throws_with("x, line 1: no label after the TAB", text("a\t \n")));
  CHECK(test::throws_with("x, line 2: 1 columns, expected \"word TAB tag\"", tags("a\tb\nc\n")));
  CHECK(test::throws_with("x, line 1: the word or its tag is empty", tags("a\t\n")));
  const char* const nine = "1\ta\ta\tX\t_\t_\t_\t_\t_\t_\n2\ta\ta\tX\t_\t_\t_\t_\t_\n";
  CHECK(test::throws_with("x, line 2: 9 columns, expected the 10 of CoNLL-U", tags(nine)));
  CHECK(test::throws_with("its tag is empty", tags("1\ta\ta\t_\t_\t_\t_\t_\t_\t_\n")));
}

TEST_CASE("of a folder the files that fit are read, but not the test") {
  const test::Folder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    test::put(folder.file(name), text);
    return folder.file(name);
  };
  write("a.txt", "one\t1\r\ntwo\t0\r\n");
  write("b.md", "three\t1\n");
  write("c.txt", "This is\nabout\nthe data\tonly\n");
  const std::string test = write("d.tsv", "four\t1\n");
  const std::string path = folder.path.string();
  const Samples all = read_samples(Task::sentiment, path, "");
  REQUIRE(all.list.size() == 3);
  CHECK(all.list[1].words == Words{"two"});
  REQUIRE(all.notes.size() == 1);
  test::check_contains(all.notes[0], "c.txt: left out, most lines have no TAB");
  const Samples others = read_samples(Task::sentiment, path, test);
  CHECK(others.list.size() == 2);
  test::check_contains(others.notes.back(), "d.tsv: it is the test");
  CHECK(test::throws_with("no text in it; expected lines",
                          [&] { read_samples(Task::sentiment, write("empty.txt", "\n\n"), ""); }));
  CHECK(test::throws_with(
      "line 1|byte", [&] { read_samples(Task::sentiment, write("odd.txt", "caf\xe9\t1\n"), ""); }));
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
    CHECK(after.counted == (settings.task == Task::tags ? Samples{made.samples, {}}.labels() : 60));
  }
}

TEST_CASE("labels that the training does not have do not count") {
  for (const ModelSettings& settings : all_settings()) {
    Made made(settings);
    std::vector<Sample> samples(made.samples.begin(), made.samples.begin() + 3);
    const std::int64_t all = Samples{samples, {}}.labels();
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
