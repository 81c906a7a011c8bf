// SPDX-License-Identifier: MIT
// grid_lstm: a Grid LSTM on three tasks of Kalchbrenner, Danihelka & Graves 2015, arXiv:1507.01526.
//   parity     k bits enter a column of blocks at once. Is the number of ones odd?
//   add        -27-85 is read digit by digit; then the digits of the sum are said, 112
//   memorise   symbols are read, then said again
// Every sample is new, so the loss is that of unseen samples. Without arguments it memorises 6 of 8
// symbols: 99 % of unseen samples are wholly right after some 26,000 samples, 7 s on one core.
// Long numbers are learned by way of short ones: 5 digits after some 1.2 million samples, 140 s of
// CPU.
#include <fmt/format.h>

#include "examples/common/console.h"
#include "examples/common/options.h"
#include "examples/common/task_training.h"
#include "tapeloop/tapeloop.h"

namespace structures {
namespace {

using namespace tapeloop;
using common::Score;
using common::score_of;
using common::Task;
using common::TaskTraining;
using common::TrainingSettings;

constexpr double kLearned = 0.9;  // samples of one length that are right before it grows

struct GridSettings {
  std::string task = "memorise";
  std::int64_t length = 6;       // bits, digits or symbols of a sample
  std::int64_t symbols = 8;      // of memorise
  std::int64_t hidden = 64;      // units of each dimension of a block
  std::int64_t depth = 4;        // blocks above each other
  bool untied = false;           // each level of depth has weights of its own
  std::string lengths = "same";  // of the samples of an update
  TrainingSettings training{.learning_rate = 3e-3};
};

common::SettingsTable table_of(GridSettings& s) {
  using namespace common;
  SettingsTable rows = {
      choice("--task", s.task, {"memorise", "add", "parity"}, "what is learned").noted(),
      count("--length", s.length, 1, 1000, "symbols, digits of a number, or bits of a sample")
          .noted(),
      count("--symbols", s.symbols, 2, 10000, "different symbols of `memorise`").noted(),
      count("--hidden", s.hidden, 1, 65536, "units of a block in each dimension").noted(),
      count("--depth", s.depth, 1, 1000, "blocks above each other").noted(),
      flag("--untied", s.untied, "weights of their own for each level of depth").noted(),
      choice("--lengths", s.lengths, {"same", "mixed", "growing"},
             "samples of an update: all of --length; a length of its own from 1 to --length; "
             "or as mixed, up to a length that grows. Validations have --length")
          .noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

// Samples: the symbols or bits to read, and the right answers at the last steps.
struct Samples {
  Tensor x;       // symbols [T, N], or bits [N, k]
  Tensor answer;  // [A, N]: of the last A steps
};

// n samples of k symbols, digits or bits. Where bits are missing from `length`, the input is 0.
Samples draw(const GridSettings& s, std::int64_t k, std::int64_t n, Random& random) {
  if (s.task == "parity") {
    std::vector<double> bits;
    std::vector<std::int64_t> odd;
    for (std::int64_t i = 0; i < n; ++i) {
      std::int64_t ones = 0;
      for (std::int64_t j = 0; j < k; ++j) {
        const bool one = random.uniform() < 0.5;
        bits.push_back(one ? 1 : -1);
        ones += one ? 1 : 0;
      }
      bits.resize(bits.size() + static_cast<std::size_t>(s.length - k), 0);
      odd.push_back(ones % 2);
    }
    return {Tensor::from<double>({n, s.length}, bits).to(DType::float32),
            Tensor::from({1, n}, odd)};
  }
  const bool adds = s.task == "add";
  const std::int64_t steps = adds ? 3 * k + 3 : 2 * k, said = adds ? k + 1 : k;
  std::vector<std::int64_t> x(static_cast<std::size_t>(steps * n)),
      answer(static_cast<std::size_t>(said * n));
  const auto at = [n](std::vector<std::int64_t>& list, std::int64_t t,
                      std::int64_t i) -> std::int64_t& {
    return list[static_cast<std::size_t>(t * n + i)];
  };
  const std::int64_t values = adds ? 10 : s.symbols, mark = values;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t t = 0; t < steps; ++t) at(x, t, i) = mark;
    std::int64_t carry = 0;
    for (std::int64_t j = k; j-- > 0;) {  // from the last symbol or digit
      const auto next = [&] {
        return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(values)));
      };
      const std::int64_t a = next();
      if (!adds) {
        at(x, j, i) = at(answer, j, i) = a;
        continue;
      }
      const std::int64_t b = next(), sum = a + b + carry;
      at(x, 1 + j, i) = a;
      at(x, 2 + k + j, i) = b;
      at(answer, j + 1, i) = sum % 10;
      carry = sum / 10;
    }
    if (adds) at(answer, 0, i) = carry;
  }
  return {Tensor::from({steps, n}, x), Tensor::from({said, n}, answer)};
}

struct GridModel {
  bool parity;
  std::int64_t depth;
  nn::Linear from_bits;
  nn::Embedding embed;
  nn::GridLstm grid;
  nn::Linear head;
  mutable Random samples;
  Var longest;  // a buffer of `growing`: the length that the samples have reached

