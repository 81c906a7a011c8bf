// SPDX-License-Identifier: MIT
// Joins chunks to segments; draws sound.
#include "examples/voice/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "examples/common/pictures/svg.h"
#include "examples/voice/detector.h"
#include "examples/voice/wav.h"

namespace voice {

std::vector<Segment> segments_of(std::span<const float> probabilities, double threshold) {
  constexpr std::int64_t most_silence = 4, least_speech = 8;
  const auto chunks = static_cast<std::int64_t>(probabilities.size());
  std::vector<Segment> result;
  std::int64_t begin = -1, last = -1;  // the first chunk, and the last that is not silence
  const auto close = [&] {
    if (begin >= 0 && last + 1 - begin >= least_speech) result.push_back({begin, last + 1});
    begin = -1;
  };
  for (std::int64_t t = 0; t < chunks; ++t) {
    const auto p = static_cast<double>(probabilities[static_cast<std::size_t>(t)]);
    if (begin < 0 && p >= threshold) begin = last = t;
    if (begin >= 0 && p >= threshold - 0.15) last = t;
    if (begin >= 0 && t - last >= most_silence) close();
  }
  close();
  return result;
}

std::string tsv_of(std::span<const float> probabilities) {
  std::string text =
      fmt::format("# chunk of {} samples at {} Hz\tspeech probability\n", kChunk, kRate);
  for (std::size_t t = 0; t < probabilities.size(); ++t)
    text += fmt::format("{}\t{:.7g}\n", t, probabilities[t]);
  return text;
}

std::string picture_of(std::span<const float> samples, std::span<const float> probabilities,
                       const std::vector<Segment>& segments, const std::string& title) {
  constexpr double left = 50, width = 1000, wave_top = 40, wave_height = 160, curve_top = 220,
                   curve_height = 120;
  common::Svg svg(common::Svg::Digits::two_decimals);
  const double chunks = std::max<double>(1, static_cast<double>(probabilities.size()));
  const auto x_of = [&](double chunk) { return left + width * chunk / chunks; };
  svg.text(left, 24, title, {.size = 15, .bold = true});
  for (const Segment& s : segments) {
    const double from = x_of(static_cast<double>(s.begin)), to = x_of(static_cast<double>(s.end));
    svg.rectangle(from, wave_top, to - from, curve_top + curve_height - wave_top, "#f2c14e", 0.35);
  }
  // The extremes of the samples in each of at most 1000 columns.
  const std::size_t columns = std::min<std::size_t>(1000, std::max<std::size_t>(1, samples.size()));
  float loudest = 1e-6f;
  for (const float x : samples) loudest = std::max(loudest, std::abs(x));
  for (std::size_t i = 0; i < columns && !samples.empty(); ++i) {
    const auto part = samples.subspan(i * samples.size() / columns,
                                      std::max<std::size_t>(1, (i + 1) * samples.size() / columns -
                                                                   i * samples.size() / columns));
    const auto [low, high] = std::minmax_element(part.begin(), part.end());
    const auto y_of = [&](float x) {
      return wave_top + wave_height / 2 * (1 - static_cast<double>(x / loudest));
    };
    const double x = x_of(static_cast<double>(i) * chunks / static_cast<double>(columns));
    svg.line(x, y_of(*high), x, y_of(*low) + 0.5, "#2a6f97");
  }
  std::vector<std::pair<double, double>> points;
  const std::size_t step = std::max<std::size_t>(1, probabilities.size() / 1500);
  for (std::size_t t = 0; t < probabilities.size(); t += step) {
    points.emplace_back(x_of(static_cast<double>(t) + 0.5),
                        curve_top + curve_height * (1 - static_cast<double>(probabilities[t])));
  }
  svg.frame(left, curve_top, width, curve_height, "#9aa0a6");
  svg.curve(points, "#bc4749");
  svg.text(left - 6, curve_top + 10, "1", {.anchor = common::Svg::Anchor::end});
  svg.text(left - 6, curve_top + curve_height, "0", {.anchor = common::Svg::Anchor::end});
  svg.text(left, curve_top + curve_height + 18, "0 s", {});
  svg.text(
      left + width, curve_top + curve_height + 18,
      fmt::format("{:.1f} s", static_cast<double>(samples.size()) / static_cast<double>(kRate)),
      {.anchor = common::Svg::Anchor::end});
  return svg.document(left + width + 20, curve_top + curve_height + 30, title);
}

}  // namespace voice
