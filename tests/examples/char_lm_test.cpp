// SPDX-License-Identifier: MIT
// The parts of examples/char_lm: text, vocabulary, one-hot input, resumed training, generation.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "examples/char_lm/generate.h"
#include "examples/char_lm/inside.h"
#include "examples/char_lm/training.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;
using namespace char_lm;
using tapeloop::DType;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;
using tapeloop::test::Folder;
using tapeloop::test::put;

using tapeloop::test::contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of,
    tapeloop::test::same_bits;

namespace {

void check_same_weights(const CharLm& a, const CharLm& b) {
  const tapeloop::ParameterList left = nn::parameters(a);
  const tapeloop::ParameterList right = nn::parameters(b);
  REQUIRE(left.size() == right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    INFO(left[i].name);
    CHECK(same_bits(left[i].var.value(), right[i].var.value()));
  }
}

Settings tiny(const char* cell, int layers, std::int64_t embedding, double dropout) {
  Settings s;
  s.model = {
      .cell = cell, .layers = layers, .hidden = 7, .embedding = embedding, .dropout = dropout};
  s.streams = 3;
  s.steps = 4;
  s.clip = 1;
  return s;
}

const std::string kRhyme =
    "the cat sat on the mat and the rat sat on the cat, that was that; then the mat sat flat";

}  // namespace

TEST_CASE("the built-in list has at least 700 names, sorted, no two alike") {
  const std::vector<std::string> names = lines_of(dinosaur_names());
  CHECK(names.size() >= 700);
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  CHECK(dinosaur_names().back() == '\n');
  for (const std::string& name : names) {
    CAPTURE(name);
    CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz", 1) == std::string::npos);
    CHECK((name[0] >= 'A' && name[0] <= 'Z'));
  }
}

TEST_CASE("the first nine tenths of a text train, rounded down, the rest validates") {
  for (std::size_t length : {2u, 9u, 10u, 19u, 87u}) {
    const std::string text = kRhyme.substr(0, length);
    const Corpus corpus = split_text(text);
    CHECK(corpus.train.size() == length * 9 / 10);
    CHECK(corpus.train + corpus.validation == text);
    CHECK_FALSE(corpus.lines);
  }
}

TEST_CASE("every tenth line of a list validates and empty lines are left out") {
  std::string list;
  for (char c = 'a'; c < 'a' + 21; ++c) list += std::string(1, c) + "\n\n";
  list.pop_back();
  list.pop_back();  // the last line has no end
  const Corpus corpus = split_lines(list);
  CHECK(corpus.lines);
  CHECK(corpus.validation == "j\nt\n");
  CHECK(lines_of(corpus.train).size() == 19);
  CHECK(corpus.train.substr(corpus.train.size() - 4) == "s\nu\n");
}

TEST_CASE("a vocabulary is the sorted bytes of the text") {
  const Vocabulary vocabulary("hello\n\xff");
  CHECK(vocabulary.size() == 6);
  CHECK(vocabulary.symbol(0) == '\n');
  CHECK(vocabulary.index('l') == 3);
  CHECK(vocabulary.index('\xff') == 5);
  CHECK(vocabulary.index('x') == -1);
  CHECK(vocabulary.escaped() == "\\x0aehlo\\xff");
}

TEST_CASE("a vocabulary of all bytes comes back from its escaped form") {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  const Vocabulary back = Vocabulary::unescape(Vocabulary(all).escaped());
  CHECK(back.size() == 256);
  for (int i = 0; i < 256; ++i) CHECK(back.index(static_cast<char>(i)) == i);
  for (const char* broken : {"\\", "\\x", "\\x0", "\\xzz", "\\q0a"}) {
    CAPTURE(broken);
    CHECK(contains(message_of<tapeloop::Error>([&] { Vocabulary::unescape(broken); }),
                   "that x and two hexadecimal digits do not follow"));
  }
}

