// SPDX-License-Identifier: MIT
// Reading, splitting and describing the training material.
// It does not judge the music: all readable tunes are training data.
#include "examples/jazz/material.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <stdexcept>

#include "examples/common/hash.h"
#include "examples/jazz/midi/midi.h"
#include "examples/jazz/music/corpus.h"
#include "jazz_corpus_text.h"  // the build makes it from the files in corpus/

namespace jazz {
namespace {

constexpr std::size_t kMostNgramEvents = 3'000'000;  // about 2 GB of counts

void describe(Material& material) {
  for (const Tune& tune : material.all()) {
    for (const ChordSpan& span : tune.chords) {
      if (span.chord.quality != Quality::none) material.has_chords = true;
    }
    int end = 0;
    for (const Note& note : tune.notes) {
      if (note.start < end) material.one_voice = false;
      end = std::max(end, note.start + note.length);
      material.lowest = std::min(material.lowest, note.pitch);
      material.highest = std::max(material.highest, note.pitch);
    }
  }
  material.lowest = std::max(material.lowest, kLowestKey);
  material.highest = std::min(material.highest, kHighestKey);
}

void append(std::vector<Tune>& to, std::vector<Tune> tunes) {
  std::move(tunes.begin(), tunes.end(), std::back_inserter(to));
}

// Does not split a group: tunes of one file are similar.
Material split(std::vector<std::vector<Tune>> groups, std::size_t every) {
  Material material;
  every = std::min(every, groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const bool out = i % every == every - 1;
    append(out ? material.held_out : material.training, std::move(groups[i]));
  }
  return material;
}

// The bars of a tune from one tick to another, moved to tick 0.
Tune part_of(const Tune& tune, int from, int to) {
  Tune part = tune;
  part.notes.clear();
  part.chords.clear();
  for (Note note : tune.notes) {
    if (note.start < from || note.start >= to) continue;
    note.start -= from;
    part.notes.push_back(note);
  }
  for (ChordSpan span : tune.chords) {
    const int start = std::max(span.start, from);
    const int end = std::min(span.start + span.length, to);
    if (start < end) part.chords.push_back({start - from, end - start, span.chord});
  }
  return part;
}

Material cut(const std::vector<Tune>& tunes) {
  Material material;
  for (const Tune& tune : tunes) {
    const int bars = bars_of(tune);
    const int place = (bars - bars / 5) * ticks_per_bar(tune);
    const int end = bars * ticks_per_bar(tune);
    material.training.push_back(part_of(tune, 0, place));
    material.held_out.push_back(part_of(tune, place, end));
  }
  return material;
}

// Makes lines such as "FILE: byte 20: a tempo of 0 ... is ignored; and 2 more".
std::vector<std::string> warnings_of(const std::vector<MidiSong>& songs) {
  constexpr std::size_t kMostFiles = 10;
  std::vector<std::string> warnings;
  std::size_t more = 0;
  for (const MidiSong& song : songs) {
    if (song.warnings.empty()) continue;
    if (warnings.size() == kMostFiles) {
      ++more;
      continue;
    }
    const std::size_t others = song.warnings.size() - 1;
    warnings.push_back(fmt::format("{}: {}{}", song.file, song.warnings.front(),
                                   others > 0 ? fmt::format("; and {} more", others) : ""));
  }
  if (more > 0) warnings.push_back(fmt::format("{} more files have warnings", more));
  return warnings;
}

bool has_note(const std::vector<Tune>& tunes) {
  return std::any_of(tunes.begin(), tunes.end(), [](const Tune& t) { return !t.notes.empty(); });
}

}  // namespace

std::vector<Tune> Material::all() const {
  std::vector<Tune> tunes = training;
  tunes.insert(tunes.end(), held_out.begin(), held_out.end());
  return tunes;
}

std::size_t Material::notes() const {
  std::size_t count = 0;
  for (const auto* tunes : {&training, &held_out}) {
    for (const Tune& tune : *tunes) count += tune.notes.size();
  }
  return count;
}

std::string Material::fingerprint() const {
  std::uint64_t hash = common::kNothingHashed;
  const auto add = [&hash](int value) {
    const auto bytes = std::bit_cast<std::array<char, sizeof(int)>>(value);
    hash = common::fnv1a({bytes.data(), bytes.size()}, hash);
  };
  for (const auto* tunes : {&training, &held_out}) {
    add(static_cast<int>(tunes->size()));
    for (const Tune& tune : *tunes) {
      add(ticks_per_bar(tune));
      add(static_cast<int>(tune.notes.size()));
      for (const Note& n : tune.notes) add(n.start), add(n.length), add(n.pitch);
      for (const ChordSpan& c : tune.chords) {
        add(c.start), add(c.length), add(c.chord.root), add(static_cast<int>(c.chord.quality));
      }
    }
  }
  return fmt::format("{:016x}", hash);
}

Material embedded_corpus() {
  std::vector<std::vector<Tune>> groups;
  for (const CorpusText& text : kCorpusTexts) {
    for (Tune& tune : parse_corpus(text.text, text.name)) groups.push_back({std::move(tune)});
  }
  Material material = split(std::move(groups), 8);
  material.name = "the embedded corpus";
  material.held_out_rule = "every 8th tune";
  describe(material);
  return material;
}

Material read_material(const std::filesystem::path& folder, const std::filesystem::path& except) {
  MidiFolder read = read_folder(folder, except);
  std::vector<std::string> left_out;
  for (const DamagedFile& file : read.damaged) left_out.push_back(file.reason);
  std::vector<std::vector<Tune>> groups;
  for (const MidiSong& song : read.songs) {
    try {
      std::vector<Tune> tunes = quantise(song);
      std::erase_if(tunes, [](const Tune& tune) { return tune.notes.empty(); });
      if (tunes.empty()) {
        left_out.push_back(song.file + ": has no notes except drums");
      } else {
        groups.push_back(std::move(tunes));
      }
    } catch (const MidiError& error) {
      left_out.emplace_back(error.what());
    }
  }
  if (groups.empty()) {
    std::string message = fmt::format(
        "{}: none of its {} MIDI files can be learned from; give a folder with music in it",
        folder.string(), left_out.size());
    left_out.insert(left_out.begin(), read.own.begin(), read.own.end());
    for (const std::string& reason : left_out) message += "\n  " + reason;
    throw std::runtime_error(message);
  }
  const std::size_t files = groups.size();
  Material material = files == 1 ? cut(groups[0]) : split(std::move(groups), 5);
  material.name = folder.string();
  material.held_out_rule = files == 1  ? "the last fifth"
                           : files < 5 ? "the last file"
                                       : "every 5th file";
  material.left_out = std::move(read.own);
  material.left_out.insert(material.left_out.end(), left_out.begin(), left_out.end());
  material.warnings = warnings_of(read.songs);
  if (!has_note(material.training) || !has_note(material.held_out)) {
    throw std::runtime_error(fmt::format(
        "{}: has only {} notes, too few to train on and to hold some out; give more files",
        folder.string(), material.notes()));
  }
  describe(material);
  return material;
}

Sequence transposed(const Tune& tune, int semitones) {
  return encode_sequence(transpose(tune, semitones));
}

Baseline ngram_baseline(const Material& material) {
  std::size_t events = 1;
  for (const Tune& tune : material.training) events += encode(tune).size();
  Baseline baseline;
  baseline.keys = static_cast<int>(std::clamp<std::size_t>(kMostNgramEvents / events, 1, 12));
  std::vector<std::vector<Event>> sequences;
  for (const Tune& tune : material.training) {
    for (int key = 0; key < baseline.keys; ++key) sequences.push_back(transposed(tune, key).events);
  }
  Ngram ngram;
  ngram.train(sequences);
  sequences.clear();
  for (const Tune& tune : material.held_out) sequences.push_back(encode(tune));
  baseline.held_out = ngram.nats_per_note(sequences);
  return baseline;
}

}  // namespace jazz
