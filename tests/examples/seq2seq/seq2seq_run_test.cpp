// SPDX-License-Identifier: MIT
// Runs of examples/seq2seq: checkpoints that are found, resumed or do not fit; Ctrl-C; the end of
// training.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "examples/common/interrupt.h"
#include "examples/common/run_lock.h"
#include "examples/common/saver.h"
#include "examples/seq2seq/settings.h"
#include "examples/seq2seq/tasks/tasks.h"
#include "examples/seq2seq/training_run.h"
#include "tests/examples/seq2seq/seq2seq_pairs.h"
#include "tests/folder.h"

namespace fs = std::filesystem;
namespace nn = tapeloop::nn;
using namespace seq2seq;
using tapeloop::test::Folder;
using tapeloop::test::message_of;

TEST_CASE("texts that cannot be translated are refused, and checkpoints of other tasks") {
  const Folder folder;
  Settings settings = small();
  settings.task = "dates";
  settings.most_symbols = 4;
  const Languages languages = languages_of_pairs();
  Trainer trainer(examples_of_pairs(), languages, settings);
  trainer.notes = notes_of(settings, languages, "x");
  Arguments a;
  a.model = (folder.path / "model.safetensors").string();
  nn::save_checkpoint(a.model, trainer.checkpoint());
  a.translate_given = true;
  const auto refused = [&](const std::string& text) {
    a.translate = text;
    return message_of([&] { run_translation(a); });
  };
  CHECK(refused("abcab") ==
        "translate: the text has 5 characters, this model takes 4 at most; shorten it, or train "
        "with --max-length 5");
  CHECK(refused("  ") == "translate: the text is empty; give at least one character");
  CHECK(refused("a\xff") == "translate: byte 2 of the text is not UTF-8; give it in that encoding");
  a.translate = "a?z";
  CHECK(run_translation(a)["remark"].get<std::string>().starts_with(
      "never seen in training: '?' 'z'"));
  a.translate = "ae\u0301";  // composed, as training text is
  CHECK(run_translation(a)["remark"].get<std::string>().starts_with("never seen in training: 'é'"));
  a.task = "copy";
  a.task_given = true;
  CHECK(refused("abc") == a.model +
                              ": this checkpoint is one of the task 'dates', not 'copy'; name that "
                              "task, or give another checkpoint");
}

TEST_CASE("a training run leaves checkpoints, resumes, and refuses another vocabulary") {
  const Folder folder;
  Arguments a;
  a.common.out = folder.path.string();
  a.settings = small();
  a.settings.updates = 6;
  a.validate_every = 3;
  Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  CHECK(train(a, a.settings, material, a.common.out).updates == 6);
  a.resume = true;
  a.settings.updates = 9;
  const Trained resumed = train(a, a.settings, material, a.common.out);
  CHECK(resumed.updates == 9);
  const std::string best = a.best();
  const Loaded loaded = load_translator(nn::read_checkpoint(best), "dates", best);
  const std::vector<std::string> texts = {"abca"};
  const SearchOptions search{.max_length = 9};
  CHECK(loaded.translator.translate(texts, search)[0].text ==
        resumed.translator().translate(texts, search)[0].text);
  const auto refused = [&] {
    return message_of([&] { train(a, a.settings, material, a.common.out); });
  };
  material.train.push_back({"new letter q", "q"});
  CHECK(refused().starts_with("--resume: " + folder.path.string() +
                              "/last.safetensors was trained on other data (it notes 7 pairs, "));
  CHECK(refused().ends_with("; give the --data that it was trained with"));
  material.train = kPairs;
  a.settings.model.hidden = 7;
  CHECK(refused() == "--resume: " + folder.path.string() +
                         "/last.safetensors was saved with other settings:\n  hidden: \"7\" now, "
                         "\"6\" saved\n  Use the saved settings, or start a new run.");
  a.common.out = (folder.path / "none").string();
  CHECK(refused() == "--resume: there is no " + a.common.out +
                         "/last.safetensors; leave --resume out to train first, or name the folder "
                         "of a run by --out");
  CHECK_FALSE(fs::exists(a.common.out));
}

