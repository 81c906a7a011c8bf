// SPDX-License-Identifier: MIT
// reverse and copy: the same letters with attention and without it, accuracy over length.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "examples/common/console.h"
#include "examples/seq2seq/tasks/lengths.h"
#include "examples/seq2seq/tasks/tasks.h"

namespace seq2seq {
namespace {

constexpr int kMeasured = 200;  // sequences of each length

// Share of right letters and of completely right sequences at each length.
struct Accuracy {
  std::vector<double> letters, whole;
};

Accuracy accuracy(const Translator& translator, const std::vector<std::vector<Pair>>& by_length) {
  Accuracy result;
  for (const std::vector<Pair>& pairs : by_length) {
    std::vector<std::string> texts;
    for (const Pair& pair : pairs) texts.push_back(pair.source);
    const auto length = static_cast<std::int64_t>(texts[0].size());
    const auto translations = translator.translate(texts, {.max_length = length + 1});
    std::size_t right = 0, whole = 0, letters = 0;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const std::string& expected = pairs[i].target;
      const std::string& found = translations[i].text;
      letters += expected.size();
      for (std::size_t k = 0; k < expected.size(); ++k) {
        right += k < found.size() && found[k] == expected[k] ? 1 : 0;
      }
      whole += found == expected ? 1 : 0;
    }
    result.letters.push_back(static_cast<double>(right) / static_cast<double>(letters));
    result.whole.push_back(static_cast<double>(whole) / static_cast<double>(pairs.size()));
  }
  return result;
}

}  // namespace

nlohmann::json run_letters(const Arguments& a) {
  const Order order = a.task == "reverse" ? Order::reverse : Order::copy;
  const Material material = letters_material(a);
  const std::vector<int> lengths = measured_lengths(static_cast<int>(a.longest));
  tapeloop::Random random = tapeloop::Random(a.common.seed + 1).split();
  std::vector<std::vector<Pair>> by_length;
  for (int length : lengths) {
    std::vector<Pair>& pairs = by_length.emplace_back();
    for (int i = 0; i < kMeasured; ++i) pairs.push_back(letters_pair(order, length, random));
  }

  const std::string plain = a.common.out + "/plain/last.safetensors";
  std::error_code ignored;
  // A new run starts both models anew. Otherwise --resume, after Ctrl-C in the first model, would
  // find the second model of an earlier run.
  if (!a.resume) std::filesystem::remove(plain, ignored);

  nlohmann::json figures;
  std::vector<Curve> curves;
  std::vector<Accuracy> found;
  for (const bool attends : {true, false}) {
    Settings settings = a.settings;
    if (!attends) settings.model.attention = "none";
    const char* name = attends ? "attention" : "plain";
    Arguments own = a;
    // A run that was stopped in the first model has no second model yet.
    if (!attends) own.resume = a.resume && std::filesystem::exists(plain, ignored);
    const Trained trained = train(own, settings, material, a.common.out + "/" + name);
    const Accuracy& got = found.emplace_back(accuracy(trained.translator(), by_length));
    curves.push_back({attends ? "with attention" : "without attention", got.whole, !attends});
    figures[name] = json_of(a, trained);
    figures[name]["letters_right"] = got.letters;
    figures[name]["sequences_right"] = got.whole;
    if (!attends) continue;
    const std::size_t trained_to = static_cast<std::size_t>(
        std::find(lengths.begin(), lengths.end(), static_cast<int>(a.longest)) - lengths.begin());
    const std::vector<std::string> texts = {by_length[trained_to][0].source};
    const auto translations = trained.translator().translate(texts, {.max_length = a.longest + 1});
    std::vector<Looked> looked;
    if (!translations[0].target.empty()) looked.push_back(looked_of(translations[0]));
    write_picture(a.common.out + "/attention.svg",
                  attention_picture("Where the attention looks: " + a.task, looked),
                  "attention picture");
  }
  common::print(
      "letters  sequences wholly right, of {}: with attention   without   (letters right)\n",
      kMeasured);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    common::print("{:>7}  {:>45.1f} % {:>7.1f} %   ({:.1f} %, {:.1f} %)\n", lengths[i],
                  100 * found[0].whole[i], 100 * found[1].whole[i], 100 * found[0].letters[i],
                  100 * found[1].letters[i]);
  }
  const std::string path = a.common.out + "/lengths.svg";
  write_picture(
      path,
      length_picture(order == Order::reverse ? "Letters in reverse: sequences wholly right"
                                             : "Letters copied: sequences wholly right",
                     {lengths.begin(), lengths.end()}, curves, static_cast<double>(a.longest)),
      "accuracy over length");
  figures["task"] = a.task;
  figures["lengths"] = lengths;
  figures["picture"] = path;
  return figures;
}

}  // namespace seq2seq