TEST_CASE("the look-up of one-hot input is the dense product, values and gradients") {
  const std::int64_t vocabulary = 5;
  const Tensor tokens = Tensor::from<std::int64_t>({3, 2}, {4, 0, 2, 2, 1, 4});
  Tensor dense = Tensor::zeros({3, 2, vocabulary}, DType::float64);
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t n = 0; n < 2; ++n) {
      dense
          .data<double>()[(t * 2 + n) * vocabulary + static_cast<std::int64_t>(tokens.at({t, n}))] =
          1;
    }
  }
  const auto check = [&](const auto& cell) {
    const tapeloop::ParameterList weights = nn::parameters(cell);
    Random random(3);
    const Tensor dy = random_normal({3, 2, cell.w.weight_ih.dim(0)}, 0, 1, random, DType::float64);
    std::vector<std::vector<double>> results[2];
    for (int i = 0; i < 2; ++i) {
      tapeloop::Tape tape;
      const Var zx = i == 0 ? cell.input(Var(dense)) : cell.input(tokens);
      tape.backward(zx, Var(dy));
      results[i].push_back(zx.value().to_vector<double>());
      for (const tapeloop::NamedVar& w : weights) {
        results[i].push_back(w.var.grad().defined() ? w.var.grad().value().to_vector<double>()
                                                    : std::vector<double>{});
        w.var.zero_grad();
      }
    }
    REQUIRE(results[0].size() == results[1].size());
    for (std::size_t k = 0; k < results[0].size(); ++k) {
      REQUIRE(results[0][k].size() == results[1][k].size());
      for (std::size_t j = 0; j < results[0][k].size(); ++j) {
        // Sums of six numbers of about 1.
        CHECK(std::abs(results[0][k][j] - results[1][k][j]) <= 1e-14);
      }
    }
  };
  Random random(2);
  const nn::RecurrentOptions options{.input = vocabulary, .hidden = 3, .dtype = DType::float64};
  check(nn::LstmCell(options, random));
  check(nn::GruCell(options, random));
  check(nn::RnnCell(options, random));
}

TEST_CASE("a text in chunks with carried state gives the logits of the text in one piece") {
  for (const char* cell : {"lstm", "gru", "rnn"}) {
    CAPTURE(cell);
    Random random(4);
    const CharLm model(6, {.cell = cell, .layers = 2, .hidden = 5, .dtype = DType::float64},
                       random);
    const Tensor tokens = Tensor::from<std::int64_t>({6, 1}, {0, 5, 1, 4, 2, 3});
    Carried whole;
    Carried parts;
    const std::vector<double> at_once =
        model(tokens, whole).value().slice(0, 4, 6).to_vector<double>();
    model(tokens.slice(0, 0, 4), parts);
    const std::vector<double> later =
        model(tokens.slice(0, 4, 6), parts).value().to_vector<double>();
    REQUIRE(at_once.size() == later.size());
    for (std::size_t i = 0; i < later.size(); ++i) CHECK(std::abs(at_once[i] - later[i]) <= 1e-14);
    CHECK(whole.size() == (std::string(cell) == "lstm" ? 2 : 1));
  }
}

TEST_CASE("training lowers the loss and validation agrees with the loss of one long batch") {
  const Corpus corpus{kRhyme, kRhyme};
  const Vocabulary vocabulary(kRhyme);
  Trainer trainer(corpus, vocabulary, tiny("lstm", 1, 0, 0));
  const double before = validate(trainer.model(), vocabulary, kRhyme);
  CHECK(before == doctest::Approx(std::log(static_cast<double>(vocabulary.size()))).epsilon(0.1));
  for (int i = 0; i < 100; ++i) trainer.update();
  CHECK(validate(trainer.model(), vocabulary, kRhyme) < before - 0.3);
}

TEST_CASE("an update that is not finite says where that began, and leaves the weights") {
  const Corpus corpus{kRhyme, kRhyme};
  const Vocabulary vocabulary(kRhyme);
  Trainer trainer(corpus, vocabulary, tiny("lstm", 2, 0, 0.3));
  trainer.update();
  const tapeloop::ParameterList parameters = nn::parameters(trainer.model());
  for (const tapeloop::NamedVar& p : parameters) {
    if (p.name == "lstm.weight_hh_l1") p.var.value().select(0, 3).select(0, 1).fill(NAN);
  }
  const Tensor before = parameters[0].var.value().clone();
  const std::string message = message_of<tapeloop::Error>([&] { trainer.update(); });
  for (const char* part : {"training: the loss of update 2 is ", "lower --lr or set --clip",
                           "the parameter \"lstm.weight_hh_l1\"", "[3, 1]", "of \"l1\""}) {
    CAPTURE(message);
    CHECK(contains(message, part));
  }
  CHECK(same_bits(parameters[0].var.value(), before));
}

