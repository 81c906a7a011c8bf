// SPDX-License-Identifier: MIT
// caption: an LSTM says in words what is on an image. With --attention it looks at the places of
// the image before each word. The program draws scenes of digits, or reads those of --data.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "examples/caption/model.h"
#include "examples/caption/pictures.h"
#include "examples/caption/scenes.h"
#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/notes.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/task_training.h"
#include "examples/common/text.h"
#include "tapeloop/autograd/files/files.h"

namespace caption {
namespace {

namespace nn = tapeloop::nn;
using common::Score, common::Task, common::TaskTraining;

struct Settings {
  std::string data, test, cnn;
  std::int64_t size = 0, scenes = 4000, beams = 3;
  bool attention = false, freeze = false;
  std::int64_t hidden = 64, embedding = 32;
  double penalty = 1e-3;
  common::TrainingSettings training{
      .batch = 32, .updates = 1200, .validate_every = 300, .learning_rate = 2e-3, .goal = 2};
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  SettingsTable rows = {
      flag("--attention", s.attention, "look at the places of the image before each word").noted(),
      number("--penalty", s.penalty, 0, 1e3,
             "weight of the doubly stochastic penalty of the attention", {.needs = {"--attention"}})
          .noted(),
      count("--hidden", s.hidden, 1, 65536, "units of the LSTM").noted(),
      count("--embedding", s.embedding, 1, 65536, "size of a word's vector").noted(),
      count("--size", s.size, 0, 1024,
            "height and width to which images are resized; 0: those of digit scenes, 56 for files")
          .noted(),
      count("--scenes", s.scenes, 16, 100000, "scenes to draw", {.excludes = {"--data"}}).noted(),
      flag("--freeze", s.freeze, "do not train the net of --cnn", {.needs = {"--cnn"}}).noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

constexpr std::int64_t kChunk = 200;  // scenes that are read at once without training

// A list in parts of kChunk.
std::vector<std::vector<std::int64_t>> chunks_of(const std::vector<std::int64_t>& list) {
  std::vector<std::vector<std::int64_t>> result;
  for (std::size_t first = 0; first < list.size(); first += kChunk)
    result.emplace_back(
        list.begin() + static_cast<std::ptrdiff_t>(first),
        list.begin() + static_cast<std::ptrdiff_t>(std::min(list.size(), first + kChunk)));
  return result;
}

std::string text_of(const Tokens& words) { return fmt::format("{}", fmt::join(words, " ")); }

struct Measures {
  double exact = 0, bleu = 0;  // 0 to 1, 0 to 100
};
Measures measures_of(const std::vector<Captioned>& captioned) {
  std::vector<Tokens> found, wanted;
  for (const Captioned& one : captioned) found.push_back(one.found), wanted.push_back(one.wanted);
  return {nn::exact_match<Tokens>(found, wanted), nn::corpus_bleu(found, wanted).score};
}

// The scenes of a run: those that train, and those that measure.
struct Material {
  Scenes scenes, other;  // other: --test
  std::vector<std::int64_t> train, valid;
  const Scenes& tested(const Settings& s) const { return s.test.empty() ? scenes : other; }
  std::vector<std::int64_t> measured;  // of tested()
};

void say_what_was_read(const Scenes& scenes, const std::string& name) {
  for (const auto& [reason, count] : scenes.skipped)
    common::print("{}: {} lines {} were left out\n", name, count, common::printable(reason));
  if (scenes.resized > 0) {
    common::print("{}: {} images were resized to {} x {} pixels\n", name, scenes.resized,
                  scenes.size, scenes.size);
  }
}

Material read_material(const Settings& s, std::uint64_t seed) {
  Material m;
  tapeloop::Random drawing(seed + 1);
  m.scenes =
      s.data.empty() ? draw_scenes(s.scenes, drawing) : read_scenes(s.data, {.size = s.size});
  if (m.scenes.count() < 16) {
    throw tapeloop::FileError(fmt::format(
        "--data: {} has {} images with captions, expected at least 16", s.data, m.scenes.count()));
  }
  if (m.scenes.size < 8) {
    throw common::UsageError(
        fmt::format("--size: images of {} x {} pixels; the net needs at least 8 x 8", m.scenes.size,
                    m.scenes.size));
  }
  say_what_was_read(m.scenes, "--data");
  for (std::int64_t i = 0; i < m.scenes.count(); ++i)
    (i % 8 == 7 ? m.valid : m.train).push_back(i);  // every eighth validates
  m.measured = m.valid;
  if (s.test.empty()) return m;
  m.other =
      read_scenes(s.test, {.smaller = true, .size = m.scenes.size, .channels = m.scenes.channels});
  say_what_was_read(m.other, "--test");
  m.measured.resize(static_cast<std::size_t>(m.other.count()));
  std::iota(m.measured.begin(), m.measured.end(), 0);
  return m;
}

std::uint64_t hash_of(const Scenes& scenes) {
  std::uint64_t hash = common::kNothingHashed;
  for (std::size_t i = 0; i < scenes.rows.size(); ++i) {
    hash = common::fnv1a(text_of(scenes.captions[i]), common::hash_of(scenes.rows[i], hash));
  }
  return hash;
}

struct Trained {
  std::vector<Captioned> captioned;
  Measures measures;
  Score score;
  common::Run::Result run;
  std::int64_t updates = 0, parameters = 0, side = 0;
};

// Trains one model, with its checkpoints in `folder`, and captions what measures.
Trained train(const Material& m, const Vocabulary& words, const common::CommonOptions& common,
              Settings& s, const std::string& folder, bool resume) {
  tapeloop::Random random(common.seed);
  const Captioner model({.size = m.scenes.size,
                         .channels = m.scenes.channels,
                         .vocabulary = words.size(),
                         .hidden = s.hidden,
                         .embedding = s.embedding,
                         .attention = s.attention,
                         .penalty = s.penalty,
                         .frozen = s.freeze},
                        random);
  if (!s.cnn.empty()) nn::load(s.cnn, model.cnn);
  nn::move(model, common.device);
  const auto there = [&](const Batch& batch) {
    return Batch{batch.images.to(common.device), batch.symbols, batch.targets,
                 batch.within.to(common.device)};
  };
  Batch batch;
  Task task{
      .draw =
          [&] {
            std::vector<std::int64_t> list;
            for (std::int64_t i = 0; i < s.training.batch; ++i)
              list.push_back(m.train[model.samples.below(m.train.size())]);
            batch = there(batch_of(m.scenes, words, list));
          },
      .loss =
          [&] {
            return model.loss(model(Var(batch.images), batch.symbols), batch.targets, batch.within);
          },
      .validate =
          [&] {
            Score total;
            for (const auto& list : chunks_of(m.valid)) {
              const Batch part = there(batch_of(m.scenes, words, list));
              const Score own =
                  common::score_of(model(Var(part.images), part.symbols).logits, part.targets);
              const double share =
                  static_cast<double>(list.size()) / static_cast<double>(m.valid.size());
              total.nats += share * own.nats;
              total.right += share * own.right;
            }
            return total;
          },
      .notes = common::notes_of(table_of(s))};
  task.notes["program"] = "caption";
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] = fmt::format("{} images, {:016x}", m.scenes.count(), hash_of(m.scenes));
  TaskTraining training(model, s.training, std::move(task));
  Trained result;
  result.parameters = nn::parameter_count(model);
  result.side = model.side();
  common::print("{}: {} parameters, {} updates of {} images\n",
                s.attention ? "with attention" : "without attention", result.parameters,
                s.training.updates, s.training.batch);
  result.run = common::train(training, folder, "images", resume);
  result.score = training.score();
  result.updates = training.updates();
  nn::save(folder + "/cnn.safetensors", model.cnn);
  const Scenes& tested = m.tested(s);
  for (const auto& list : chunks_of(m.measured)) {
    CaptionSearch search(model, model.encode(Var(images_of(tested, list).to(common.device))));
    nn::BeamOptions options;
    options.start = kStart, options.end = kEnd, options.beams = s.beams;
    options.max_length = 2 * words.longest() + 1;
    const auto found = nn::beam_search(search, options);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto scene = static_cast<std::size_t>(list[i]);
      result.captioned.push_back(
          {list[i], words.words(found[i][0].symbols), tested.captions[scene], found[i][0].weights});
    }
  }
  result.measures = measures_of(result.captioned);
  return result;
}

// The most frequent caption of the training, for every image.
Measures baseline_of(const Material& m, const Scenes& tested) {
  std::map<Tokens, std::int64_t> counts;
  for (const std::int64_t i : m.train) ++counts[m.scenes.captions[static_cast<std::size_t>(i)]];
  const Tokens most = std::max_element(counts.begin(), counts.end(), [](auto& a, auto& b) {
                        return a.second < b.second;
                      })->first;
  std::vector<Captioned> captioned;
  for (const std::int64_t i : m.measured)
    captioned.push_back({i, most, tested.captions[static_cast<std::size_t>(i)], {}});
  return measures_of(captioned);
}

void print_measures(const std::string& name, const Measures& measures) {
  common::print("{:<20} exact captions {:.4f}, BLEU-4 {:.2f}\n", name, measures.exact,
                measures.bleu);
}

void run(const common::CommonOptions& common, Settings& s, bool resume) {
  const Material m = read_material(s, common.seed);
  const Vocabulary words(m.scenes.captions);
  const Scenes& tested = m.tested(s);
  std::int64_t unknown = 0;
  for (const Tokens& caption : tested.captions)
    for (const std::string& word : caption) unknown += words.has(word) ? 0 : 1;
  common::print("{} images of {} x {} pixels, {} words; {} train, {} measure; seed {}\n",
                m.scenes.count(), m.scenes.size, m.scenes.size, words.size() - 2, m.train.size(),
                m.measured.size(), common.seed);
  if (unknown > 0)
    common::print("--test: {} words of the captions are unknown to the model\n", unknown);
  const Trained trained = train(m, words, common, s, common.out, resume);
  nlohmann::json json = {{"updates", trained.updates},
                         {"parameters", trained.parameters},
                         {"loss", trained.score.nats},
                         {"seconds", trained.run.seconds},
                         {"train_cpu_seconds", trained.run.cpu_seconds},
                         {"exact_match", trained.measures.exact},
                         {"bleu4", trained.measures.bleu},
                         {"images", m.measured.size()},
                         {"unknown_words", unknown}};
  if (s.attention) {  // the same without it
    Settings plain = s;
    plain.attention = false;
    const std::string folder = common.out + "/without_attention";
    common::make_folder(folder);
    const bool begun = resume && std::filesystem::exists(folder + "/last.safetensors");
    const Trained other = train(m, words, common, plain, folder, begun);
    print_measures("without attention", other.measures);
    json["exact_match_without_attention"] = other.measures.exact;
    json["bleu4_without_attention"] = other.measures.bleu;
    json["train_cpu_seconds_without_attention"] = other.run.cpu_seconds;
  }
  const Measures baseline = baseline_of(m, tested);
  json["baseline_exact_match"] = baseline.exact;
  json["baseline_bleu4"] = baseline.bleu;
  print_measures("most frequent", baseline);
  print_measures(s.attention ? "with attention" : "the model", trained.measures);
  common::print("trained in {:.1f} s, {:.1f} s of CPU time\n", trained.run.seconds,
                trained.run.cpu_seconds);
  const std::string picture = common.out + "/captions.svg";
  const auto shown = std::min<std::size_t>(6, trained.captioned.size());
  tapeloop::write_file(picture,
                       page_of(tested,
                               {trained.captioned.begin(),
                                trained.captioned.begin() + static_cast<std::ptrdiff_t>(shown)},
                               trained.side));
  common::print("a picture of images and their captions: {}\n", picture);
  if (!common.json.empty()) common::write_json(common.json, json);
}

}  // namespace
}  // namespace caption

