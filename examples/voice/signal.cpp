// SPDX-License-Identifier: MIT
// Draws syllables and noise; reads label files.
#include "examples/voice/signal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "examples/common/text.h"
#include "examples/voice/detector.h"
#include "examples/voice/wav.h"

namespace voice {

using tapeloop::FileError;
using tapeloop::Random;

namespace {

double between(Random& random, double low, double high) {
  return low + (high - low) * random.uniform();
}

// Adds one syllable: 12 harmonics, louder near two formants.
void add_syllable(std::vector<float>& samples, std::size_t begin, std::size_t count, double pitch,
                  Random& random) {
  const double first = between(random, 300, 900), second = between(random, 1000, 2600);
  const double glide = between(random, -0.2, 0.2), loud = between(random, 0.04, 0.12);
  const auto near = [](double hertz, double formant, double width) {
    const double d = (hertz - formant) / width;
    return 1 / (1 + d * d);
  };
  double phase = 0;
  for (std::size_t i = 0; i < count && begin + i < samples.size(); ++i) {
    const double at = static_cast<double>(i) / static_cast<double>(count);
    const double hertz = pitch * (1 + glide * at);
    phase += 2 * std::numbers::pi * hertz / static_cast<double>(kRate);
    double sum = 0;
    for (int k = 1; k <= 12; ++k) {
      const double weight = near(hertz * k, first, 150) + 0.6 * near(hertz * k, second, 250);
      sum += (weight + 0.05) * std::sin(phase * k);
    }
    samples[begin + i] += static_cast<float>(loud * std::sin(std::numbers::pi * at) * sum);
  }
}

}  // namespace

Labelled draw_signal(std::int64_t chunks, Random& random) {
  const auto count = static_cast<std::size_t>(chunks * kChunk);
  Labelled result{std::vector<float>(count), std::vector<float>(static_cast<std::size_t>(chunks))};
  std::vector<float> voiced(count), level(count);
  const auto samples_of = [&](double low, double high) {
    return static_cast<std::size_t>(between(random, low, high) * static_cast<double>(kRate));
  };
  const double quiet = between(random, 0.003, 0.012);
  for (std::size_t at = 0; at < count;) {
    const std::size_t pause = samples_of(0.3, 1.4), group = samples_of(0.4, 1.8);
    // Half of the pauses are loud.
    const double pause_level = random.below(2) == 0 ? quiet : between(random, 0.02, 0.08);
    const std::size_t begin = std::min(at + pause, count), end = std::min(begin + group, count);
    std::fill(level.begin() + static_cast<std::ptrdiff_t>(at),
              level.begin() + static_cast<std::ptrdiff_t>(begin), static_cast<float>(pause_level));
    std::fill(level.begin() + static_cast<std::ptrdiff_t>(begin),
              level.begin() + static_cast<std::ptrdiff_t>(end), static_cast<float>(quiet));
    std::fill(voiced.begin() + static_cast<std::ptrdiff_t>(begin),
              voiced.begin() + static_cast<std::ptrdiff_t>(end), 1.0f);
    const double pitch = between(random, 90, 260);
    for (std::size_t s = begin; s < end;) {
      const std::size_t length = std::min(samples_of(0.1, 0.25), end - s);
      add_syllable(result.samples, s, length, pitch * between(random, 0.9, 1.1), random);
      s += length + samples_of(0.0, 0.04);
    }
    at = end;
  }
  const bool pink = random.below(2) == 0;
  double low = 0, middle = 0;  // two low-pass filters: nearly 3 dB per octave
  for (std::size_t i = 0; i < count; ++i) {
    const double white = random.uniform() * 2 - 1;
    low = 0.99 * low + 0.1 * white;
    middle = 0.8 * middle + 0.3 * white;
    const double noise = pink ? low + 0.6 * middle + 0.2 * white : white;
    result.samples[i] =
        std::clamp(result.samples[i] + level[i] * static_cast<float>(noise), -1.0f, 1.0f);
  }
  for (std::size_t t = 0; t < result.labels.size(); ++t) {
    float sum = 0;
    for (std::size_t i = 0; i < kChunk; ++i) sum += voiced[t * kChunk + i];
    result.labels[t] = sum > kChunk / 2.0f ? 1.0f : 0.0f;
  }
  return result;
}

std::vector<float> read_chunks(const std::string& path) {
  const std::string text = common::read_text_file(path, std::uint64_t{1} << 28);
  std::vector<float> result;
  std::int64_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (common::trimmed(line).empty() || line.front() == '#') continue;
    const std::size_t tab = std::min(line.find('\t'), line.size());
    std::size_t chunk = 0;
    float value = -1;
    const auto number = std::from_chars(line.data(), line.data() + tab, chunk);
    const std::string_view second = common::trimmed(line.substr(std::min(tab + 1, line.size())));
    const auto label = std::from_chars(second.data(), second.data() + second.size(), value);
    if (tab == line.size() || number.ptr != line.data() + tab || number.ec != std::errc() ||
        chunk != result.size() || label.ec != std::errc() ||
        label.ptr != second.data() + second.size() || !(value >= 0 && value <= 1)) {
      throw common::TextError(
          path, line_number,
          fmt::format("\"{}\", expected the number of the chunk, {}, a tab and a probability from "
                      "0 to 1",
                      common::printable(line.substr(0, 60)), result.size()));
    }
    result.push_back(value);
  }
  return result;
}