TEST_CASE("gradients of a last loss have a curve for each layer, and neurons a page") {
  const Vocabulary vocabulary(kRhyme);
  const Settings settings = tiny("gru", 2, 0, 0.3);
  Random random(1);
  const CharLm model(vocabulary.size(), settings.model, random);
  const auto curves = gradients_of_last_loss(model, settings.model, vocabulary, kRhyme, 12, "GRU");
  REQUIRE(curves.size() == 2);
  CHECK(curves[1].layer == "l1");
  CHECK(curves[1].norms.size() == 12);
  for (const nn::GradientCurve& curve : curves) {
    for (const double norm : curve.norms) CHECK(norm > 0);
  }
  for (const tapeloop::NamedVar& p : nn::parameters(model)) CHECK_FALSE(p.var.grad().defined());
  const std::string page = neurons_over_text(model, vocabulary, kRhyme.substr(0, 20), "t");
  CHECK(contains(page, "\"steps\":20"));
  CHECK(contains(page, "sigmoid(xz + hz)"));
  CHECK(
      contains(message_of<tapeloop::Error>([&] { neurons_over_text(model, vocabulary, "#", "t"); }),
               "--activations-text: the training text has no '#', which is byte 1 of the "
               "--activations-text"));
}

TEST_CASE("a text that a picture or page has no room for is refused in words of the options") {
  const Vocabulary vocabulary(kRhyme);
  Random random(1);
  const CharLm model(vocabulary.size(), {.hidden = 3}, random);
  const std::string long_text(401, kRhyme[0]);
  CHECK(message_of<tapeloop::Error>(
            [&] { neurons_over_text(model, vocabulary, long_text, "t", true); }) ==
        "--activations: the text has 401 symbols, a picture shows at most 400; shorten "
        "--activations-text, or name a FILE.html");
  CHECK_NOTHROW(neurons_over_text(model, vocabulary, long_text.substr(1), "t", true));
}

TEST_CASE("a run that is saved and resumed equals one that never stopped, bit for bit") {
  struct Case {
    const char* cell;
    int layers;
    std::int64_t embedding;
    double dropout;
    bool lines;
  };
  for (const Case& c : {Case{"lstm", 1, 0, 0, false}, Case{"gru", 2, 3, 0.3, true},
                        Case{"rnn", 1, 0, 0.2, true}, Case{"lstm", 3, 0, 0.1, false}}) {
    CAPTURE(c.cell);
    Corpus corpus{kRhyme, kRhyme};
    if (c.lines) {
      for (char& symbol : corpus.train) symbol = symbol == ' ' ? '\n' : symbol;
      corpus.train += '\n';
      corpus.lines = true;
    }
    const Vocabulary vocabulary(corpus.train + corpus.validation);
    Settings settings = tiny(c.cell, c.layers, c.embedding, c.dropout);
    settings.lines = c.lines;
    const auto notes = notes_of(settings, vocabulary, fingerprint(corpus.train));
    Trainer straight(corpus, vocabulary, settings);
    Trainer stopped(corpus, vocabulary, settings);
    stopped.notes = notes;
    const Folder folder;
    const std::string file = (folder.path / "run.safetensors").string();
    for (int i = 0; i < 9; ++i) straight.update();  // more than one pass over the text
    for (int i = 0; i < 3; ++i) stopped.update();
    nn::save_checkpoint(file, stopped.checkpoint());

    Trainer resumed(corpus, vocabulary, settings);
    const nn::Checkpoint saved = nn::read_checkpoint(file);
    CHECK_NOTHROW(nn::check_settings(saved, notes, file));
    resumed.restore(saved, file);
    CHECK(resumed.updates() == 3);
    for (int i = 3; i < 9; ++i) resumed.update();
    check_same_weights(straight.model(), resumed.model());
    CHECK(straight.history().recent == resumed.history().recent);
    CHECK(validate(straight.model(), vocabulary, kRhyme) ==
          validate(resumed.model(), vocabulary, kRhyme));
  }
}

