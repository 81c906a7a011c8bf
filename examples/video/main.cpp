// SPDX-License-Identifier: MIT
// video: digits that move. An LSTM on features of the frames says which digit it is, and in which
// direction it moves in each frame; a ConvLSTM predicts the next frame. A single frame shows no
// direction. The program draws its clips, or reads those of --data.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/pictures/image.h"
#include "examples/common/pictures/svg.h"
#include "examples/common/progress.h"
#include "examples/common/task_training.h"
#include "examples/video/model.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/tapeloop.h"

namespace video {
namespace {

using namespace tapeloop;

struct Settings {
  std::string data, test;
  ModelSettings model;
  std::int64_t channels = 12;  // of the ConvLSTM that predicts frames
  std::int64_t predictions = 300;
  bool alone = false;
  common::TrainingSettings training{
      .batch = 32, .updates = 600, .validate_every = 200, .learning_rate = 2e-3, .goal = 2};
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  SettingsTable rows = {
      choice("--net", s.model.net, {"lstm", "conv_lstm", "frames"},
             "an LSTM on features of the frames; a ConvLSTM; each frame by itself")
          .noted(),
      count("--hidden", s.model.hidden, 1, 65536, "features of a frame, and units").noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

struct Material {
  Clips train, measured;
  std::vector<std::int64_t> trained, held;  // which of them
};

struct Quality {
  double loss = 0, frames = 0, clips = 0;  // shares of right directions and digits
};

std::int64_t right_of(const Var& logits, const Tensor& wanted) {
  const std::vector<std::int64_t> found = argmax(logits.value().cpu()).to_vector<std::int64_t>();
  const std::vector<std::int64_t> right = wanted.to_vector<std::int64_t>();
  return std::inner_product(found.begin(), found.end(), right.begin(), std::int64_t{0},
                            std::plus<>(), std::equal_to<>());
}

// The first `most` of the held-out clips, always with the same noise.
Quality measure(const VideoModel& model, const Material& m, std::size_t most) {
  Random noise(7);
  double moves = 0, clips = 0, losses = 0;
  Quality q;
  const std::size_t all = std::min(most, m.held.size());
  for (std::size_t first = 0; first < all; first += 64) {
    const auto some = std::span(m.held).subspan(first, std::min<std::size_t>(64, all - first));
    const Batch batch = batch_of(m.measured, {some.begin(), some.end()}, noise);
    const VideoModel::Logits z = model(batch);
    q.frames += static_cast<double>(right_of(z.directions, batch.directions));
    q.clips += static_cast<double>(right_of(z.digits, batch.digits));
    losses += model.loss(z, batch).item() * static_cast<double>(some.size());
    moves += static_cast<double>(batch.moved.numel());
    clips += static_cast<double>(some.size());
  }
  return {losses / clips, q.frames / moves, q.clips / clips};
}

common::Task task_of(const VideoModel& model, const Material& m, std::int64_t batch) {
  const auto now = std::make_shared<std::optional<Batch>>();
  return {.draw =
              [&model, &m, batch, now] {
                std::vector<std::int64_t> list;
                for (std::int64_t i = 0; i < batch; ++i)
                  list.push_back(m.trained[model.samples.below(m.trained.size())]);
                now->emplace(batch_of(m.train, list, model.samples));
              },
          .loss = [&model, now] { return model.loss(model(**now), **now); },
          .validate =
              [&model, &m] {
                const Quality q = measure(model, m, 256);
                return common::Score{q.loss, q.clips, fmt::format(", frames {:.4f}", q.frames)};
              },
          .notes = {}};
}

Material material_of(const Settings& s, std::uint64_t seed) {
  Material m;
  Random drawing(seed + 1);
  m.train = s.data.empty() ? draw_clips(3000, drawing) : read_clips(s.data, false, "");
  m.measured = s.test.empty() ? m.train : read_clips(s.test, true, s.data);
  if (m.measured.side() != m.train.side()) {
    throw Error(fmt::format("--test has digits of {} pixels, --data of {}; give digits of one size",
                            m.measured.digits.size, m.train.digits.size));
  }
  const auto count = static_cast<std::int64_t>(m.train.list.size());
  for (std::int64_t i = 0; i < count; ++i) {  // without --test every eighth clip is held out
    if (s.test.empty() && i % 8 == 7) m.held.push_back(i);
    if (!s.test.empty() || i % 8 != 7) m.trained.push_back(i);
  }
  if (!s.test.empty()) {
    m.held.resize(m.measured.list.size());
    std::iota(m.held.begin(), m.held.end(), 0);
  }
  if (m.trained.empty() || m.held.empty()) {
    throw Error(fmt::format("{} clips to train and {} to measure; expected some of both",
                            m.trained.size(), m.held.size()));
  }
  return m;
}

common::Image image_of(std::span<const float> pixels, std::int64_t side) {
  common::Image image{side, side, 1, {}};
  for (const float x : pixels)
    image.pixels.push_back(static_cast<std::uint8_t>(std::lround(255 * std::clamp(x, 0.0F, 1.0F))));
  return image;
}

// Two clips as strips: the frames with their noise, and the directions found (red: wrong); then the
// true frames and the predicted ones.
std::string picture(const VideoModel& model, const NextFrame& next, const Material& m) {
  constexpr double kFrame = 74, kGap = 6, kLeft = 110, kTop = 40;
  constexpr const char* kArrows[] = {"\u2198", "\u2199", "\u2197", "\u2196"};
  Random noise(11);
  const std::vector<std::int64_t> list(
      m.held.begin(), m.held.begin() + std::min<std::ptrdiff_t>(2, std::ssize(m.held)));
  const Batch batch = batch_of(m.measured, list, noise);
  const std::int64_t side = m.measured.side(), pixels = side * side;
  const auto count = static_cast<std::int64_t>(list.size());
  const VideoModel::Logits z = model(batch);
  const std::vector<std::int64_t> found =
                                      argmax(z.directions.value().cpu()).to_vector<std::int64_t>(),
                                  truth = batch.directions.to_vector<std::int64_t>(),
                                  moved = batch.moved.to_vector<std::int64_t>(),
                                  digits = argmax(z.digits.value().cpu()).to_vector<std::int64_t>();
  const auto floats = [&](const Var& x) { return x.value().cpu().to_vector<float>(); };
  const std::vector<float> frames = floats(over_time(Var(batch.frames), batch)),
                           clean = floats(over_time(Var(batch.clean), batch)),
                           predicted = floats(sigmoid(next(batch)));
  common::Svg svg(common::Svg::Digits::two_decimals);
  svg.text(14, 24, "Digits that move: what is seen, and what is predicted",
           {.size = 15, .bold = true});
  const std::int64_t steps = batch.places.numel() / count;
  for (std::int64_t n = 0; n < count; ++n) {
    const double top = kTop + static_cast<double>(n) * (3 * (kFrame + kGap) + 46);
    const char* const heads[] = {"frames", "without noise", "predicted"};
    for (int k = 0; k < 3; ++k) svg.text(14, top + k * (kFrame + kGap) + 60, heads[k], {});
    const auto i = static_cast<std::size_t>(n);
    svg.text(14, top + 20, fmt::format("a {}; found {}", batch.digits.at({n}), digits[i]),
             {.bold = true});
    for (std::int64_t t = 0; t < batch.lengths[i]; ++t) {
      const double left = kLeft + static_cast<double>(t) * (kFrame + kGap);
      const auto row = static_cast<std::size_t>((t * count + n) * pixels);
      const auto show = [&](const std::vector<float>& of, std::size_t at, double line) {
        svg.image(left, top + 22 + line * (kFrame + kGap), kFrame, kFrame,
                  common::data_uri_of(
                      image_of(std::span(of).subspan(at, static_cast<std::size_t>(pixels)), side)));
      };
      show(frames, row, 0);
      show(clean, row, 1);
      if (t > 0) show(predicted, row - static_cast<std::size_t>(count * pixels), 2);
    }
    for (std::size_t k = 0; k < moved.size(); ++k) {
      if (moved[k] % count != n) continue;
      const std::int64_t t = moved[k] / count;
      const double left = kLeft + static_cast<double>(t) * (kFrame + kGap);
      svg.text(left + kFrame / 2, top + 16, kArrows[found[k]],
               {.size = 16,
                .colour = found[k] == truth[k] ? "#1c1f24" : "#cf222e",
                .anchor = common::Svg::Anchor::middle});
    }
  }
  return svg.document(kLeft + static_cast<double>(steps) * (kFrame + kGap) + 14,
                      kTop + static_cast<double>(count) * (3 * (kFrame + kGap) + 46),
                      "Digits that move: what is seen, and what is predicted");
}

// Trains the prediction of frames. Returns its loss and that of the last frame, on held-out clips.
std::pair<double, double> predict(const NextFrame& next, const Material& m, const Settings& s,
                                  Random& random) {
  Batch batch;
  const common::Task task{.draw =
                              [&] {
                                std::vector<std::int64_t> list;
                                for (int i = 0; i < 8; ++i)
                                  list.push_back(m.trained[random.below(m.trained.size())]);
                                batch = batch_of(m.train, list, random);
                              },
                          .loss = [&] { return next.loss(batch); },
                          .validate = {},
                          .notes = {}};
  common::train_beside(next,
                       {.batch = 8, .updates = s.predictions, .learning_rate = 1e-2, .clip = 5},
                       task, "clips");
  Random noise(13);
  const auto few = std::span(m.held).first(std::min<std::size_t>(64, m.held.size()));
  const Batch held = batch_of(m.measured, {few.begin(), few.end()}, noise);
  // As a prediction, the last frame with its noise: each pixel p gets 0.05 + 0.9 p.
  const Var now = over_time(Var(held.frames), held), then = over_time(Var(held.clean), held);
  const std::int64_t steps = now.dim(0);
  const Var p = 0.05 + 0.9 * slice(now, 0, 0, steps - 1), y = slice(then, 0, 1, steps);
  const double copied = -mean(y * log(p) + (1.0 - y) * log(1.0 - p)).item();
  return {next.loss(held).item(), copied};
}

void run(const common::CommonOptions& common, Settings& s, bool resume) {
  const Material m = material_of(s, common.seed);
  Random random(common.seed);
  const VideoModel main(s.model, m.train.side(), random);
  nn::move(main, common.device);
  common::Task task = task_of(main, m, s.training.batch);
  task.notes = common::notes_of(table_of(s));
  task.notes["program"] = "video";
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] =
      fmt::format("{:016x}", common::hash_of(m.train.list, common::hash_of(m.train.digits.pixels)));
  common::TaskTraining training(main, s.training, std::move(task));
  common::print("{} clips of {} x {} pixels, {} of them train; parameters {}\n",
                m.train.list.size(), m.train.side(), m.train.side(), m.trained.size(),
                nn::parameter_count(main));
  const common::Run::Result done = common::train(training, common.out, "clips", resume);
  const Quality own = measure(main, m, m.held.size());
  common::print("\n{:<36} direction in frames   digit of clips\n",
                s.test.empty() ? "right on held-out clips" : "right on the clips of --test");
  const auto report = [](const std::string& name, const Quality& q) {
    common::print("{:<36} {:>17.2f} % {:>14.2f} %\n", name, 100 * q.frames, 100 * q.clips);
  };
  report(s.model.net, own);
  nlohmann::json json = {{"frame_accuracy", own.frames},
                         {"clip_accuracy", own.clips},
                         {"loss", own.loss},
                         {"updates", training.updates()},
                         {"train_cpu_seconds", done.cpu_seconds}};
  for (const char* net : {"lstm", "conv_lstm", "frames"}) {
    if (s.alone || s.model.net == net) continue;
    Random again(common.seed);
    const VideoModel other({net, s.model.hidden}, m.train.side(), again);
    nn::move(other, common.device);
    common::Task own_task = task_of(other, m, s.training.batch);
    common::train_beside(other, s.training, own_task, "clips");
    const Quality q = measure(other, m, m.held.size());
    report(net, q);
    json["others"][net] = {{"frame_accuracy", q.frames}, {"clip_accuracy", q.clips}};
  }
  report("by chance", {0, 1.0 / kDirections, 0.1});
  const NextFrame next(s.channels, m.train.side(), random);
  nn::move(next, common.device);
  const auto [loss, copied] = predict(next, m, s, random);
  common::print(
      "\nthe next frame, cross-entropy of a pixel: ConvLSTM {:.4f}, the last frame {:.4f}\n", loss,
      copied);
  json["next_frame_nats"] = loss;
  const std::string file = common.out + "/video.svg";
  write_file(file, picture(main, next, m));
  common::print("the picture: {}\n", file);
  if (!common.json.empty()) common::write_json(common.json, json);
}

}  // namespace
}  // namespace video

int main(int argc, char** argv) {
  using namespace video;
  common::CommonOptions options;
  Settings settings;
  bool resume = false;
  common::CommandLine line(options, "video",
                           "Says what moves in clips and in which direction, and predicts the next "
                           "frame. Without --data it learns clips of digits that the program "
                           "draws.");
  const std::string source =
      "a list with lines of index, label, x, y, vx, vy, frames between tabs, or a folder with one; "
      "beside it MNIST's files *images-idx3-ubyte and *labels-idx1-ubyte, packed by gzip or not";
  line.add({common::free_text("--data", settings.data, "FILE|FOLDER", source, {.not_empty = true}),
            common::free_text("--test", settings.test, "FILE|FOLDER",
                              "measure on these clips, not on held-out ones", {.not_empty = true}),
            common::flag("--alone", settings.alone, "train no other networks beside it"),
            common::count("--channels", settings.channels, 1, 1024,
                          "channels of the ConvLSTM that predicts frames"),
            common::count("--predictions", settings.predictions, 0, common::kAnyCount,
                          "updates of that ConvLSTM, on 8 clips each")});
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv,
      [&] {
        common::check_writable(options.out + "/video.svg");
        run(options, settings, resume);
      },
      [&] {
        common::note_run(options, resume);
        options.writes.push_back({"the picture", options.out + "/video.svg"});
        if (!options.quick) return;
        line.preset("--updates", 6);
        line.preset("--validate-every", 6);
        line.preset("--batch", 4);
        line.preset("--hidden", 6);
        line.preset("--channels", 2);
        line.preset("--predictions", 2);
      });
}
