// SPDX-License-Identifier: MIT
// Options, the presets of the tasks, and which options belong to which task.
#include "examples/seq2seq/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <string_view>

#include "examples/seq2seq/tasks/addition.h"
#include "tapeloop/autograd/tensor/error.h"

namespace seq2seq {
namespace {

namespace fs = std::filesystem;
using common::add_count, common::add_number, common::kAnyCount, common::UsageError;

void add_choice(CLI::App& app, const std::string& name, std::string& value,
                const std::vector<std::string>& choices, const std::string& help) {
  app.add_option(name, value, help)
      ->check(CLI::IsMember(choices).description(""))
      ->type_name(fmt::format("{}", fmt::join(choices, "|")))
      ->default_str(value);
}

void add_data_options(CLI::App& app, Arguments& a) {
  app.add_option(
         "--data", a.data,
         "pairs to learn from, source TAB target [TAB anything], UTF-8; without it, what is "
         "built in (dates, translate)")
      ->type_name("FILE")
      ->check(common::not_empty());
  app.add_option("--test", a.test,
                 "pairs to measure with; without it, a share of the data is held out")
      ->type_name("FILE")
      ->check(common::not_empty());
  add_choice(app, "--source-unit", a.source_unit, {"character", "word"},
             "what the source is read by (translate: word)");
  add_choice(app, "--target-unit", a.target_unit, {"character", "word"},
             "what the target is written by");
  add_count(app, "--min-count", a.smallest_count, 1, kAnyCount,
            "rarer units are unknown to the vocabulary");
  add_count(app, "--max-units", a.most_units, 1, 1 << 24, "units of a vocabulary; the commonest");
  add_count(app, "--max-length", a.settings.most_symbols, 1, 10000,
            "longer sentences are left out of training, and refused");
  add_count(app, "--pairs", a.pairs, 1, 1 << 24, "pairs to make for training, where they are made");
  add_count(app, "--longest", a.longest, 1, 5000, "reverse, copy: most letters in training");
  add_count(app, "--base", a.base, 2, 10, "add: 2, bit by bit; 10, as a translation");
  add_count(app, "--digits", a.digits, 1, kMostBits, "add: digits of the numbers in training");
}

void add_model_options(CLI::App& app, Arguments& a) {
  constexpr double kAnyNumber = std::numeric_limits<double>::infinity();
  Settings& s = a.settings;
  add_choice(app, "--cell", s.model.cell, {"gru", "lstm", "rnn"}, "of encoder and decoder");
  app.add_flag("--one-direction{false},--two-directions{true}", s.model.bidirectional,
               "how the encoder reads (two directions)");
  add_count(app, "--layers", s.model.layers, 1, 100, "layers of encoder and decoder");
  add_count(app, "--hidden", s.model.hidden, 1, 65536, "units of a layer in one direction");
  add_count(app, "--embedding", s.model.embedding, 1, 65536, "size of a symbol's vector");
  add_choice(app, "--attention", s.model.attention,
             {"additive", "dot", "general", "cosine", "none"},
             "how the decoder compares; none: a plain encoder-decoder");
  add_choice(app, "--attend", s.model.attend, {"before", "after"},
             "the decoder looks before a step (Bahdanau) or after it (Luong)");
  add_number(app, "--dropout", s.model.dropout, 0, 0.99, "between layers");
  add_count(app, "--batch", s.batch, 1, 1 << 20, "pairs in an update");
  add_count(app, "--updates", s.updates, 1, kAnyCount, "updates of the weights");
  add_number(app, "--lr", s.learning_rate, 0, kAnyNumber, "Adam's learning rate");
  add_number(app, "--decay", s.decay, 0, 1,
             "over this last share of the updates the learning rate falls to 0");
  add_number(app, "--clip", s.clip, 0, kAnyNumber,
             "largest global norm of the gradient; 0: no clipping");
  add_count(app, "--validate-every", a.validate_every, 1, kAnyCount,
            "updates between validations, each of which saves a checkpoint");
  add_count(app, "--patience", a.patience, 0, kAnyCount,
            "stop after so many validations without a better one; 0: never");
}

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
void hide_others(CLI::App& app, const Arguments& a) {
  for (const Belongs& belongs : kBelongs) {
    if (!is_of(belongs, a.task)) app.get_option(belongs.option)->group("");
  }
  if (!adds_bits(a)) return;
  for (const char* option : kNotForBits) app.get_option(option)->group("");
}

void check_options_of_task(const CLI::App& app, const Arguments& a) {
  for (const Belongs& belongs : kBelongs) {
    if (app.count(belongs.option) > 0 && !is_of(belongs, a.task)) {
      throw UsageError(
          fmt::format("{} is an option of {}, not of {}", belongs.option, belongs.tasks, a.task));
    }
  }
  if (!adds_bits(a)) return;
  for (const char* option : kNotForBits) {
    if (app.count(option) > 0) {
      throw UsageError(
          fmt::format("{} has no meaning for sums of bits, which a plain RNN adds; "
                      "give --base 10 too, or leave it out",
                      option));
    }
  }
}

void check_options(const CLI::App& app, const Arguments& a) {
  if (a.from_checkpoint()) {
    if (a.resume) {
      throw UsageError("--resume trains, --translate and --interactive do not; choose one");
    }
    common::check_effect(app,
                         {"TASK", "--translate", "--interactive", "--model", "--out", "--json",
                          "--threads", "--device", "--base", "--beam", "--length-penalty"},
                         a.translate_given ? "--translate, which trains nothing"
                                           : "--interactive, which trains nothing");
    return;
  }
  check_options_of_task(app, a);
  if (a.base != 2 && a.base != 10) {
    throw UsageError(fmt::format("--base is {}, expected 2 or 10", a.base));
  }
  if (a.base == 10 && a.digits > kMostDigits) {
    throw UsageError(
        fmt::format("--digits is {}, expected 1 to {} decimal digits", a.digits, kMostDigits));
  }
  if (!a.model.empty()) {
    throw UsageError(
        "--model names a checkpoint to translate with; give --translate TEXT or "
        "--interactive too, or --resume to go on with that of --out");
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

void add_options(CLI::App& app, Arguments& a) {
  common::add_common(app, a.common, "seq2seq");
  app.add_option(
         "TASK", a.task,
         "dates: written by people -> ISO 8601; translate: English -> Chinese, or any pairs; "
         "reverse, copy: letters, with attention and without; add: sums")
      ->check(CLI::IsMember({"dates", "translate", "reverse", "copy", "add"}))
      ->default_str(a.task);
  add_data_options(app, a);
  add_model_options(app, a);
  add_count(app, "--beam", a.beams, 1, 1000, "width of the search; 1: greedy");
  add_number(app, "--length-penalty", a.length_penalty, 0, 10,
             "favours longer translations in a beam; about 0.6 to 1");
  add_count(app, "--samples", a.samples, 0, 100000, "translations to print");
  add_count(app, "--pictures", a.pictures, 1, 100, "translations in the attention picture");
  app.add_flag("--resume", a.resume, "go on from DIR/last.safetensors; else DIR is written anew");
  app.add_option("--translate", a.translate, "train nothing, translate this")->type_name("TEXT");
  app.add_flag("--interactive", a.interactive, "train nothing, translate line by line");
  app.add_option("--model", a.model,
                 "the checkpoint for these two; without it, DIR/best.safetensors")
      ->type_name("FILE")
      ->check(common::not_empty());
}

void fill_in(CLI::App& app, Arguments& a) {
  a.task_given = app.count("TASK") > 0;
  a.translate_given = app.count("--translate") > 0;
  const auto set = [&](const char* option, auto& value, const auto& preset) {
    common::preset(app, option, value, preset);
  };
  Settings& s = a.settings;
  set("--out", a.common.out,
      fmt::format("out/seq2seq/{}", a.task == "add" && a.base == 10 ? "add-decimal" : a.task));
  if (a.task == "translate") {
    set("--source-unit", a.source_unit, "word");
    set("--hidden", s.model.hidden, 128);
    set("--embedding", s.model.embedding, 64);
    set("--lr", s.learning_rate, 0.001);
    set("--updates", s.updates, a.data.empty() ? 1200 : 4000);  // a model soon memorizes few pairs
    if (a.data.empty()) set("--validate-every", a.validate_every, 100);
  }
  if (adds_bits(a)) {
    set("--hidden", s.model.hidden, 16);
    set("--batch", s.batch, 64);
    set("--lr", s.learning_rate, 0.01);
    set("--updates", s.updates, 2000);
  }
  if (a.task == "add" && a.base == 10) set("--digits", a.digits, 4);
  if (a.common.quick) {
    set("--updates", s.updates, 60);
    set("--validate-every", a.validate_every, 30);
    set("--hidden", s.model.hidden, 16);
    set("--embedding", s.model.embedding, 8);
    set("--pairs", a.pairs, 500);
    set("--longest", a.longest, 6);
  }
  const SearchOptions usual = usual_search(a.task);
  a.beams_given = app.count("--beam") > 0;
  a.penalty_given = app.count("--length-penalty") > 0;
  set("--beam", a.beams, usual.beams);
  set("--length-penalty", a.length_penalty, usual.length_penalty);
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
    hide_others(app, a);
  } else {
    app.footer("The values are those of dates; `seq2seq TASK --help` shows those of another task.");
  }
  check_options(app, a);
}

}  // namespace seq2seq