TEST_CASE("settings and vocabulary come back from a checkpoint, and others are refused") {
  const Vocabulary vocabulary(kRhyme + "\n\\");
  Settings settings = tiny("gru", 2, 3, 0.25);
  settings.learning_rate = 0.1 + 0.2;
  settings.seed = 0x7fffffffffffffff;
  settings.lines = true;
  nn::Checkpoint saved{.notes = notes_of(settings, vocabulary, "x")};
  CHECK(notes_of(settings_of(saved, "file"), vocabulary_of(saved, "file"), "x") == saved.notes);
  settings.model.hidden = 8;
  const std::string message = message_of<tapeloop::Error>(
      [&] { nn::check_settings(saved, notes_of(settings, Vocabulary("ab"), "y"), "file"); });
  for (const char* part : {"hidden", "vocabulary", "text", "file"}) CHECK(contains(message, part));
  saved.notes["layers"] = "two";
  CHECK(contains(message_of<tapeloop::Error>([&] { settings_of(saved, "file"); }),
                 "setting 'layers': 'two' is not a whole number from 1 to 1000"));
  saved.notes.erase("cell");
  CHECK(contains(message_of<tapeloop::Error>([&] { settings_of(saved, "file"); }),
                 "no setting 'cell'"));
}

TEST_CASE("what is shown is cut between characters, whatever their length") {
  const std::string text = "aé中😀";  // 1, 2, 3 and 4 bytes
  const std::vector<std::size_t> kept = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
  for (std::size_t bytes = 0; bytes < kept.size(); ++bytes) {
    CAPTURE(bytes);
    CHECK(without_cut_end(text.substr(0, bytes)) == text.substr(0, kept[bytes]));
    CHECK(beginning_of(text, bytes) == text.substr(0, kept[bytes]));
  }
  CHECK(beginning_of(text, 99) == text);
  CHECK(beginning_of(std::string_view(text).substr(2), 4) == "中");  // begins within é
  CHECK(beginning_of(std::string_view(text).substr(8), 9).empty());
  CHECK(without_cut_end("\x80\x80") == "\x80\x80");  // no character begins there
  CHECK(beginning_of("ab\xe9", 3) == "ab\xe9");      // Latin-1, not cut
}

TEST_CASE("what is written stops at the stop symbol or the length, and depends on the seed alone") {
  const Vocabulary vocabulary(kRhyme);
  Random weights(5);
  const CharLm model(vocabulary.size(), {.hidden = 6}, weights);
  const auto written = [&](std::uint64_t seed, std::optional<char> stop) {
    Writer writer(model, vocabulary, {}, Random(seed));
    writer.read("the ");
    return writer.write(40, stop);
  };
  const std::string text = written(1, {});
  CHECK(text.size() == 40);
  CHECK(written(1, {}) == text);
  CHECK(written(2, {}) != text);
  CHECK(written(1, text[7]) == text.substr(0, text.find(text[7])));
}

TEST_CASE("a writer goes on from its state, symbol by symbol or not") {
  const Vocabulary vocabulary(kRhyme);
  Random weights(5);
  const CharLm model(vocabulary.size(), {.hidden = 6}, weights);
  const nn::SampleOptions greedy{.temperature = 0};
  Writer a(model, vocabulary, greedy, Random(1));
  Writer b(model, vocabulary, greedy, Random(2));  // no randomness at temperature 0
  a.read("the cat");
  for (char symbol : std::string("the cat")) b.read({&symbol, 1});
  const std::string text = a.write(20);
  const std::string piece = b.write(5);
  CHECK(text == piece + b.write(15));
}

TEST_CASE("a prompt with an unknown symbol, and writing after nothing, are refused") {
  const Vocabulary vocabulary(kRhyme);
  Random weights(5);
  const CharLm model(vocabulary.size(), {.hidden = 6}, weights);
  Writer writer(model, vocabulary, {}, Random(1));
  CHECK(contains(message_of<tapeloop::Error>([&] { writer.write(3); }), "nothing was read"));
  CHECK(contains(message_of<tapeloop::Error>([&] { writer.read("the Z"); }),
                 "has no 'Z', which is byte 5"));
  writer.read("");
  CHECK(contains(message_of<tapeloop::Error>([&] { writer.write(3); }), "nothing was read"));
}
