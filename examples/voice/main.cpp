// SPDX-License-Identifier: MIT
// voice: finds speech in sound, chunk by chunk. With --weights it runs a detector that somebody
// else trained, Silero VAD, and --finetune trains that further. Without --weights it draws a signal
// and trains a small detector of the same form itself.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/common/hash.h"
#include "examples/common/notes.h"
#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/voice/learning.h"
#include "examples/voice/report.h"
#include "examples/voice/wav.h"
#include "tapeloop/autograd/files/files.h"

namespace voice {
namespace {

using namespace tapeloop;

struct Settings {
  std::string weights, data, expect, finetune, test;
  double threshold = 0.5;
  std::int64_t hidden = 32;   // of the detector that the program trains itself
  std::int64_t signals = 32;  // drawn for it
  std::int64_t piece = 128;   // chunks
  std::int64_t bptt = 32;     // chunks
  bool resume = false;
  common::TrainingSettings training{
      .batch = 8, .updates = 400, .validate_every = 100, .learning_rate = 3e-3, .goal = 2};
};

common::SettingsTable table_of(Settings& s) {
  using namespace common;
  SettingsTable rows = {
      count("--hidden", s.hidden, 1, 4096,
            "units of each layer of the detector that is trained without --weights",
            {.excludes = {"--weights"}})
          .noted(),
      count("--signals", s.signals, 8, 1 << 16, "signals of 13 s that it learns from",
            {.excludes = {"--weights", "--finetune"}})
          .noted(),
      count("--piece", s.piece, 1, 1 << 20, "chunks of a training sample, at most").noted(),
      count("--bptt", s.bptt, 1, 1 << 20, "chunks that a gradient goes back through").noted(),
  };
  for (const Setting& row : common::table_of(s.training)) rows.push_back(row);
  return rows;
}

struct Student {
  const Detector& detector;
  mutable Random samples;
  void visit(nn::Visitor& v) const { detector.visit(v), v("samples", samples); }
};

void say_all(const std::vector<std::string>& remarks) {
  for (const std::string& remark : remarks) common::say("voice: {}\n", remark);
}

Recordings recordings_of(const std::string& path, nlohmann::json& figures) {
  Recordings result = read_recordings(path);
  say_all(result.remarks);
  figures["remarks"] = figures.value("remarks", 0) + static_cast<int>(result.remarks.size());
  return result;
}

std::uint64_t hash_of(const std::vector<Labelled>& list) {
  std::uint64_t hash = common::kNothingHashed;
  for (const Labelled& one : list) {
    hash = common::hash_of(one.labels, common::hash_of(one.samples, hash));
  }
  return hash;
}

// The detector on all pieces of these recordings, beside the threshold of the energy.
void print_score(const char* when, const common::Score& score, double baseline,
                 nlohmann::json& figures) {
  common::print("{}: accuracy per chunk {:.4f}, loss {:.4f}; a threshold of the energy {:.4f}\n",
                when, score.right, score.nats, baseline);
  figures["accuracy"] = score.right;
  figures["loss"] = score.nats;
  figures["baseline_accuracy"] = baseline;
}

void train(const Detector& detector, const common::CommonOptions& options, const Settings& s,
           Random& random, nlohmann::json& figures) {
  std::vector<Labelled> list;
  if (!s.finetune.empty()) {
    list = recordings_of(s.finetune, figures).list;
  } else {
    for (std::int64_t i = 0; i < s.signals; ++i) list.push_back(draw_signal(400, random));
  }
  nn::move(detector, options.device);
  const std::string data = fmt::format("{} recordings, {:016x}", list.size(), hash_of(list));
  const std::vector<Labelled> held =
      s.test.empty() ? hold_out(list) : recordings_of(s.test, figures).list;
  const Pieces pieces(detector, list, s.piece), valid(detector, held, s.piece);
  const double baseline = valid.right_by_energy(pieces.best_threshold());
  const auto to_device = [&](const Batch& batch) {
    return Batch{batch.spectra.to(options.device), batch.labels.to(options.device)};
  };
  const Batch valid_batch = to_device(valid.batch(valid.all()));
  if (!s.finetune.empty()) {
    const common::Score before = score_of(detector, valid_batch);
    figures["accuracy_before"] = before.right;
    figures["loss_before"] = before.nats;
    print_score("before", before, baseline, figures);
  }
  const Student student{detector, random.split()};
  Batch batch;
  Settings noted = s;
  common::Task task{.draw =
                        [&] {
                          std::vector<std::int64_t> chosen;
                          for (std::int64_t i = 0; i < s.training.batch; ++i) {
                            chosen.push_back(static_cast<std::int64_t>(
                                student.samples.below(static_cast<std::uint64_t>(pieces.count()))));
                          }
                          batch = to_device(pieces.batch(chosen));
                        },
                    .loss = [&] { return loss_of(detector, batch, s.bptt); },
                    .validate = [&] { return score_of(detector, valid_batch); },
                    .notes = common::notes_of(table_of(noted))};
  task.notes["program"] = "voice";
  task.notes["seed"] = std::to_string(options.seed);
  task.notes["data"] = data;
  common::TaskTraining training(student, s.training, std::move(task));
  common::print(
      "{} recordings to learn from, {} to validate, in {} and {} pieces, parameters {}, seed {}\n",
      list.size(), held.size(), pieces.count(), valid.count(), nn::parameter_count(detector),
      options.seed);
  const common::Run::Result done = common::train(training, options.out, "pieces", s.resume);
  nn::load_state_dict(detector, training.history().best_weights);
  print_score("after", score_of(detector, valid_batch), baseline, figures);
  figures["train_cpu_seconds"] = done.cpu_seconds;
  figures["updates"] = training.updates();
  nn::move(detector, Device::cpu);
  const std::string path = options.out + "/detector.safetensors";
  nn::save(path, detector);
  common::print("{:.1f} s of training, {:.1f} s of CPU time; the detector: {}\n", done.seconds,
                done.cpu_seconds, path);
}

// The largest difference to the probabilities of a file; without --expect the file beside the WAV.
void compare(const Settings& s, const std::vector<float>& found, nlohmann::json& figures) {
  std::string path = s.expect;
  if (path.empty() && s.data != "-" && !s.data.empty() && !s.weights.empty()) {
    const auto beside = std::filesystem::path(s.data).replace_extension(".tsv");
    if (std::filesystem::exists(beside)) path = beside.string();
  }
  if (path.empty()) return;
  const std::vector<float> expected = read_chunks(path);
  if (expected.size() != found.size()) {
    throw FileError(
        fmt::format("{}: has {} chunks, the sound has {}", path, expected.size(), found.size()));
  }
  double most = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    most = std::max(most, static_cast<double>(std::abs(found[i] - expected[i])));
  figures["max_difference"] = most;
  common::print("largest difference to {}: {:.2g}\n", path, most);
}

void detect(const Detector& detector, const common::CommonOptions& options, const Settings& s,
            Random& random, nlohmann::json& figures) {
  VoiceStream stream(detector);
  std::vector<float> samples, found;
  const VoiceStream::Take take = [&](float p) { found.push_back(p); };
  double seconds = 0;
  // CPU time of the detector alone.
  const auto push = [&](std::span<const float> piece) {
    const double before = common::cpu_seconds();
    stream.push(piece, take);
    seconds += common::cpu_seconds() - before;
  };
  if (s.data == "-") {
    read_raw(stdin, [&](std::span<const float> piece) {
      samples.insert(samples.end(), piece.begin(), piece.end());
      push(piece);
    });
  } else if (!s.data.empty()) {
    Sound sound = read_wav(s.data);
    say_all(sound.remarks);
    samples = std::move(sound.samples);
    push(samples);
  } else {
    samples = draw_signal(400, random).samples;
    push(samples);
  }
  stream.finish(take);
  if (found.empty()) throw FileError("the sound has no samples");
  const std::vector<Segment> segments = segments_of(found, s.threshold);
  const double chunk_seconds = static_cast<double>(kChunk) / static_cast<double>(kRate);
  figures["segments"] = nlohmann::json::array();
  double speech = 0;
  for (const Segment& segment : segments) {
    const double begin = static_cast<double>(segment.begin) * chunk_seconds;
    const double end = static_cast<double>(segment.end) * chunk_seconds;
    common::print("speech from {:.2f} s to {:.2f} s\n", begin, end);
    figures["segments"].push_back({begin, end});
    speech += end - begin;
  }
  const double microseconds = 1e6 * seconds / static_cast<double>(found.size());
  common::print(
      "{} chunks, {} segments, {:.2f} s of speech; {:.1f} microseconds of CPU time a chunk\n",
      found.size(), segments.size(), speech, microseconds);
  figures["chunks"] = found.size();
  figures["speech_seconds"] = speech;
  figures["microseconds_per_chunk"] = microseconds;
  const std::string table = options.out + "/voice.tsv", picture = options.out + "/voice.svg";
  write_file(table, tsv_of(found));
  write_file(picture, picture_of(samples, found, segments, "Waveform and probability of speech"));
  common::print("probabilities: {}\npicture: {}\n", table, picture);
  compare(s, found, figures);
}

void run(const common::CommonOptions& options, const Settings& s) {
  Random random(options.seed);
  nlohmann::json figures = nlohmann::json::object();
  const Detector detector =
      s.weights.empty() ? Detector({s.hidden, s.hidden, s.hidden, s.hidden}, s.hidden, random)
                        : read_detector(s.weights);
  if (s.weights.empty() || !s.finetune.empty()) {
    train(detector, options, s, random, figures);
  } else if (!s.test.empty()) {
    const Pieces pieces(detector, recordings_of(s.test, figures).list, s.piece);
    print_score("test", score_of(detector, pieces.batch(pieces.all())),
                pieces.right_by_energy(pieces.best_threshold()), figures);
  }
  if (s.weights.empty() || !s.data.empty()) detect(detector, options, s, random, figures);
  if (!options.json.empty()) common::write_json(options.json, figures);
}

}  // namespace
}  // namespace voice

