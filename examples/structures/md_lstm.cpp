// SPDX-License-Identifier: MIT
// md_lstm: a Multi-Dimensional LSTM reads digits as images, from the four corners at once. Graves,
// Fernandez & Schmidhuber 2007, arXiv:0705.2011. The program draws the digits, or reads those of
// --data FOLDER. With 7,000 digits of MNIST 600 updates take 3 s on one core. Then the model is
// right on 94 % of unseen digits.
#include <fmt/format.h>

#include <algorithm>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/pictures/digits.h"
#include "examples/common/task_training.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/tapeloop.h"

namespace structures {
namespace {

using namespace tapeloop;
using common::Digits;
using common::score_of;
using common::Task;
using common::TaskTraining;
using common::TrainingSettings;

struct DigitSettings {
  std::string data, picture;
  std::int64_t block = 4;    // a cell of the grid reads block x block pixels
  std::int64_t hidden = 16;  // of each direction
  std::int64_t layers = 1;
  std::string variant = "standard";
  bool peepholes = false;
  TrainingSettings training{
      .batch = 32, .updates = 600, .validate_every = 200, .learning_rate = 1e-2, .goal = 0.93};
};

common::SettingsTable table_of(DigitSettings& s) {
  using namespace common;
  SettingsTable rows = {
      count("--block", s.block, 1, 1000, "a cell reads a block of N x N pixels").noted(),
      count("--hidden", s.hidden, 1, 65536, "units of each direction").noted(),
      count("--layers", s.layers, 1, 100, "layers").noted(),
      choice("--variant", s.variant, {"standard", "mean", "stable", "leaky"},
             "how a cell joins the states of its predecessors")
          .noted(),
      flag("--peepholes", s.peepholes, "the gates see the cell states").noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

nn::MdVariant variant_of(const std::string& name) {
  return name == "mean"     ? nn::MdVariant::mean
         : name == "stable" ? nn::MdVariant::stable
         : name == "leaky"  ? nn::MdVariant::leaky
                            : nn::MdVariant::standard;
}

struct DigitModel {
  nn::MdLstm grid;
  nn::Linear head;
  mutable Random samples;
  DigitModel(const DigitSettings& s, Random& random)
      : grid({.input = s.block * s.block,
              .hidden = s.hidden,
              .directions = nn::all_directions(2),
              .layers = static_cast<int>(s.layers)},
             random, {.variant = variant_of(s.variant), .peepholes = s.peepholes}),
        head(grid.output_size(), 10, random),
        samples(random.split()) {}
  // blocks [rows, columns, N, pixels] -> logits [1, N, 10], by the mean over all cells
  Var operator()(const Tensor& blocks) const {
    return insert_axis(head(mean(grid(Var(blocks)).ys, {0, 1})), 0);
  }
  void visit(nn::Visitor& v) const { v("grid", grid), v("head", head), v("samples", samples); }
};

void run(const common::CommonOptions& common, DigitSettings& s, bool resume) {
  Random random(common.seed);
  Random drawing(common.seed + 1);
  const Digits digits =
      s.data.empty() ? common::draw_digits(6000, drawing) : common::read_digits(s.data);
  if (s.block > digits.size) {
    throw common::UsageError(fmt::format("--block is {}, but an image has {} x {} pixels", s.block,
                                         digits.size, digits.size));
  }
  const std::int64_t in_row = digits.size / s.block;
  if (!s.picture.empty() && in_row * in_row > nn::kMostPictureCells) {
    throw common::UsageError(
        fmt::format("--picture: an image has {} x {} blocks, a picture has at "
                    "most {}; give a larger --block",
                    in_row, in_row, nn::kMostPictureCells));
  }
  // Every eighth image validates.
  std::vector<std::int64_t> train, valid;
  for (std::int64_t i = 0; i < digits.count(); ++i) (i % 8 == 7 ? valid : train).push_back(i);
  const DigitModel model(s, random);
  nn::move(model, common.device);

  const auto images = [&](const std::vector<std::int64_t>& list) {
    return common::in_blocks(digits, list, 0, static_cast<std::int64_t>(list.size()), s.block)
        .to(common.device);
  };
  const auto labels = [&](const std::vector<std::int64_t>& list) {
    std::vector<std::int64_t> result;
    for (const std::int64_t i : list) result.push_back(digits.labels[static_cast<std::size_t>(i)]);
    return Tensor::from({1, static_cast<std::int64_t>(list.size())}, result);
  };
  const Tensor valid_x = images(valid), valid_y = labels(valid);
  Tensor x, y;
  Task task{.draw =
                [&] {
                  std::vector<std::int64_t> list;
                  for (std::int64_t i = 0; i < s.training.batch; ++i)
                    list.push_back(train[model.samples.below(train.size())]);
                  x = images(list);
                  y = labels(list);
                },
            .loss = [&] { return cross_entropy(model(x), y); },
            .validate = [&] { return score_of(model(valid_x), valid_y); },
            .notes = common::notes_of(table_of(s))};
  task.notes["program"] = "md_lstm";
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] =
      s.data.empty() ? "drawn"
                     : fmt::format("{} images, {:016x}", digits.count(),
                                   common::hash_of(digits.labels, common::hash_of(digits.pixels)));
  TaskTraining training(model, s.training, std::move(task));
  common::print(
      "{} digits of {} x {} pixels, blocks of {}, {} x {} units in four directions, "
      "parameters {}, seed {}\n",
      digits.count(), digits.size, digits.size, s.block, s.layers, s.hidden,
      nn::parameter_count(model), common.seed);
  common::train_and_report(training, common, "images", resume);
  if (s.picture.empty()) return;
  const std::int64_t cells = valid_x.dim(0) * valid_x.dim(1);
  write_file(s.picture,
             nn::grid_picture(
                 model.grid(Var(valid_x)).ys.value(),
                 {.title = fmt::format("Neurons of an MD-LSTM that reads a {}",
                                       digits.labels[static_cast<std::size_t>(valid[0])]),
                  .neurons = std::clamp<std::int64_t>(nn::kMostPictureCells / cells, 1, 24)}));
  common::print("a picture of its neurons: {}\n", s.picture);
}

}  // namespace
}  // namespace structures

int main(int argc, char** argv) {
  using namespace structures;
  common::CommonOptions options;
  DigitSettings settings;
  bool resume = false;
  common::CommandLine line(
      options, "md_lstm",
      "A Multi-Dimensional LSTM reads images of digits from the four corners. Without --data it "
      "learns digits that the program draws.");
  line.add(
      {common::free_text("--data", settings.data, "FOLDER",
                         "a folder with MNIST's files *images-idx3-ubyte and *labels-idx1-ubyte, "
                         "or *.gz",
                         {.not_empty = true}),
       common::free_text("--picture", settings.picture, "FILE.svg",
                         "write what the neurons say at each place of an image",
                         {.endings = {".svg"}, .not_empty = true})});
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv,
      [&] {
        if (!settings.picture.empty()) common::check_writable(settings.picture);
        run(options, settings, resume);
      },
      [&] {
        common::note_run(options, resume);
        if (!settings.picture.empty()) options.writes.push_back({"--picture", settings.picture});
        if (settings.peepholes && settings.variant != "standard" && settings.variant != "mean") {
          throw common::UsageError(fmt::format(
              "--peepholes goes with --variant standard or mean, not with {}", settings.variant));
        }
        if (!options.quick) return;
        line.preset("--updates", 40);
        line.preset("--validate-every", 40);
        line.preset("--hidden", 6);
      });
}
