// SPDX-License-Identifier: MIT
// regions: a Graph LSTM labels the regions of images. A region's own colour does not tell its
// label: its neighbours do. Liang et al. 2016, arXiv:1603.07063. The program draws its scenes, or
// reads those of --data FOLDER. Beside it stand the same network without neighbours, with fixed
// orders, and an MD-LSTM.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/pictures/image.h"
#include "examples/common/pictures/labels.h"
#include "examples/common/pictures/svg.h"
#include "examples/common/task_training.h"
#include "examples/regions/model.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/tapeloop.h"

namespace regions {
namespace {

using namespace tapeloop;

struct Settings {
  std::string data, test;
  std::int64_t side = 32;  // of images of a folder
  ModelSettings model;
  bool alone = false;  // no other networks beside it
  common::TrainingSettings training{
      .batch = 8, .updates = 1200, .validate_every = 200, .learning_rate = 5e-3, .goal = 2};
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  SettingsTable rows = {
      choice("--net", s.model.net, {"graph", "regions", "md_lstm"},
             "a Graph LSTM; each region by itself; an MD-LSTM on blocks of 2 x 2 pixels")
          .noted(),
      choice("--order", s.model.order, {"confidence", "breadth_first", "random"},
             "the order in which the Graph LSTM visits the regions")
          .noted(),
      count("--hidden", s.model.hidden, 1, 65536, "features of a region, and units").noted(),
      count("--layers", s.model.layers, 1, 100, "layers of the Graph LSTM").noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

// Scenes, and which of them train and which measure.
struct Material {
  Scenes scenes;
  std::vector<std::int64_t> train, measured;
};

struct Measures {
  common::LabelQuality quality;
  double nats = 0;
};
Measures measure(const RegionModel& model, const Material& m) {
  std::vector<std::int64_t> found, truth;
  double nats = 0;
  for (std::size_t first = 0; first < m.measured.size(); first += 32) {
    const auto some = std::span(m.measured)
                          .subspan(first)
                          .first(std::min<std::size_t>(32, m.measured.size() - first));
    const Batch batch = batch_of(m.scenes, {some.begin(), some.end()});
    const RegionModel::Answer answer = model(batch);
    const std::vector<std::int64_t> own = model.labels_of(answer, batch);
    const std::vector<std::int64_t> right = batch.truth.to_vector<std::int64_t>();
    found.insert(found.end(), own.begin(), own.end());
    truth.insert(truth.end(), right.begin(), right.end());
    nats += model.loss(answer, batch).item() * static_cast<double>(some.size());
  }
  return {common::quality_of(found, truth, m.scenes.labels),
          nats / static_cast<double>(m.measured.size())};
}

common::Task task_of(const RegionModel& model, const Material& m, std::int64_t batch,
                     const std::shared_ptr<std::optional<Batch>>& now) {
  return {.draw =
              [&model, &m, batch, now] {
                std::vector<std::int64_t> list;
                for (std::int64_t i = 0; i < batch; ++i)
                  list.push_back(m.train[model.samples.below(m.train.size())]);
                now->emplace(batch_of(m.scenes, list));
              },
          .loss = [&model, now] { return model.loss(model(**now), **now); },
          .validate =
              [&model, &m] {
                const auto [quality, nats] = measure(model, m);
                return common::Score{nats, quality.mean_iou,
                                     fmt::format(", pixels {:.4f}", quality.pixel_accuracy)};
              },
          .notes = {}};
}

// A row for each scene: the image, the regions with the order of their visit, the labels that were
// found, and the true ones.
std::string picture(const RegionModel& model, const Material& m) {
  constexpr double kImage = 190, kGap = 14, kTop = 64;
  const Scenes& scenes = m.scenes;
  const std::int64_t height = scenes.height, width = scenes.width;
  common::Svg svg(common::Svg::Digits::two_decimals);
  svg.text(14, 24, "Regions of images, labelled by a Graph LSTM", {.size = 15, .bold = true});
  const char* const heads[] = {"image", "regions, in the order of visit", "found", "truth"};
  for (int k = 0; k < 4; ++k) svg.text(14 + k * (kImage + kGap), 52, heads[k], {.size = 12});
  const auto rows = std::min<std::size_t>(4, m.measured.size());
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t scene = m.measured[i];
    const Batch batch = batch_of(scenes, {scene});
    const RegionModel::Answer answer = model(batch);
    const std::vector<std::int64_t>& order = answer.order;
    const std::vector<std::int64_t> region = batch.regions.region().to_vector<std::int64_t>();
    const std::vector<std::int64_t> found = model.labels_of(answer, batch);
    const auto nodes = static_cast<std::size_t>(batch.regions.nodes());
    std::vector<std::int64_t> turn(nodes);
    for (std::size_t k = 0; k < order.size(); ++k)
      turn[static_cast<std::size_t>(order[k])] = static_cast<std::int64_t>(k);
    std::vector<double> row(nodes), column(nodes);
    common::Image image{height, width, 3, {}}, visits = image;
    for (std::size_t p = 0; p < region.size(); ++p) {
      const auto r = static_cast<std::size_t>(region[p]);
      const std::int64_t y = static_cast<std::int64_t>(p) / width;
      row[r] += static_cast<double>(y) + 0.5;
      column[r] += static_cast<double>(static_cast<std::int64_t>(p) % width) + 0.5;
      const std::size_t at = static_cast<std::size_t>(scene) * region.size() + p;
      const auto shade = static_cast<std::uint8_t>(150 + 100 * turn[r] / batch.regions.nodes());
      for (std::size_t c = 0; c < 3; ++c) {
        image.pixels.push_back(scenes.rgb[3 * at + c]);
        visits.pixels.push_back(c == 2 ? 255 : shade);
      }
    }
    const std::vector<std::int64_t> truth = batch.truth.to_vector<std::int64_t>();
    const common::Image images[] = {image, visits, common::image_of_labels(found, height, width),
                                    common::image_of_labels(truth, height, width)};
    const double top = kTop + static_cast<double>(i) * (kImage + kGap);
    for (int k = 0; k < 4; ++k) {
      svg.image(14 + k * (kImage + kGap), top, kImage, kImage, common::data_uri_of(images[k]));
    }
    for (std::size_t r = 0; r < order.size(); ++r) {
      const auto size = static_cast<double>(batch.regions.sizes()[r]);
      svg.text(14 + kImage + kGap + column[r] / size * kImage / static_cast<double>(width),
               top + row[r] / size * kImage / static_cast<double>(height) + 3,
               std::to_string(turn[r] + 1), {.size = 9, .anchor = common::Svg::Anchor::middle});
    }
  }
  return svg.document(14 + 4 * (kImage + kGap), kTop + static_cast<double>(rows) * (kImage + kGap),
                      "Regions of images, labelled by a Graph LSTM");
}

Material material_of(const Settings& s, std::uint64_t seed) {
  Material m;
  Random drawing(seed + 1);
  m.scenes = s.data.empty() ? draw_scenes(400, drawing) : read_scenes(s.data, s.side);
  const std::int64_t count = m.scenes.count();
  if (!s.test.empty()) append(m.scenes, read_scenes(s.test, s.side), s.test);
  for (std::int64_t i = 0; i < m.scenes.count(); ++i) {  // without --test every fifth is held out
    const bool holds = s.test.empty() ? i % 5 == 4 || count < 5 : i >= count;
    if (holds) m.measured.push_back(i);
    if (!holds || count < 5) m.train.push_back(i);
  }
  if (s.model.net == "md_lstm" && (m.scenes.height % 2 != 0 || m.scenes.width % 2 != 0)) {
    throw common::UsageError("--net md_lstm needs images of an even height and width");
  }
  return m;
}

void run(const common::CommonOptions& common, Settings& s, bool resume) {
  const Material m = material_of(s, common.seed);
  Random random(common.seed);
  const RegionModel main(s.model, m.scenes.labels, random);
  nn::move(main, common.device);
  const auto now = std::make_shared<std::optional<Batch>>();
  common::Task task = task_of(main, m, s.training.batch, now);
  task.notes = common::notes_of(table_of(s));
  task.notes["program"] = "regions";
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] =
      fmt::format("{:016x}", common::hash_of(m.scenes.truth, common::hash_of(m.scenes.rgb)));
  common::TaskTraining training(main, s.training, std::move(task));
  common::print("{} scenes of {} x {} pixels, {} labels, {} regions in the first; parameters {}\n",
                m.scenes.count(), m.scenes.height, m.scenes.width, m.scenes.labels,
                batch_of(m.scenes, {0}).regions.nodes(), nn::parameter_count(main));
  const common::Run::Result done = common::train(training, common.out, "scenes", resume);