TEST_CASE("Ctrl-C ends a run with a checkpoint from which it goes on") {
  const Folder folder;
  Arguments a;
  a.common.out = folder.path.string();
  a.settings = small();
  a.settings.updates = 1'000'000'000;
  a.settings.decay = 0;
  a.validate_every = a.settings.updates;
  a.settings.patience = 0;
  const Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  const std::string last = folder.path.string() + "/last.safetensors";
  {
    // Sends the signal until the run has received it: before that, this program ignores the signal.
    // The run takes all signals within one second as one request.
    const auto before = std::signal(SIGINT, [](int) {});
    std::atomic<bool> done = false;
    std::thread presses([&] {
      while (!done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        if (!done && !fs::exists(last)) ::kill(::getpid(), SIGINT);
      }
    });
    std::string message;
    try {
      train(a, a.settings, material, a.common.out);
    } catch (const common::Interrupted& stopped) {
      message = stopped.what();
      CHECK(stopped.signal == SIGINT);
    }
    done = true;
    presses.join();
    std::signal(SIGINT, before);
    CHECK(message.starts_with("stopped after update "));
    CHECK(message.ends_with(" of 1000000000, which is saved in " + last +
                            "; the same command with --resume goes on"));
  }
  const std::int64_t done = nn::read_checkpoint(last).step;
  CHECK(done > 0);
  a.resume = true;
  a.settings.updates = done + 2;
  a.validate_every = 1;
  CHECK(train(a, a.settings, material, a.common.out).updates == done + 2);
}

TEST_CASE("signals are noted while they are waited for, and else do what they did") {
  static int caught = 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    caught = 0;
    const auto before = std::signal(signal, [](int) { ++caught; });
    {
      const common::StopSignals stop_signals;
      CHECK(stop_signals.received() == 0);
      std::raise(signal);
      CHECK(stop_signals.received() == signal);
      std::raise(signal);  // at once: the same request
      CHECK(stop_signals.received() == signal);
    }
    CHECK(caught == 1);  // it had no effect, so it is raised again
    std::raise(signal);
    CHECK(caught == 2);
    try {
      const common::StopSignals stop_signals;
      std::raise(signal);
      throw common::Interrupted("stopped", signal);
    } catch (const common::Interrupted&) {
      CHECK(caught == 2);
    }
    {
      const common::StopSignals again;
      CHECK(again.received() == 0);
    }
    std::signal(signal, SIG_IGN);
    {
      const common::StopSignals stop_signals;
      std::raise(signal);
      CHECK(stop_signals.received() == 0);  // as with nohup
    }
    std::signal(signal, before);
  }
}

TEST_CASE("signals that reach two threads at once are one request") {
  // Otherwise the handler that loses a race would see an old first signal and end this program.
  static std::atomic<int> caught = 0;
  const auto count = [](int) { ++caught; };
  const auto before_int = std::signal(SIGINT, count), before_term = std::signal(SIGTERM, count);
  constexpr int kRounds = 3000;
  std::atomic<int> ready = 0;
  std::atomic<int> done = 0;
  std::atomic<int> round = -1;
  const auto raises = [&](int signal) {
    for (int i = 0; i < kRounds; ++i) {
      ++ready;
      while (round.load() < i) std::this_thread::yield();
      std::raise(signal);
      ++done;
    }
  };
  std::thread one(raises, SIGINT), two(raises, SIGTERM);
  for (int i = 0; i < kRounds; ++i) {
    while (ready.load() < 2 * (i + 1)) std::this_thread::yield();
    const common::StopSignals stop_signals;
    round = i;
    while (done.load() < 2 * (i + 1)) std::this_thread::yield();
    CHECK((stop_signals.received() == SIGINT || stop_signals.received() == SIGTERM));
  }
  one.join();
  two.join();
  CHECK(caught == kRounds);
  std::signal(SIGINT, before_int);
  std::signal(SIGTERM, before_term);
}

