// SPDX-License-Identifier: MIT
// read_lines: images of lines of digits -> text, without knowing where the digits are, by CTC.
// Graves & Schmidhuber 2009 (MD-LSTM); Shi, Bai & Yao 2015, arXiv:1507.05717 (convolutions and an
// LSTM). The program draws its digits, or reads those of --data.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/pictures/svg.h"
#include "examples/common/task_training.h"
#include "examples/read_lines/model.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/tapeloop.h"

namespace read_lines {
namespace {

using namespace tapeloop;

struct Settings {
  std::string data, test, read;
  std::int64_t least = 1, most = 8;  // digits of a line
  std::int64_t beams = 8;
  ModelSettings model;
  common::TrainingSettings training{
      .batch = 32, .updates = 2000, .validate_every = 250, .learning_rate = 3e-3, .goal = 2};
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  SettingsTable rows = {
      choice("--net", s.model.net, {"conv", "md_lstm"},
             "convolutions and a bidirectional LSTM; or two layers of an MD-LSTM")
          .noted(),
      count("--hidden", s.model.hidden, 0, 65536, "units; 0: as many as the network needs").noted(),
      count("--least", s.least, 1, 100, "fewest digits of a line that is drawn").noted(),
      count("--most", s.most, 1, 100, "most digits of a line that is drawn").noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

struct Material {
  Lines lines, measured;              // measured: the source of `held`
  std::vector<std::int64_t> choices;  // digits of lines that are drawn for training
  std::vector<Line> given;            // lines of a list that train; empty: they are drawn
  std::vector<Line> held;             // what is measured
};

Material material_of(const Settings& s, std::uint64_t seed) {
  Material m;
  Random drawing(seed + 1);
  const bool folder = std::filesystem::is_directory(s.data);
  if (s.data.empty()) {
    m.lines.digits = common::draw_digits(4000, drawing);
  } else if (folder) {
    m.lines.digits = common::read_digits(s.data);
  } else {
    m.lines = read_lines(s.data, false, "");
  }
  std::vector<std::int64_t> held_digits;  // every eighth digit is held out
  for (std::int64_t i = 0; i < m.lines.digits.count(); ++i)
    (i % 8 == 7 ? held_digits : m.choices).push_back(i);
  for (std::size_t i = 0; i < m.lines.list.size(); ++i)
    (i % 8 == 7 && s.test.empty() ? m.held : m.given).push_back(m.lines.list[i]);
  if (!s.test.empty()) {
    m.measured = read_lines(s.test, true, s.data);
    m.held = m.measured.list;
    if (m.measured.height() != m.lines.height()) {
      throw Error(
          fmt::format("--test has digits of {} pixels, --data of {}; give digits of one "
                      "size",
                      m.measured.digits.size, m.lines.digits.size));
    }
    return m;
  }
  m.measured = m.lines;
  if (!m.given.empty()) return m;
  const std::int64_t least = std::min(std::max<std::int64_t>(3, s.least), s.most);
  for (int i = 0; i < 400; ++i)
    m.held.push_back(draw_line(m.lines, held_digits, least, s.most, drawing));
  return m;
}

// What was read, and how well.
struct Reading {
  std::vector<std::string> texts;
  double errors = 0, digits = 0, exact = 0;
  void add(const std::string& text, const std::string& truth) {
    texts.push_back(text);
    errors += static_cast<double>(nn::edit_distance(text, truth));
    digits += static_cast<double>(truth.size());
    exact += text == truth ? 1 : 0;
  }
  double error_rate() const { return errors / digits; }
  double exact_match() const { return exact / static_cast<double>(texts.size()); }
};

std::string text_of(const std::vector<std::int64_t>& labels) {
  std::string text;
  for (const std::int64_t label : labels) text += static_cast<char>('0' + label - 1);
  return text;
}

std::vector<nn::CtcLabels> decode(const Var& p, const Batch& batch, std::int64_t beams) {
  return nn::ctc_beam_search(p.value(), steps_of(batch), {.beams = static_cast<int>(beams)});
}

// The same lines read by the likeliest path and by beam search, and their loss.
struct Readings {
  Reading path, beam;
  double nats = 0;
};
Readings read(const LineModel& model, const Material& m, std::size_t most, std::int64_t beams) {
  Readings readings;
  const std::size_t all = std::min(most, m.held.size());
  for (std::size_t first = 0; first < all; first += 32) {
    const auto some = std::span(m.held).subspan(first, std::min<std::size_t>(32, all - first));
    const Batch batch = batch_of(m.measured, {some.begin(), some.end()});
    const Var p = model(batch);
    const auto path = nn::ctc_greedy(p.value(), steps_of(batch)), beam = decode(p, batch, beams);
    for (std::size_t n = 0; n < path.size(); ++n) {
      readings.path.add(text_of(path[n].labels), batch.texts[n]);
      readings.beam.add(text_of(beam[n].labels), batch.texts[n]);
    }
    readings.nats +=
        model.loss(p, batch).item() * static_cast<double>(some.size()) / static_cast<double>(all);
  }
  return readings;
}

// Without a network: lines are cut into as many equal parts as their width suggests, and each part
// is compared with the mean image of each digit.
Reading by_templates(const Material& m) {
  const std::int64_t size = m.lines.digits.size, pixels = size * size;
  std::vector<std::vector<double>> means(10, std::vector<double>(static_cast<std::size_t>(pixels)));
  std::vector<double> counts(10);
  for (const std::int64_t i : m.choices) {
    const auto digit = static_cast<std::size_t>(m.lines.digits.labels[static_cast<std::size_t>(i)]);
    ++counts[digit];
    for (std::int64_t p = 0; p < pixels; ++p)
      means[digit][static_cast<std::size_t>(p)] +=
          m.lines.digits.pixels[static_cast<std::size_t>(i * pixels + p)];
  }
  Reading reading;
  for (const Line& line : m.held) {
    const common::Image image = m.measured.image(line);
    const double advance = 0.83 * static_cast<double>(size);
    const auto parts = std::max<std::int64_t>(
        1, std::lround((static_cast<double>(line.width - size)) / advance) + 1);
    std::string text;
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t left =
          parts == 1 ? (line.width - size) / 2 : part * (line.width - size) / (parts - 1);
      double best = 1e300;
      char digit = '0';
      for (std::size_t d = 0; d < 10; ++d) {
        double distance = 0;
        for (std::int64_t p = 0; p < pixels; ++p) {
          const double mean = counts[d] > 0 ? means[d][static_cast<std::size_t>(p)] / counts[d] : 0;
          const std::int64_t column = std::clamp<std::int64_t>(left + p % size, 0, line.width - 1);
          distance += std::pow(image.at(kDown / 2 + p / size, column) / 255.0 - mean, 2);
        }
        if (distance < best) best = distance, digit = static_cast<char>('0' + d);
      }
      text += digit;
    }
    reading.add(text, m.measured.text(line));
  }
  return reading;
}

// A line, the probabilities of the classes above its columns, and, of an MD-LSTM, what each of the
// four directions says at each place.
std::string picture(const LineModel& model, const Batch& batch, const std::string& truth,
                    bool grid) {
  constexpr double kScale = 5, kLeft = 40, kRow = 12;
  const Var answer = model(batch);
  const Tensor p = exp(answer).value().cpu().contiguous();
  const std::int64_t steps = steps_of(batch)[0], height = batch.images.dim(2);
  common::Image line{height, batch.widths[0], 1, {}};
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < batch.widths[0]; ++column)
      line.pixels.push_back(
          static_cast<std::uint8_t>(255 - 255 * batch.images.at({0, 0, row, column})));
  }
  common::Svg svg(common::Svg::Digits::two_decimals);
  const std::string found = text_of(decode(answer, batch, 8)[0].labels);
  svg.text(14, 24, fmt::format("read as {}{}", found, truth.empty() ? "" : ", is " + truth),
           {.size = 15, .bold = true});
  const double width = kScale * static_cast<double>(batch.widths[0]);
  double top = 40;
  svg.image(kLeft, top, width, kScale * static_cast<double>(height), common::data_uri_of(line));
  top += kScale * static_cast<double>(height) + 12;
  for (std::int64_t c = 0; c < kClasses; ++c, top += kRow) {
    svg.text(kLeft - 8, top + 10, c == 0 ? "blank" : std::to_string(c - 1),
             {.size = 10, .anchor = common::Svg::Anchor::end});
    for (std::int64_t t = 0; t < steps; ++t) {
      svg.rectangle(kLeft + 4 * kScale * static_cast<double>(t), top, 4 * kScale - 1, kRow - 1,
                    "#0072b2", p.at({t, 0, c}));
    }
  }
  top += 16;
  if (grid) {
    const Tensor ys = model.activations(batch);  // [rows, columns, 4 * hidden]
    const std::int64_t units = ys.dim(2) / 4;
    const char* const names[] = {"from the top left", "from the bottom left", "from the top right",
                                 "from the bottom right"};
    for (std::int64_t direction = 0; direction < 4; ++direction) {
      common::Image image{ys.dim(0), steps, 1, {}};
      for (std::int64_t row = 0; row < ys.dim(0); ++row) {
        for (std::int64_t column = 0; column < steps; ++column) {
          double sum = 0;
          for (std::int64_t unit = 0; unit < units; ++unit)
            sum += std::abs(ys.at({row, column, direction * units + unit}));
          image.pixels.push_back(static_cast<std::uint8_t>(
              255 - 255 * std::min(1.0, 1.5 * sum / static_cast<double>(units))));
        }
      }
      svg.text(kLeft, top + 10, fmt::format("mean activity of the direction {}", names[direction]),
               {.size = 11});
      svg.image(kLeft, top + 16, width, 60, common::data_uri_of(image));
      top += 88;
    }
  }
  return svg.document(kLeft + width + 14, top, "A line of digits, and what was read");
}

void run(const common::CommonOptions& common, Settings& s, bool resume) {
  const Material m = material_of(s, common.seed);
  Random random(common.seed);
  const LineModel model(s.model, m.lines.height(), random);
  nn::move(model, common.device);
  const auto now = std::make_shared<std::optional<Batch>>();
  common::Task task{
      .draw =
          [&] {
            std::vector<Line> list;
            for (std::int64_t i = 0; i < s.training.batch; ++i) {
              list.push_back(m.given.empty()
                                 ? draw_line(m.lines, m.choices, s.least, s.most, model.samples)
                                 : m.given[model.samples.below(m.given.size())]);
            }
            now->emplace(batch_of(m.lines, list));
          },
      .loss = [&] { return model.loss(model(**now), **now); },
      .validate =
          [&] {
            const Readings few = read(model, m, 64, 1);
            return common::Score{few.nats, few.path.exact_match(),
                                 fmt::format(", character errors {:.4f}", few.path.error_rate())};
          },
      .notes = common::notes_of(table_of(s))};
  task.notes["program"] = "read_lines";
  task.notes["seed"] = std::to_string(common.seed);
  task.notes["data"] =
      fmt::format("{:016x} {}", common::hash_of(m.lines.digits.pixels), m.given.size());
  common::TaskTraining training(model, s.training, std::move(task));
  common::print("lines of {} pixels, {} digits, {}; parameters {}\n", m.lines.height(),
                m.lines.digits.count(),
                m.given.empty() ? "drawn for each update" : fmt::format("{} lines", m.given.size()),
                nn::parameter_count(model));
  const common::Run::Result done = common::train(training, common.out, "lines", resume);
  common::print("\n{:<34} character errors   lines right\n",
                fmt::format("on {} {}", m.held.size(),
                            s.test.empty() ? "held-out lines" : "lines of --test"));
  const auto report = [](const std::string& name, const Reading& r) {
    common::print("{:<34} {:>14.2f} % {:>11.1f} %\n", name, 100 * r.error_rate(),
                  100 * r.exact_match());
  };
  const auto [path, beam, nats] = read(model, m, m.held.size(), s.beams);
  report(fmt::format("{}, beam search of {}", s.model.net, s.beams), beam);
  report(fmt::format("{}, the likeliest path", s.model.net), path);
  report("mean images of digits, no network", by_templates(m));
  if (!s.read.empty()) {
    const Batch own = batch_of(common::read_image(s.read, 1), m.lines.height());
    common::print("\n{}: {}\n", s.read, text_of(decode(model(own), own, s.beams)[0].labels));
    write_file(common.out + "/read.svg", picture(model, own, "", s.model.net == "md_lstm"));
    common::print("the picture: {}/read.svg\n", common.out);
  }
  const std::string file = common.out + "/line.svg";
  write_file(file, picture(model, batch_of(m.measured, {m.held[0]}), m.measured.text(m.held[0]),
                           s.model.net == "md_lstm"));
  common::print("the picture: {}\n", file);
  if (common.json.empty()) return;
  common::write_json(common.json, {{"character_error_rate", beam.error_rate()},
                                   {"exact_match", beam.exact_match()},
                                   {"greedy_error_rate", path.error_rate()},
                                   {"loss", nats},
                                   {"updates", training.updates()},
                                   {"train_cpu_seconds", done.cpu_seconds}});
}

}  // namespace
}  // namespace read_lines

