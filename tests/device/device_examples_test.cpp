// SPDX-License-Identifier: MIT
// The examples on Device::cuda against the CPU: their first training steps, and runs that resume on
// the other device. Runs on a GPU; a second program runs it on the emulated GPU (cuda_emulation/).
// Other tests check what the models learn.
#include <filesystem>

#include "examples/char_lm/generate.h"
#include "examples/char_lm/training.h"
#include "examples/common/options.h"
#include "examples/custom_cell/adder.h"
#include "examples/jazz/generate.h"
#include "examples/jazz/music/chart.h"
#include "examples/jazz/train.h"
#include "examples/seq2seq/tasks/adder.h"
#include "examples/seq2seq/training_run.h"
#include "tests/device/device.h"

namespace tapeloop::test {
namespace {

constexpr int kSteps = 20;

double same_within(DType dtype) { return dtype == DType::float32 ? 1e-5 : 1e-10; }

// Compares each update's loss on both devices.
void check_losses(const std::vector<double>& there, const std::vector<double>& here, DType dtype) {
  REQUIRE(there.size() == here.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(there[i] - here[i]) <= same_within(dtype) * std::abs(here[i]));
  }
}

// A file that is removed at the end.
struct File {
  std::string path =
      (std::filesystem::temp_directory_path() / "tapeloop_device_examples_test.safetensors")
          .string();
  ~File() { std::filesystem::remove(path); }
};

template <class Trainer>
std::vector<double> losses_of(Trainer& trainer, int updates) {
  std::vector<double> losses;
  for (int i = 0; i < updates; ++i) losses.push_back(trainer.update());
  return losses;
}

// --- char_lm ---

struct Text {
  char_lm::Corpus corpus = char_lm::split_lines(std::string(char_lm::dinosaur_names()));
  char_lm::Vocabulary vocabulary{char_lm::dinosaur_names()};
};

char_lm::Settings char_settings(const char* cell, std::int64_t embedding, DType dtype,
                                Device device) {
  char_lm::Settings settings;
  settings.model = {.cell = cell,
                    .layers = 2,
                    .hidden = 12,
                    .embedding = embedding,
                    .dropout = 0.2,
                    .dtype = dtype,
                    .device = device};
  settings.streams = 4;
  settings.steps = 5;
  settings.clip = 1;
  settings.lines = true;
  return settings;
}

// --- jazz ---

jazz::ModelOptions jazz_model(const char* cell, DType dtype, Device device) {
  return {.cell = cell,
          .hidden = 8,
          .embedding = 6,
          .dropout = 0.3,
          .forget = 0.2,
          .dtype = dtype,
          .device = device};
}
constexpr jazz::TrainOptions kJazzRun{
    .updates = 100, .streams = 2, .steps = 3, .evaluate_every = 100, .seed = 3};

}  // namespace

TEST_CASE("char_lm: the first 20 updates on cuda are those on the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Text text;
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const auto& chosen : {std::pair{"lstm", 0}, {"gru", 5}, {"rnn", 0}}) {
      const char* const cell = chosen.first;
      const int embedding = chosen.second;
      CAPTURE(cell);
      CAPTURE(name(dtype));
      const auto losses_on = [&](Device device) {
        char_lm::Trainer trainer(text.corpus, text.vocabulary,
                                 char_settings(cell, embedding, dtype, device));
        CHECK(nn::parameters(trainer.model()).at(0).var.device() == device);
        return losses_of(trainer, kSteps);
      };
      check_losses(losses_on(Device::cuda), losses_on(Device::cpu), dtype);
    }
  }
}