Recordings read_recordings(const std::string& file_or_folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  if (fs::is_directory(file_or_folder)) {
    for (const auto& entry : fs::directory_iterator(file_or_folder)) {
      if (entry.path().extension() == ".wav") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.emplace_back(file_or_folder);
  }
  Recordings result;
  for (const fs::path& wav : files) {
    const std::string labels = fs::path(wav).replace_extension(".tsv").string();
    if (!fs::exists(labels)) {
      result.remarks.push_back(fmt::format("{}: skipped, there is no {}", wav.string(), labels));
      continue;
    }
    Sound sound = read_wav(wav.string());
    for (const std::string& remark : sound.remarks) {
      result.remarks.push_back(fmt::format("{}: {}", wav.string(), remark));
    }
    Labelled one{std::move(sound.samples), read_chunks(labels)};
    const std::size_t chunks = (one.samples.size() + kChunk - 1) / kChunk;
    if (one.labels.size() != chunks) {
      throw FileError(fmt::format("{}: has {} lines, but {} has {} chunks of {} samples", labels,
                                  one.labels.size(), wav.string(), chunks, kChunk));
    }
    result.list.push_back(std::move(one));
  }
  if (result.list.empty()) {
    throw FileError(
        fmt::format("{}: has no WAV file with a label file NAME.tsv beside it", file_or_folder));
  }
  return result;
}

std::vector<Labelled> hold_out(std::vector<Labelled>& list) {
  std::vector<Labelled> rest, held;
  if (list.size() > 1) {
    const std::size_t every = std::min<std::size_t>(5, list.size());
    for (std::size_t i = 0; i < list.size(); ++i)
      (i % every == every - 1 ? held : rest).push_back(std::move(list[i]));
  } else {
    Labelled& one = list.at(0);
    const std::size_t chunks = one.labels.size();
    if (chunks < 5) {
      throw FileError(fmt::format(
          "the only recording has {} chunks, expected 5 or more to learn from and to validate; add "
          "recordings, or name others by --test",
          chunks));
    }
    const auto cut = static_cast<std::ptrdiff_t>(chunks - chunks / 5);
    const auto border = one.samples.begin() + cut * kChunk;
    held.push_back({{border, one.samples.end()}, {one.labels.begin() + cut, one.labels.end()}});
    one.samples.erase(border, one.samples.end());
    one.labels.erase(one.labels.begin() + cut, one.labels.end());
    rest.push_back(std::move(one));
  }
  list = std::move(rest);
  return held;
}

}  // namespace voice