  GridModel(const GridSettings& s, Random& random)
      : parity(s.task == "parity"), depth(s.depth), samples(random.split()) {
    const std::int64_t values = s.task == "add" ? 10 : s.symbols;
    if (parity) {
      from_bits = nn::Linear(s.length, s.hidden, random);
    } else {
      embed = nn::Embedding(values + 1, s.hidden, random);
    }
    nn::GridLstmOptions options{.hidden = s.hidden,
                                .dimensions = parity ? 1 : 2,
                                .priority = parity ? std::vector<int>{} : std::vector<int>{1},
                                .bias = true};
    if (s.untied) {
      options.untied = parity ? 0 : 1;
      options.untied_size = s.depth;
    }
    grid = nn::GridLstm(options, random);
    head = nn::Linear(s.hidden, parity ? 2 : values, random);
    if (s.lengths == "growing") longest = Var(Tensor::full({}, 1));
  }
  // The logits of the last `steps` steps, [steps, N, values].
  Var operator()(const Samples& batch) const {
    const std::int64_t said = batch.answer.dim(0);
    if (parity) {
      const nn::GridSides out =
          grid({.h = {from_bits(Var(batch.x.to(head.weight.device())))}, .m = {}}, {depth});
      return insert_axis(head(out.h[0]), 0);
    }
    const std::int64_t steps = batch.x.dim(0);
    const nn::GridSides out = grid({.h = {Var(), embed(batch.x)}, .m = {}}, {steps, depth});
    return head(slice(out.h[1], 0, steps - said, steps));
  }
  void visit(nn::Visitor& v) const {
    if (parity) {
      v("from_bits", from_bits);
    } else {
      v("embed", embed);
    }
    v("grid", grid), v("head", head), v("samples", samples);
    v.buffer("longest", longest);
  }
};

// The length of the next update's samples. Where lengths grow, half of the updates have the
// longest so far: Zaremba & Sutskever 2014, "Learning to Execute", arXiv:1410.4615, section 4.
std::int64_t next_length(const GridSettings& s, std::int64_t longest, Random& random) {
  if (s.lengths == "same") return s.length;
  if (s.lengths == "growing" && random.uniform() < 0.5) return longest;
  return 1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(longest)));
}

void run(const common::CommonOptions& common, GridSettings& s, bool resume) {
  Random random(common.seed);
  const GridModel model(s, random);
  nn::move(model, common.device);
  const auto score = [&](std::int64_t length) {  // of the same samples at every call
    Random other(common.seed + 1);
    const Samples validation = draw(s, length, 1000, other);
    return score_of(model(validation), validation.answer);
  };
  const bool growing = model.longest.defined();
  const auto longest = [&] {
    return growing ? static_cast<std::int64_t>(model.longest.item()) : s.length;
  };
  Samples batch;
  Task task{.draw =
                [&] {
                  batch = draw(s, next_length(s, longest(), model.samples), s.training.batch,
                               model.samples);
                },
            .loss = [&] { return cross_entropy(model(batch), batch.answer); },
            .validate =
                [&] {
                  Score whole = score(s.length);
                  if (!growing) return whole;
                  const std::int64_t length = longest();
                  const Score now = length < s.length ? score(length) : whole;
                  whole.remark = fmt::format("; of length {}: {:.4f}", length, now.right);
                  if (now.right >= kLearned && length < s.length) {
                    model.longest.value().fill(static_cast<double>(length + 1));
                  }
                  return whole;
                },
            .notes = common::notes_of(table_of(s))};
  task.notes["program"] = "grid_lstm";
  task.notes["seed"] = std::to_string(common.seed);
  TaskTraining training(model, s.training, std::move(task));
  common::print("{} of {}{}: {} blocks of depth, {} units, {}tied, parameters {}, seed {}\n",
                s.task, s.length, s.lengths == "same" ? "" : ", " + s.lengths, s.depth, s.hidden,
                s.untied ? "un" : "", nn::parameter_count(model), common.seed);
  common::train_and_report(training, common, "samples", resume);
}

}  // namespace
}  // namespace structures

int main(int argc, char** argv) {
  using namespace structures;
  common::CommonOptions options;
  GridSettings settings;
  bool resume = false;
  common::CommandLine line(
      options, "grid_lstm",
      "A Grid LSTM of time x depth learns to memorise symbols or to add numbers, and one of depth "
      "alone learns parity. Every sample is new.");
  line.add(table_of(settings));
  line.add(common::resume_setting(resume));
  return line.run(
      argc, argv, [&] { run(options, settings, resume); },
      [&] {
        common::note_run(options, resume);
        if (options.quick) {
          line.preset("--length", 3);
          line.preset("--symbols", 4);
          line.preset("--hidden", 16);
          line.preset("--depth", 2);
          line.preset("--updates", 100);
          line.preset("--validate-every", 50);
        } else if (settings.task == "add") {
          line.preset("--length", 5);
          line.preset("--lengths", "growing");
          line.preset("--updates", 60000);
          line.preset("--validate-every", 500);
        } else if (settings.task == "parity") {
          line.preset("--length", 10);
          line.preset("--hidden", 256);
          line.preset("--depth", 5);
          line.preset("--lr", 1e-3);
        }
      });
}
