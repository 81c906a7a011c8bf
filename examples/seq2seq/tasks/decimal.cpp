// SPDX-License-Identifier: MIT
// add --base 10: sums as a translation, written from the lowest digit; shows the carry in the
// decoder's hidden units.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/seq2seq/tasks/addition.h"
#include "examples/seq2seq/tasks/tasks.h"

namespace seq2seq {
namespace {

constexpr int kTraced = 40;  // sums whose hidden units are compared with carries
constexpr std::size_t kShown = 3;

// The hidden units after each digit of the model's own output.
CarryTrace decimal_trace(const Translator& translator, const Pair& pair, const Sum& sum,
                         const Translation& translation) {
  const Languages& languages = translator.languages();
  const Example example{languages.source.encode(translation.source),
                        languages.target.encode(translation.target)};
  const Example* one = &example;
  const Batch batch = make_batch({&one, 1});
  const tapeloop::Tensor states =
      translator.model().hidden_states(batch.source, batch.source_lengths, batch.inputs);
  const int digits = static_cast<int>(translation.target.size());
  CarryTrace trace;
  trace.hidden = states.select(1, 0).slice(0, 0, digits);
  trace.carries = carries_of(sum, 10, digits);
  const std::vector<int> a = digits_of(sum.a, 10, digits), b = digits_of(sum.b, 10, digits);
  for (std::size_t t = 0; t < a.size(); ++t) {
    trace.digits.push_back(fmt::format("{}{}", a[t], b[t]));
    trace.sums.push_back(translation.target[t]);
  }
  std::string written = translation.text;
  std::reverse(written.begin(), written.end());
  trace.caption = fmt::format("{} = {}", pair.source, written);
  return trace;
}

}  // namespace

nlohmann::json run_decimal(const Arguments& a) {
  const Material material = material_of(a);
  const Trained trained = train(a, a.settings, material, a.common.out);
  const Translator& translator = trained.translator();
  const Measures measures = translator.measure(material.test, a.search());
  common::print("{:.2f} % of {} sums that were never seen are right\n", 100 * measures.exact,
                measures.pairs);
  std::vector<std::string> texts;
  const std::size_t count = std::min(
      material.test.size(), static_cast<std::size_t>(std::max<std::int64_t>(kTraced, a.samples)));
  for (std::size_t i = 0; i < count; ++i) texts.push_back(material.test[i].source);
  const auto translations = translator.translate(texts, a.search());
  common::print("sums are written from their lowest digit:\n");
  const std::size_t printed = std::min(count, static_cast<std::size_t>(a.samples));
  nlohmann::json figures = json_of(a, trained);
  figures["base"] = 10;
  figures["test"] = json_of(measures);
  figures["samples"] =
      print_samples({material.test.data(), printed}, {translations.data(), printed});

  std::vector<CarryTrace> traces;
  std::vector<Looked> looked;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, kTraced); ++i) {
    if (translations[i].target.empty()) continue;
    const auto sum = parse_sum(material.test[i].source, 10, kMostDigits);
    traces.push_back(decimal_trace(translator, material.test[i], *sum, translations[i]));
    if (translator.model().attends() && looked.size() < static_cast<std::size_t>(a.pictures)) {
      looked.push_back(looked_of(translations[i]));
      looked.back().caption = traces.back().caption;
    }
  }
  if (translator.model().attends()) {
    write_picture(
        a.common.out + "/attention.svg",
        attention_picture("Where the attention looks: decimal sums, lowest digit first", looked),
        "attention picture");
  }
  if (traces.empty()) {
    common::print("no picture of the carry: the model wrote no sums\n");
    return figures;
  }
  // Puts the sums with the most carries first.
  std::stable_sort(traces.begin(), traces.end(), [](const CarryTrace& x, const CarryTrace& y) {
    return std::count(x.carries.begin(), x.carries.end(), 1) >
           std::count(y.carries.begin(), y.carries.end(), 1);
  });
  write_carries(a, "The carry in the hidden units of a decoder that adds", traces, kShown, figures);
  return figures;
}

}  // namespace seq2seq