  const common::LabelQuality own = measure(main, m).quality;
  common::print("\n{:<34} pixels right   mean IoU\n",
                s.test.empty() ? "on held-out scenes" : "on the scenes of --test");
  nlohmann::json rows = nlohmann::json::array();
  const auto report = [&](const std::string& name, const common::LabelQuality& q) {
    common::print("{:<34} {:>9.2f} %   {:>8.3f}\n", name, 100 * q.pixel_accuracy, q.mean_iou);
    rows.push_back({{"net", name}, {"pixel_accuracy", q.pixel_accuracy}, {"mean_iou", q.mean_iou}});
  };
  report(s.model.net == "graph" ? "Graph LSTM, order by " + s.model.order : s.model.net, own);
  const std::vector<std::pair<std::string, ModelSettings>> others = {
      {"Graph LSTM, order breadth first",
       {"graph", "breadth_first", s.model.hidden, s.model.layers}},
      {"Graph LSTM, random order", {"graph", "random", s.model.hidden, s.model.layers}},
      {"MD-LSTM on blocks of 2 x 2 pixels", {"md_lstm", "", s.model.hidden, 1}},
      {"each region by itself", {"regions", "", s.model.hidden, 1}},
  };
  for (const auto& [name, settings] : others) {
    if (s.alone || (settings.net == "md_lstm" && (m.scenes.height % 2 + m.scenes.width % 2) != 0))
      continue;
    Random again(common.seed);
    const RegionModel other(settings, m.scenes.labels, again);
    nn::move(other, common.device);
    common::Task own_task = task_of(other, m, s.training.batch, now);
    common::train_beside(other, s.training, own_task, "scenes");
    report(name, measure(other, m).quality);
  }
  const std::vector<std::int64_t> truth =
      batch_of(m.scenes, m.measured).truth.to_vector<std::int64_t>();
  report("everything is background",
         common::quality_of(std::vector<std::int64_t>(truth.size()), truth, m.scenes.labels));
  const std::string file = common.out + "/regions.svg";
  write_file(file, picture(main, m));
  common::print("the picture: {}\n", file);
  if (common.json.empty()) return;
  common::write_json(common.json, {{"pixel_accuracy", own.pixel_accuracy},
                                   {"mean_iou", own.mean_iou},
                                   {"loss", training.score().nats},
                                   {"updates", training.updates()},
                                   {"train_cpu_seconds", done.cpu_seconds},
                                   {"nets", rows}});
}

}  // namespace
}  // namespace regions