int main(int argc, char** argv) {
  using namespace voice;
  common::CommonOptions options;
  Settings settings;
  common::CommandLine line(
      options, "voice",
      "Finds speech in sound, chunk by chunk of 32 ms, with a detector of the form of Silero VAD: "
      "--weights FILE --data FILE.wav. Without --weights it draws syllables between noise and "
      "trains a small detector itself.");
  line.add({common::free_text("--weights", settings.weights, "FILE.safetensors",
                              "a trained detector", {.not_empty = true}),
            common::free_text("--data", settings.data, "FILE.wav",
                              "the sound, 16,000 samples per second; -: raw 16-bit samples from "
                              "standard input",
                              {.not_empty = true}),
            common::free_text("--expect", settings.expect, "FILE.tsv",
                              "probabilities to compare with, lines \"chunk TAB probability\"; "
                              "with --weights the .tsv beside the WAV is found",
                              {.needs = {"--data"}, .not_empty = true}),
            common::free_text("--finetune", settings.finetune, "FOLDER",
                              "train the detector further on WAV files, each with a file NAME.tsv "
                              "of lines \"chunk TAB probability\"",
                              {.needs = {"--weights"}, .not_empty = true}),
            common::free_text("--test", settings.test, "FILE_OR_FOLDER",
                              "measure on these labelled recordings, as of --finetune",
                              {.not_empty = true}),
            common::number("--threshold", settings.threshold, 0, 1,
                           "a segment begins at this probability")});
  line.add(table_of(settings));
  line.add(common::flag("--resume", settings.resume,
                        "continue the training from DIR/last.safetensors up to --updates"));
  return line.run(
      argc, argv, [&] { run(options, settings); },
      [&] {
        const bool trains = settings.weights.empty() || !settings.finetune.empty();
        if (!trains && settings.data.empty() && settings.test.empty()) {
          throw common::UsageError(
              "--weights needs something to hear: --data FILE.wav, --test or --finetune");
        }
        if (!trains && settings.resume) {
          throw common::UsageError("--resume continues a training; --weights alone trains nothing");
        }
        if (trains) {
          common::note_run(options, settings.resume);
          options.writes.push_back({"the detector", options.out + "/detector.safetensors"});
        }
        if (settings.weights.empty() || !settings.data.empty()) {
          options.writes.push_back({"the probabilities", options.out + "/voice.tsv"});
          options.writes.push_back({"the picture", options.out + "/voice.svg"});
        }
        options.reads.push_back({"--weights", settings.weights});
        if (settings.data != "-") options.reads.push_back({"--data", settings.data});
        options.reads.push_back({"--expect", settings.expect});
        if (!settings.finetune.empty()) {
          line.preset("--updates", 100);
          line.preset("--validate-every", 20);
          line.preset("--lr", 1e-4);
          line.preset("--piece", 64);
        }
        if (!options.quick) return;
        line.preset("--updates", 30);
        line.preset("--validate-every", 30);
        line.preset("--signals", 8);
        line.preset("--hidden", 8);
      });
}