int main(int argc, char** argv) {
  using namespace caption;
  common::CommonOptions options;
  Settings settings;
  bool resume = false;
  common::CommandLine line(
      options, "caption",
      "An LSTM says in words what is on an image. Without --data it learns scenes of digits that "
      "the program draws.");
  line.add({common::free_text("--data", settings.data, "FILE|FOLDER",
                              "a list FILE.tsv, or a folder with one: lines `image file TAB "
                              "caption` (PNG, JPEG, PGM, PPM), or the scenes of MNIST's digits",
                              {.not_empty = true}),
            common::free_text("--test", settings.test, "FILE|FOLDER",
                              "measure on these images instead of every eighth of the data; of "
                              "two lists the smaller one",
                              {.not_empty = true}),
            common::free_text("--cnn", settings.cnn, "FILE.safetensors",
                              "start from this convolutional net, as DIR/cnn.safetensors of a run",
                              {.endings = {".safetensors"}, .not_empty = true}),
            common::count("--beams", settings.beams, 1, 100, "captions kept in the search")});
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv, [&] { run(options, settings, resume); },
      [&] {
        common::note_run(options, resume);
        for (const char* name : {"cnn.safetensors", "captions.svg"})
          options.writes.push_back({"the program", fmt::format("{}/{}", options.out, name)});
        if (!settings.cnn.empty()) options.reads.push_back({"--cnn", settings.cnn});
        if (settings.data.empty()) line.preset("--updates", 2500);
        if (!options.quick) return;
        line.preset("--updates", 30);
        line.preset("--validate-every", 30);
        line.preset("--hidden", 16);
        line.preset("--scenes", 160);
      });
}