int main(int argc, char** argv) {
  using namespace read_lines;
  common::CommonOptions options;
  Settings settings;
  bool resume = false;
  common::CommandLine line(options, "read_lines",
                           "Reads lines of digits as text. It is told what a line says, not where "
                           "its digits are. Without --data it learns digits that the program "
                           "draws.");
  line.add(
      {common::free_text("--data", settings.data, "FILE|FOLDER",
                         "a folder with MNIST's files *images-idx3-ubyte and *labels-idx1-ubyte, "
                         "packed by gzip or not, whose digits are set in lines; or a list of lines "
                         "beside them, with width, label, and index@x,y of each digit between tabs",
                         {.not_empty = true}),
       common::free_text("--test", settings.test, "FILE|FOLDER",
                         "measure on the lines of such a list, not on held-out ones",
                         {.not_empty = true}),
       common::free_text("--read", settings.read, "FILE.png",
                         "read this image of a line: PNG, JPEG, PGM or PPM", {.not_empty = true}),
       common::count("--beams", settings.beams, 1, 1000, "prefixes that beam search keeps")});
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv,
      [&] {
        common::check_writable(options.out + "/line.svg");
        if (!settings.read.empty()) common::read_image(settings.read);  // before it trains
        run(options, settings, resume);
      },
      [&] {
        common::note_run(options, resume);
        options.writes.push_back({"the picture", options.out + "/line.svg"});
        if (!settings.read.empty()) {
          options.reads.push_back({"--read", settings.read});
          options.writes.push_back({"the picture of --read", options.out + "/read.svg"});
        }
        if (settings.least > settings.most) {
          throw common::UsageError(
              fmt::format("--least is {}, --most {}; a line has --least to "
                          "--most digits",
                          settings.least, settings.most));
        }
        if (!options.quick) return;
        line.preset("--updates", 6);
        line.preset("--validate-every", 6);
        line.preset("--batch", 4);
        line.preset("--hidden", 6);
        line.preset("--most", 3);
      });
}