int main(int argc, char** argv) {
  using namespace regions;
  common::CommonOptions options;
  Settings settings;
  bool resume = false;
  common::CommandLine line(options, "regions",
                           "A Graph LSTM labels the regions of images by what is beside them. "
                           "Without --data it learns scenes that the program draws.");
  const std::string folder =
      "a folder with *images-idx4-ubyte, *labels-idx3-ubyte and perhaps *segments-idx3-ubyte, "
      "packed by gzip or not; or with FOLDER/images and FOLDER/labels, grey images of the same "
      "names whose values are labels";
  line.add({common::free_text("--data", settings.data, "FOLDER", folder, {.not_empty = true}),
            common::free_text("--test", settings.test, "FOLDER",
                              "measure on the scenes of this folder, not on held-out ones",
                              {.not_empty = true}),
            common::count("--side", settings.side, 8, 1024,
                          "images of FOLDER/images become N x N pixels"),
            common::flag("--alone", settings.alone, "train no other networks beside it")});
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv,
      [&] {
        common::check_writable(options.out + "/regions.svg");
        run(options, settings, resume);
      },
      [&] {
        common::note_run(options, resume);
        options.writes.push_back({"the picture", options.out + "/regions.svg"});
        if (!options.quick) return;
        line.preset("--updates", 20);
        line.preset("--validate-every", 20);
        line.preset("--hidden", 6);
      });
}