TEST_CASE("a lock that another user left is taken; a link or a folder of its name is named") {
  const Folder folder;
  const std::string path = common::RunLock::path_in(folder.path.string());
  tapeloop::test::put(path, "1\n");
  fs::permissions(path, fs::perms(0444));
  fs::permissions(folder.path, fs::perms(0777));
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::seteuid(65534) == 0);
  std::string first, second;
  first = message_of([&] {
    const common::RunLock lock(folder.path.string());
    second = message_of([&] { common::RunLock(folder.path.string()); });
  });
  if (root) REQUIRE(::seteuid(0) == 0);
  CHECK(first == "nothing was thrown");
  CHECK(second.find(" is in use by another run, process ") != std::string::npos);
  CHECK_FALSE(fs::exists(path));
  const auto refused = [&](const std::string& why) {
    CHECK(message_of([&] { common::RunLock(folder.path.string()); }) ==
          "--out: " + path + ", the lock of this folder, cannot be opened: " + why +
              "; remove it if no run is going, or name another folder by --out");
    fs::remove(path);
  };
  fs::create_directory(path);
  refused("Is a directory");
  fs::create_symlink("nowhere", path);
  refused("it is a link");
}

namespace {

// A run of two updates, both validated; the first is the best. The settings do not depend on its
// weights.
struct SmallRun {
  explicit SmallRun(float weight) {
    history.note_loss(1);
    history.note_validation(1, 1, {{"w", tapeloop::Tensor::full({2}, weight)}});
    history.note_validation(2, 2, {{"w", tapeloop::Tensor::full({2}, weight + 1)}});
  }
  nn::Checkpoint checkpoint() const {
    return {.sections = {{"model", {{"w", tapeloop::Tensor::full({2}, 9)}}},
                         {"history", history.state_dict()},
                         {"best", history.best_weights}},
            .step = 2,
            .notes = {{"program", "small"}}};
  }
  common::History history;
};

double weight_in(const nn::Checkpoint& best) { return best.section("model").at(0).tensor.at({1}); }

}  // namespace

TEST_CASE("best weights of an earlier run of the same settings are not taken for this run's") {
  const Folder folder;
  common::RunFiles earlier(folder.path.string());
  const SmallRun first(10), second(20);
  earlier.save(first.checkpoint(), first.history);
  CHECK(weight_in(common::read_best(earlier.best(), "--model")) == 10);
  // The second run's save fails between both files.
  const std::string partial = earlier.best() + ".partial";
  fs::create_directory(partial);
  common::RunFiles files(folder.path.string());
  files.save(second.checkpoint(), second.history);
  fs::remove(partial);
  CHECK(weight_in(nn::read_checkpoint(files.best())) == 10);
  CHECK(weight_in(common::read_best(files.best(), "--model")) == 20);
  common::RunFiles resumed(folder.path.string());
  resumed.resume(nn::read_checkpoint(files.last()), second.history);
  CHECK(weight_in(nn::read_checkpoint(files.best())) == 20);
  CHECK(common::unsaved().empty());
  // A resumed run knows which best weights are saved.
  common::History better = second.history;
  better.note_validation(0.5, 3, {{"w", tapeloop::Tensor::full({2}, 30)}});
  common::RunFiles again(folder.path.string());
  again.resume(nn::read_checkpoint(files.last()), second.history);
  fs::create_directory(partial);
  nn::Checkpoint now = second.checkpoint();
  now.step = 3;
  again.save(now, better);
  CHECK(common::unsaved().find("best.safetensors is of update 1: ") != std::string::npos);
  fs::remove(partial);
  again.retry(now, better);
  CHECK(common::unsaved().empty());
  CHECK(weight_in(nn::read_checkpoint(files.best())) == 30);
}

