// SPDX-License-Identifier: MIT
// Options, the presets of the tasks, and which options belong to which task.
#include "examples/seq2seq/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "examples/seq2seq/tasks/addition.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/choice/cell_choice.h"

namespace seq2seq {
namespace {

namespace fs = std::filesystem;
using common::UsageError;

// The tasks of an option. Options that are not listed belong to all tasks.
struct Belongs {
  const char* option;
  std::string_view tasks;
};
constexpr std::array kBelongs = {
    Belongs{"--data", "dates, translate"},
    Belongs{"--test", "dates, translate"},
    Belongs{"--source-unit", "dates, translate"},
    Belongs{"--target-unit", "dates, translate"},
    Belongs{"--min-count", "dates, translate"},
    Belongs{"--max-units", "dates, translate"},
    Belongs{"--longest", "reverse, copy"},
    Belongs{"--attention", "dates, translate, add"},
    Belongs{"--pairs", "dates, reverse, copy, add"},
    Belongs{"--base", "add"},
    Belongs{"--digits", "add"},
    Belongs{"--beam", "dates, translate, add"},
    Belongs{"--length-penalty", "dates, translate, add"},
    Belongs{"--samples", "dates, translate, add"},
    Belongs{"--pictures", "dates, translate, add"},
};
// Options without effect on the adder of bits.
constexpr std::array kNotForBits = {
    "--cell",     "--one-direction", "--layers",         "--embedding", "--attention",
    "--attend",   "--dropout",       "--decay",          "--pairs",     "--max-length",
    "--patience", "--beam",          "--length-penalty", "--samples",   "--pictures"};

// The files that the tasks write into --out.
constexpr std::array kFiles = {"last.safetensors",
                               "best.safetensors",
                               "attention.svg",
                               "lengths.svg",
                               "carry.svg",
                               "attention/last.safetensors",
                               "attention/best.safetensors",
                               "plain/last.safetensors",
                               "plain/best.safetensors"};

bool is_of(const Belongs& belongs, const std::string& task) {
  return belongs.tasks.find(task) != std::string_view::npos;
}

bool adds_bits(const Arguments& a) { return a.task == "add" && a.base == 2; }

// Leaves options that have no effect out of --help.
void hide_others(common::CommandLine& line, const Arguments& a) {
  for (const Belongs& belongs : kBelongs) {
    if (!is_of(belongs, a.task)) line.hide(belongs.option);
  }
  if (!adds_bits(a)) return;
  for (const char* option : kNotForBits) line.hide(option);
}

void check_options_of_task(const common::CommandLine& line, const Arguments& a) {
  for (const Belongs& belongs : kBelongs) {
    if (line.given(belongs.option) && !is_of(belongs, a.task)) {
      throw UsageError(
          fmt::format("{} is an option of {}, not of {}", belongs.option, belongs.tasks, a.task));
    }
  }
  if (!adds_bits(a)) return;
  for (const char* option : kNotForBits) {
    if (line.given(option)) {
      throw UsageError(
          fmt::format("{0} has no effect on --base 2, where a plain RNN adds bits; give --base 10 "
                      "too, or leave {0} out",
                      option));
    }
  }
}

void check_options(const common::CommandLine& line, const Arguments& a) {
  if (a.from_checkpoint()) {
    if (a.resume) {
      throw UsageError("--resume trains, --translate and --interactive do not; choose one");
    }
    line.check_effect({"TASK", "--translate", "--interactive", "--model", "--out", "--json",
                       "--threads", "--device", "--base", "--beam", "--length-penalty"},
                      a.translate_given ? "--translate, which trains nothing"
                                        : "--interactive, which trains nothing");
    return;
  }
  check_options_of_task(line, a);
  if (a.base != 2 && a.base != 10) {
    throw UsageError(fmt::format("--base is {}, expected 2 or 10", a.base));
  }
  if (a.base == 10 && a.digits > kMostDigits) {
    throw UsageError(
        fmt::format("--digits is {}, expected 1 to {} decimal digits", a.digits, kMostDigits));
  }
  if (!a.model.empty()) {
    throw UsageError(
        "--model names a checkpoint to translate with; give --translate TEXT or --interactive too; "
        "to continue a training run, give --resume and its folder by --out");
  }
}

// Width and length penalty of the search if the user gave none.
SearchOptions usual_search(const std::string& task) {
  return task == "translate" ? SearchOptions{.beams = 4, .length_penalty = 0.6} : SearchOptions{};
}

// The checkpoints in a folder and two levels below: "attention/best.safetensors,
// plain/last.safetensors".
std::string checkpoints_in(const fs::path& folder) {
  constexpr std::size_t kMost = 6;
  std::vector<std::string> found;
  std::error_code ignored;
  fs::recursive_directory_iterator at(folder, ignored);
  for (; at != fs::recursive_directory_iterator(); at.increment(ignored)) {
    if (at.depth() > 1) at.disable_recursion_pending();
    if (at->path().extension() == ".safetensors") {
      found.push_back(at->path().lexically_relative(folder).string());
    }
  }
  std::sort(found.begin(), found.end());
  const bool more = found.size() > kMost;
  if (more) found.resize(kMost);
  return fmt::format("{}{}", fmt::join(found, ", "), more ? ", ..." : "");
}

}  // namespace

std::string Arguments::best() const {
  if (!model.empty()) return model;
  std::error_code ignored;
  // The second name is for reverse and copy: their model with attention.
  for (const char* name : {"best.safetensors", "attention/best.safetensors"}) {
    const fs::path path = fs::path(common.out) / name;
    if (fs::exists(path, ignored)) return path.string();
  }
  if (!fs::is_directory(common.out, ignored)) {
    throw tapeloop::FileError(
        fmt::format("--out: there is no folder {}; train first, name the folder of a run by --out, "
                    "or a checkpoint by --model",
                    common.out));
  }
  const std::string others = checkpoints_in(common.out);
  if (others.empty()) {
    throw tapeloop::FileError(fmt::format(
        "--out: there is no checkpoint in {}; train first, or name the folder of a run by --out",
        common.out));
  }
  throw tapeloop::FileError(
      fmt::format("--out: there is no best.safetensors in {}, but there is {}; name one by --model",
                  common.out, others));
}

SearchOptions Arguments::search() const {
  const SearchOptions usual = usual_search(task);
  return {.beams = beams_given ? beams : usual.beams,
          .length_penalty = penalty_given ? length_penalty : usual.length_penalty,
          .max_length = 2 * settings.most_symbols + 1};
}

void add_options(common::CommandLine& line, Arguments& a) {
  using namespace common;
  line.add({
      choice("TASK", a.task, {"dates", "translate", "reverse", "copy", "add"},
             "dates: dates in words or digits -> ISO 8601; translate: English -> Chinese, or the "
             "pairs of --data; reverse, copy: letters, with and without attention; add: sums"),
      free_text("--data", a.data, "FILE",
                "UTF-8 file of pairs to learn, a line each: source TAB target [TAB anything] "
                "(default: built-in pairs)",
                {.not_empty = true}),
      free_text("--test", a.test, "FILE",
                "file of pairs to test with (default: a part of the data is held out)",
                {.not_empty = true}),
      choice("--source-unit", a.source_unit, {"character", "word"},
             "units of the source (default of translate: word)"),
      choice("--target-unit", a.target_unit, {"character", "word"}, "units of the target"),
      count("--min-count", a.smallest_count, 1, kAnyCount,
            "the vocabulary leaves out units that occur less often"),
      count("--max-units", a.most_units, 1, 1 << 24,
            "most units in a vocabulary; the commonest ones are kept"),
      longest_of(a.settings),
      count("--pairs", a.pairs, 1, 1 << 24, "number of training pairs, if the program makes them"),
      count("--longest", a.longest, 1, 5000, "reverse, copy: most letters of a training pair"),
      count("--base", a.base, 2, 10,
            "add: with 2, a plain RNN adds bit by bit; with 10, an encoder and a decoder translate "
            "the sum"),
      count("--digits", a.digits, 1, kMostBits, "add: digits of the numbers in training"),
  });
  line.add(table_of(a.settings));
  line.add({
      count("--validate-every", a.validate_every, 1, kAnyCount,
            "updates from one validation to the next; each saves a checkpoint"),
      count("--patience", a.settings.patience, 0, kAnyCount,
            "stop after this many validations in a row without a better one; 0: never"),
      count("--beam", a.beams, 1, 1000, "width of the beam search; 1: greedy"),
      number("--length-penalty", a.length_penalty, 0, 10,
             "higher values prefer longer translations in the beam search; 0.6 to 1 is usual"),
      count("--samples", a.samples, 0, 100000, "translations to print"),
      count("--pictures", a.pictures, 1, 100, "translations in the attention picture"),
      flag(
          "--resume", a.resume,
          "continue the run from DIR/last.safetensors up to --updates, which may be another number "
          "than before; without this option a new run replaces the files in DIR"),
      free_text("--translate", a.translate, "TEXT", "do not train; translate this text"),
      flag("--interactive", a.interactive,
           "do not train; translate the lines of the standard input"),
      free_text("--model", a.model, "FILE",
                "the checkpoint for --translate and --interactive (default: DIR/best.safetensors)",
                {.not_empty = true}),
  });
}

void fill_in(common::CommandLine& line, Arguments& a) {
  a.task_given = line.given("TASK");
  a.translate_given = line.given("--translate");
  Settings& s = a.settings;
  line.preset("--out", fmt::format("out/seq2seq/{}",
                                   a.task == "add" && a.base == 10 ? "add-decimal" : a.task));
  if (a.task == "translate") {
    line.preset("--source-unit", "word");
    line.preset("--hidden", 128);
    line.preset("--embedding", 64);
    line.preset("--lr", 0.001);
    line.preset("--updates", a.data.empty() ? 1200 : 4000);  // a model soon memorizes few pairs
    if (a.data.empty()) line.preset("--validate-every", 100);
  }
  if (adds_bits(a)) {
    line.preset("--hidden", 16);
    line.preset("--batch", 64);
    line.preset("--lr", 0.01);
    line.preset("--updates", 2000);
  }
  if (a.task == "add" && a.base == 10) line.preset("--digits", 4);
  if (a.common.quick) {
    line.preset("--updates", 60);
    line.preset("--validate-every", 30);
    line.preset("--hidden", 16);
    line.preset("--embedding", 8);
    line.preset("--pairs", 500);
    line.preset("--longest", 6);
  }
  const SearchOptions usual = usual_search(a.task);
  a.beams_given = line.given("--beam");
  a.penalty_given = line.given("--length-penalty");
  line.preset("--beam", static_cast<double>(usual.beams));
  line.preset("--length-penalty", usual.length_penalty);
  s.task = a.task;
  s.seed = a.common.seed;
  s.model.device = a.common.device;
  a.common.folder = a.from_checkpoint() ? common::OutFolder::read
                    : a.resume          ? common::OutFolder::continued
                                        : common::OutFolder::written;
  a.common.reads = {{"--data", a.data}, {"--test", a.test}, {"--model", a.model}};
  auto& own = a.from_checkpoint() ? a.common.reads : a.common.writes;
  for (const char* name : kFiles) own.push_back({"a file of the run", a.common.out + "/" + name});
  if (a.task_given) {
    hide_others(line, a);
  } else {
    line.footer(
        "The defaults shown are those of dates; `seq2seq TASK --help` shows the defaults of "
        "another task.");
  }
  if (tapeloop::nn::cell_has_equal_sizes(tapeloop::nn::CellChoice(s.model.cell).cell())) {
    throw UsageError(
        fmt::format("--cell {}: its input must be as wide as its output, which that "
                    "of a decoder is not; choose another cell",
                    s.model.cell));
  }
  check_options(line, a);
}

}  // namespace seq2seq
