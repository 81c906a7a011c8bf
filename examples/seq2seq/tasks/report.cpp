// SPDX-License-Identifier: MIT
// Printing and JSON that several tasks share.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/seq2seq/tasks/tasks.h"
#include "tapeloop/autograd/files/files.h"

namespace seq2seq {

Looked looked_of(const Translation& translation) {
  Looked looked;
  looked.source = translation.source;
  looked.target = translation.target;
  if (translation.ended) looked.target.emplace_back("end");
  looked.weights = translation.weights;
  looked.caption = translation.text;
  return looked;
}

void write_picture(const std::string& path, const std::string& svg, const char* what) {
  tapeloop::write_file(path, svg);
  common::print("{}: {}\n", what, path);
}

void write_carries(const Arguments& a, const std::string& title,
                   const std::vector<CarryTrace>& traces, std::size_t shown,
                   nlohmann::json& figures) {
  double closest = 0;
  for (double follows : carry_correlations(traces)) closest = std::max(closest, std::abs(follows));
  const auto end = traces.begin() + static_cast<std::ptrdiff_t>(std::min(shown, traces.size()));
  const std::string path = a.common.out + "/carry.svg";
  write_picture(path, carry_picture(title, {traces.begin(), end}), "hidden units and the carry");
  figures["carry_correlation"] = closest;
  figures["picture"] = path;
}

nlohmann::json json_of(const Measures& m) {
  return {{"pairs", m.pairs},
          {"nats_per_symbol", m.nats_per_symbol},
          {"exact_match", m.exact},
          {"bleu", m.bleu ? nlohmann::json(*m.bleu) : nlohmann::json()},
          {"translate_seconds", m.translate_seconds},
          {"translate_cpu_seconds", m.translate_cpu_seconds}};
}

nlohmann::json json_of(const Arguments& a, const Trained& t) {
  const double updates_per_second =
      t.run.seconds > 0 ? static_cast<double>(t.run.updates) / t.run.seconds : 0;
  return {{"task", a.task},
          {"data", a.data},
          {"threads", a.common.threads},
          {"seed", a.common.seed},
          {"parameters", t.parameters},
          {"updates", t.updates},
          {"train_loss", t.train_loss},
          {"train_seconds", t.run.seconds},
          {"train_cpu_seconds", t.run.cpu_seconds},
          {"updates_per_second", updates_per_second},
          {"symbols_per_second", t.run.units_per_second()},
          {"stopped_early", t.stopped_early},
          {"best_update", t.trainer->history().best_update},
          {"best_validation_nats", t.trainer->history().best_nats}};
}

nlohmann::json print_samples(std::span<const Pair> pairs,
                             std::span<const Translation> translations) {
  nlohmann::json samples = nlohmann::json::array();
  int widest = 0;
  for (std::size_t i = 0; i < translations.size(); ++i) {
    widest = std::max(widest, display_width(pairs[i].source));
  }
  widest = std::min(widest, 48);
  for (std::size_t i = 0; i < translations.size(); ++i) {
    const Pair& pair = pairs[i];
    const std::string& text = translations[i].text;
    // For models that learned words.
    const std::string as_joined = join(words(pair.target), Unit::word);
    const int width = display_width(pair.source);
    const std::string room(static_cast<std::size_t>(std::max(0, widest - width)), ' ');
    common::print(
        "  {}{}  {}{}\n", pair.source, room, text,
        text == pair.target || text == as_joined ? "" : fmt::format("   expected {}", pair.target));
    samples.push_back({{"source", pair.source}, {"translation", text}, {"expected", pair.target}});
  }
  return samples;
}

}  // namespace seq2seq