TEST_CASE("char_lm: a run goes on on the other device, validates and writes the same text") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Text text;
  const File file;
  const auto trainer_on = [&](Device device) {
    return std::make_unique<char_lm::Trainer>(text.corpus, text.vocabulary,
                                              char_settings("lstm", 0, DType::float64, device));
  };
  for (const auto& pair : {std::pair{Device::cpu, Device::cuda}, {Device::cuda, Device::cpu}}) {
    const Device first = pair.first, second = pair.second;
    CAPTURE(name(first));
    const auto straight = trainer_on(first), resumed = trainer_on(second);
    losses_of(*straight, 5);
    nn::save_checkpoint(file.path, straight->checkpoint());
    resumed->restore(nn::read_checkpoint(file.path), file.path);
    check_losses(losses_of(*resumed, 5), losses_of(*straight, 5), DType::float64);
    const std::string part = text.corpus.validation.substr(0, 40);
    CHECK(char_lm::validate(resumed->model(), text.vocabulary, part) ==
          doctest::Approx(char_lm::validate(straight->model(), text.vocabulary, part))
              .epsilon(1e-10));
    const auto written = [&](const char_lm::CharLm& model) {
      char_lm::Writer writer(model, text.vocabulary, {.temperature = 0}, Random(1));
      writer.read("\n");
      return writer.write(12);
    };
    CHECK(written(resumed->model()) == written(straight->model()));
  }
}

TEST_CASE("jazz: the first 20 updates on cuda are those on the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const jazz::Material material = jazz::embedded_corpus();
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::string cell : {"lstm", "gru"}) {
      if (cell == "gru" && dtype == DType::float32) continue;  // an emulated launch is slow
      CAPTURE(cell);
      CAPTURE(name(dtype));
      const auto losses_on = [&](Device device) {
        jazz::Trainer trainer(jazz_model(cell.c_str(), dtype, device), kJazzRun, material);
        CHECK(nn::parameters(trainer.model()).at(0).var.device() == device);
        return losses_of(trainer, kSteps);
      };
      check_losses(losses_on(Device::cuda), losses_on(Device::cpu), dtype);
    }
  }
}

TEST_CASE("jazz: a run goes on on the other device, and its best weights play the same notes") {
  if (!have_gpu()) return;
  const Bounds bounds;
  jazz::Material material = jazz::embedded_corpus();
  material.held_out.resize(1);
  jazz::TrainOptions run = kJazzRun;
  run.updates = 6;
  run.evaluate_every = 3;
  const File file;
  const auto trainer_on = [&](Device device) {
    return std::make_unique<jazz::Trainer>(jazz_model("lstm", DType::float32, device), run,
                                           material);
  };
  for (const auto& pair : {std::pair{Device::cpu, Device::cuda}, {Device::cuda, Device::cpu}}) {
    const Device first = pair.first, second = pair.second;
    CAPTURE(name(first));
    const auto straight = trainer_on(first), resumed = trainer_on(second);
    losses_of(*straight, 4);
    nn::save_checkpoint(file.path, straight->checkpoint());
    resumed->restore(nn::read_checkpoint(file.path), file.path);
    check_losses(losses_of(*resumed, 2), losses_of(*straight, 2), DType::float32);
    CHECK(resumed->best()->total() ==
          doctest::Approx(straight->best()->total()).epsilon(same_within(DType::float32)));
    const nn::Checkpoint saved = nn::read_checkpoint(file.path);
    const auto played = [&](Device device) {
      const jazz::Model best = jazz::best_model(saved, material, file.path, device);
      const jazz::Tune chart = jazz::standard_form("251");
      jazz::GenerateOptions options;
      jazz::fit_to(options, material);
      options.temperature = options.rhythm_temperature = 0;  // always the likeliest
      std::vector<int> notes;
      const std::vector<jazz::Tune> takes = jazz::generate(best, chart, 1, options);
      for (const jazz::Note& note : takes.front().notes) {
        notes.insert(notes.end(), {note.start, note.pitch, note.length});
      }
      return notes;
    };
    CHECK(played(Device::cuda) == played(Device::cpu));
  }
}

// --- seq2seq ---

