// SPDX-License-Identifier: MIT
// dates and translate: trains on pairs, measures on held-out pairs, shows translations and
// attention.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/seq2seq/tasks/tasks.h"

namespace seq2seq {
namespace {

void print_measures(const Arguments& a, const Measures& m) {
  if (a.task == "dates") {
    common::print(
        "exact match {:.2f} % of {} dates that were never seen ({:.5f} nats per symbol)\n",
        100 * m.exact, m.pairs, m.nats_per_symbol);
    return;
  }
  common::print(
      "{} held-out pairs: {:.4f} nats per symbol, character BLEU-4 {}, exact match {:.2f} %\n",
      m.pairs, m.nats_per_symbol,
      m.bleu ? fmt::format("{:.2f}", *m.bleu) : "- (no target has 4 characters)", 100 * m.exact);
}

// Places spread evenly over a list, at most `count`.
std::vector<std::size_t> spread(std::size_t size, std::int64_t count) {
  const std::size_t wanted = std::min(size, static_cast<std::size_t>(count));
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < wanted; ++i) places.push_back(i * size / wanted);
  return places;
}

}  // namespace

nlohmann::json run_pairs(const Arguments& a) {
  const Material material = material_of(a);
  for (const std::string& remark : material.remarks) common::print("{}\n", remark);
  const Trained trained = train(a, a.settings, material, a.common.out);
  const Measures measures = trained.translator().measure(material.test, a.search());
  print_measures(a, measures);

  std::vector<Pair> shown;
  std::vector<std::string> texts;
  for (std::size_t i : spread(material.test.size(), std::max(a.samples, a.pictures))) {
    shown.push_back(material.test[i]);
    texts.push_back(material.test[i].source);
  }
  const auto translations = trained.translator().translate(texts, a.search());
  const auto printed = std::min(translations.size(), static_cast<std::size_t>(a.samples));
  nlohmann::json figures = json_of(a, trained);
  figures["test"] = json_of(measures);
  figures["samples"] = print_samples({shown.data(), printed}, {translations.data(), printed});
  if (!trained.translator().model().attends()) {
    common::print("no attention picture: the model has no attention\n");
    return figures;
  }
  std::vector<Looked> looked;
  for (const Translation& translation : translations) {
    if (looked.size() < static_cast<std::size_t>(a.pictures) && !translation.target.empty()) {
      looked.push_back(looked_of(translation));
    }
  }
  const std::string path = a.common.out + "/attention.svg";
  write_picture(path,
                attention_picture(a.task == "dates" ? "Where the attention looks: dates to ISO 8601"
                                                    : "Where the attention looks: translations",
                                  looked),
                "attention picture");
  figures["picture"] = path;
  return figures;
}

}  // namespace seq2seq