TEST_CASE("a run without a validation leaves the best weights of the run before in their file") {
  const Folder folder;
  common::RunFiles files(folder.path.string());
  const SmallRun run(10);
  files.save(run.checkpoint(), run.history);
  const common::History none;
  const nn::Checkpoint begun{.sections = {{"history", none.state_dict()}, {"best", {}}},
                             .step = 1,
                             .notes = {{"program", "other"}}};
  common::RunFiles next(folder.path.string());
  next.save_stopped(begun);
  next.resume(begun, none);
  next.save(begun, none);
  CHECK(weight_in(nn::read_checkpoint(files.best())) == 10);
}

TEST_CASE("a checkpoint without best weights takes those beside it, of the same run alone") {
  const Folder folder;
  common::RunFiles files(folder.path.string());
  const SmallRun run(10);
  files.save(run.checkpoint(), run.history);
  nn::Checkpoint old = run.checkpoint();
  old.sections.pop_back();
  CHECK(weight_in({.sections = {{"model", common::history_of(old, files.last()).best_weights}}}) ==
        10);
  nn::save_checkpoint(files.last(), old);
  CHECK(weight_in(common::read_best(files.best(), "--model")) == 10);
  nn::Checkpoint other = nn::read_checkpoint(files.best());
  other.step = 7;
  nn::save_checkpoint(files.best(), other);
  const auto refused = [&] { return message_of([&] { common::history_of(old, files.last()); }); };
  CHECK(refused() == files.last() + ": it has no best weights, and " + files.best() +
                         " is of another run; put that file of the same run there, or leave "
                         "--resume out to start a new run");
  fs::remove(files.best());
  CHECK(refused() == files.last() + ": it has no best weights, and there is no " + files.best() +
                         "; put that file of the same run there, or leave --resume out to start "
                         "a new run");
}

TEST_CASE("best weights are read where the history beside them is none") {
  const Folder folder;
  common::RunFiles files(folder.path.string());
  const SmallRun run(10);
  files.save(run.checkpoint(), run.history);
  nn::Checkpoint damaged = run.checkpoint();
  damaged.sections[1].second.pop_back();
  nn::save_checkpoint(files.last(), damaged);
  CHECK(weight_in(common::read_best(files.best(), "--model")) == 10);
  CHECK(message_of([&] {
          common::history_of(damaged, files.last());
        }).starts_with(files.last() + ": history: this state was not saved by a run"));
}

TEST_CASE("a checkpoint is found in a folder, or what is there is named") {
  const Folder folder;
  Arguments a;
  a.common.out = (folder.path / "run").string();
  CHECK(message_of([&] { a.best(); }) ==
        "--out: there is no folder " + a.common.out +
            "; train first, name the folder of a run by --out, or a checkpoint by --model");
  fs::create_directories(folder.path / "run" / "attention");
  fs::create_directories(folder.path / "run" / "plain");
  CHECK(message_of([&] { a.best(); }) == "--out: there is no checkpoint in " + a.common.out +
                                             "; train first, or name the folder of a run by --out");
  const auto touch = [&](const std::string& name) {
    const std::string path = a.common.out + "/" + name;
    nn::save_checkpoint(path, {});
    return path;
  };
  touch("plain/best.safetensors");
  touch("attention/last.safetensors");
  CHECK(message_of([&] { a.best(); }) ==
        "--out: there is no best.safetensors in " + a.common.out +
            ", but there is attention/last.safetensors, plain/best.safetensors; name one by "
            "--model");
  const std::string with_attention = touch("attention/best.safetensors");
  CHECK(a.best() == with_attention);
  const std::string own = touch("best.safetensors");
  CHECK(a.best() == own);
  a.model = "named";
  CHECK(a.best() == "named");
}

TEST_CASE("training ends where validation no longer gets better") {
  const Folder folder;
  Arguments a;
  a.settings = small();
  a.settings.learning_rate = 0;
  a.settings.updates = 100;
  a.validate_every = 2;
  a.settings.patience = 3;
  const Material material{
      .source = "letters", .train = kPairs, .validation = kPairs, .test = kPairs, .remarks = {}};
  const Trained trained = train(a, a.settings, material, folder.path.string());
  CHECK(trained.stopped_early);
  CHECK(trained.updates == 8);  // the first validation is the best, three more follow
}