TEST_CASE("seq2seq: updates on cuda are those on the cpu, and a run goes on on the other device") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const std::vector<seq2seq::Pair> pairs = {
      {"ab", "ba"}, {"abc", "cba"}, {"c", "c"}, {"bca", "acb"}};
  std::vector<std::vector<std::string>> sides;
  for (const seq2seq::Pair& pair : pairs) sides.push_back(seq2seq::characters(pair.source));
  const seq2seq::Vocabulary letters{sides};
  const seq2seq::Languages languages{.source = letters, .target = letters};
  std::vector<seq2seq::Example> examples;
  for (const auto& pair : pairs) examples.push_back(example_of(pair, languages));
  const File file;
  for (const auto& chosen : {std::pair{"gru", "before"}, {"lstm", "after"}}) {
    CAPTURE(chosen.first);
    const auto trainer_on = [&](Device device) {
      seq2seq::Settings settings;
      settings.model = {.cell = chosen.first,
                        .hidden = 5,
                        .embedding = 4,
                        .attend = chosen.second,
                        .dtype = DType::float64,
                        .device = device};
      settings.batch = 3;
      return std::make_unique<seq2seq::Trainer>(examples, languages, settings);
    };
    const auto there = trainer_on(Device::cuda), here = trainer_on(Device::cpu);
    check_losses(losses_of(*there, kSteps), losses_of(*here, kSteps), DType::float64);
    nn::save_checkpoint(file.path, there->checkpoint());
    const auto resumed = trainer_on(Device::cpu);
    resumed->restore(nn::read_checkpoint(file.path), file.path);
    check_losses(losses_of(*resumed, 3), losses_of(*here, 3), DType::float64);
    losses_of(*there, 3);
    const std::vector<std::string> texts = {"abca", "b"};
    const auto translated = [&](const seq2seq::Trainer& trainer) {
      std::string all;
      const seq2seq::SearchOptions search{.beams = 2, .max_length = 6};
      for (const auto& one : trainer.translator().translate(texts, search)) {
        all += one.text + "\n";
        CHECK(one.weights.device() == Device::cpu);
      }
      return all;
    };
    CHECK(translated(*there) == translated(*here));
    const seq2seq::Example* one = &examples[1];
    const seq2seq::Batch batch = seq2seq::make_batch({&one, 1});
    const auto states = [&](const seq2seq::Trainer& trainer) {
      return trainer.translator().model().hidden_states(batch.source, batch.source_lengths,
                                                        batch.inputs);
    };
    CHECK(distance(states(*there), states(*here)) < 1e-9);
  }
}

TEST_CASE("seq2seq: the adder on cuda is the one on the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  std::vector<std::unique_ptr<seq2seq::AdderTrainer>> both;
  for (const Device device : {Device::cuda, Device::cpu}) {
    seq2seq::AdderSettings settings({}, 3);
    settings.batch = 8;
    settings.model.hidden = 6;
    settings.model.device = device;
    both.push_back(std::make_unique<seq2seq::AdderTrainer>(settings));
  }
  check_losses(losses_of(*both[0], kSteps), losses_of(*both[1], kSteps), DType::float32);
  const seq2seq::Sum sum{5, 3};
  const auto there = trace_of(both[0]->adder(), sum, 3), here = trace_of(both[1]->adder(), sum, 3);
  CHECK(there.caption == here.caption);
  CHECK(distance(there.hidden, here.hidden) < 1e-5);
  CHECK(right_sums(both[0]->adder(), {&sum, 1}, 3) == right_sums(both[1]->adder(), {&sum, 1}, 3));
}

TEST_CASE("custom_cell: the first 20 updates on cuda are those on the cpu") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64}) {
    CAPTURE(name(dtype));
    const auto losses_on = [&](Device device) {
      Random random(1);
      const custom_cell::Adder model(7, random, dtype);
      nn::move(model, device);
      optim::Adam adam(nn::parameters(model), {.learning_rate = 3e-3});
      std::vector<double> losses;
      for (int i = 0; i < kSteps; ++i) {
        const custom_cell::Batch batch = custom_cell::draw(6, 5, random);
        losses.push_back(custom_cell::update(
            model, adam,
            custom_cell::Batch{batch.xs.to(dtype), batch.target.to(dtype)}.to(device)));
      }
      return losses;
    };
    check_losses(losses_on(Device::cuda), losses_on(Device::cpu), dtype);
  }
}

TEST_CASE("--device cuda where there is no GPU: the error says what to do") {
  common::need(Device::cpu);
  if (cuda::available()) return common::need(Device::cuda);
  CHECK(
      throws_with("--device cuda: |keep the tensors on Device::cpu; to run on the CPU, leave "
                  "--device out",
                  [] { common::need(Device::cuda); }));
}

}  // namespace tapeloop::test
