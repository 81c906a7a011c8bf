// SPDX-License-Identifier: MIT
// Batches, the forward pass, and what is read from it.
#include "examples/label/model.h"

#include <algorithm>
#include <numeric>

namespace label {

using namespace tapeloop;

namespace {

constexpr std::size_t kMeasured = 64;  // samples side by side

Tensor grid(std::int64_t rows, std::size_t columns, const std::vector<std::int64_t>& values,
            Device device) {
  return Tensor::from({rows, static_cast<std::int64_t>(columns)}, values).to(device);
}

}  // namespace

Labeller::Labeller(const ModelSettings& s, const Vocabulary& v, Random& random)
    : settings(s),
      vocabulary(&v),
      words(v.words.size(), s.embedding, random),
      lstm({.input = s.embedding + s.characters, .hidden = s.hidden, .bidirectional = true},
           random),
      head(2 * s.hidden, v.labels.size(), random),
      dropout(s.dropout, random),
      unknown(random.split()) {
  if (s.characters > 0) {
    spelling = nn::Lstm(
        {.input = v.characters.size(), .hidden = s.characters / 2, .bidirectional = true}, random);
  }
  if (s.pool == "attention") attention = nn::AttentionPooling(2 * s.hidden, s.hidden, random);
  if (s.crf) crf = nn::Crf(v.labels.size(), random);
}

Batch Labeller::batch(std::span<const Sample* const> samples, bool training) const {
  const Device device = head.weight.device();
  const auto count = samples.size();
  Batch result;
  for (const Sample* s : samples) {
    result.lengths.push_back(static_cast<std::int64_t>(s->words.size()));
  }
  const std::int64_t steps = *std::max_element(result.lengths.begin(), result.lengths.end());
  const std::int64_t rows = settings.task == Task::tags ? steps : 1;  // of labels
  std::vector<std::int64_t> word(static_cast<std::size_t>(steps) * count), place = word;
  std::vector<std::int64_t> labels(static_cast<std::size_t>(rows) * count, kNoLabel);
  Names different;
  for (std::size_t n = 0; n < count; ++n) {
    for (std::size_t t = 0; t < samples[n]->words.size(); ++t) {
      const std::string& text = samples[n]->words[t];
      const std::int64_t number =
          std::max<std::int64_t>(0, vocabulary->words.find(lower_case(text)));
      const auto often = static_cast<double>(vocabulary->counts[static_cast<std::size_t>(number)]);
      const double p = settings.word_dropout;
      const bool dropped = training && unknown.uniform() * (p + often) < p;
      word[t * count + n] = dropped ? 0 : number;
      place[t * count + n] = different.add(text);
    }
    for (std::size_t t = 0; t < samples[n]->labels.size(); ++t) {
      const std::int64_t number = vocabulary->labels.find(samples[n]->labels[t]);
      if (number < 0) continue;
      labels[t * count + n] = number;
      result.counted += 1;
    }
  }
  result.words = grid(steps, count, word, device);
  result.labels = grid(rows, count, labels, device);
  if (settings.task == Task::sentiment) result.labels = result.labels.select(0, 0);
  if (settings.characters == 0) return result;
  std::vector<std::vector<std::string>> spellings;
  for (std::int64_t w = 0; w < different.size(); ++w) {
    spellings.push_back(spelling_of(different[w]));
    result.spelling_lengths.push_back(static_cast<std::int64_t>(spellings.back().size()));
  }
  const std::int64_t letters =
      *std::max_element(result.spelling_lengths.begin(), result.spelling_lengths.end());
  std::vector<std::int64_t> characters(static_cast<std::size_t>(letters) * spellings.size());
  for (std::size_t w = 0; w < spellings.size(); ++w) {
    for (std::size_t i = 0; i < spellings[w].size(); ++i) {
      characters[i * spellings.size() + w] =
          std::max<std::int64_t>(0, vocabulary->characters.find(spellings[w][i]));
    }
  }
  result.characters = grid(letters, spellings.size(), characters, device);
  result.spelling = grid(steps, count, place, device);
  return result;
}

Var Labeller::embedded(const Batch& b) const {
  const Var by_word = words(b.words);
  if (settings.characters == 0) return by_word;
  const auto [ys, last] = spelling(b.characters, {}, b.spelling_lengths);
  // The last state of both directions, [W, characters].
  const Var by_character = concat({select_index(last.h(), 0, 0), select_index(last.h(), 0, 1)}, 1);
  return concat({by_word, embedding(by_character, b.spelling)}, 2);
}

Var Labeller::logits(const Var& x, const Batch& b, bool training) const {
  const auto dropped = [&](const Var& v) { return training ? dropout(v) : v; };
  Var y = lstm(dropped(x), {}, b.lengths).ys;
  if (settings.task == Task::sentiment) {
    y = settings.pool == "max"         ? nn::max_over_time(y, b.lengths)
        : settings.pool == "attention" ? attention(y, b.lengths).pooled
                                       : nn::mean_over_time(y, b.lengths);
  }
  return head(dropped(y));
}

Var Labeller::loss(const Var& logits, const Batch& b) const {
  if (!settings.crf) return cross_entropy(logits, b.labels, {.ignore_index = kNoLabel});
  return crf(logits, b.labels, b.lengths, Reduce::sum) / b.counted;
}

Report measure(const Labeller& model, const std::vector<Sample>& samples) {
  const bool tags = model.settings.task == Task::tags;
  std::vector<std::size_t> order(samples.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return samples[a].words.size() < samples[b].words.size();
  });
  Report report;
  report.found.resize(samples.size());
  report.wanted.resize(samples.size());
  double scored = 0;  // labels that the loss counts
  for (std::size_t first = 0; first < order.size(); first += kMeasured) {
    const std::size_t size = std::min(kMeasured, order.size() - first);
    std::vector<const Sample*> part;
    for (std::size_t i = 0; i < size; ++i) part.push_back(&samples[order[first + i]]);
    const Batch b = model.batch(part, false);
    const Var logits = model.logits(model.embedded(b), b, false);
    const std::vector<std::int64_t> best = argmax(logits.value()).to_vector<std::int64_t>();
    const std::vector<std::int64_t> wanted = b.labels.to_vector<std::int64_t>();
    std::vector<std::vector<std::int64_t>> decoded;
    if (model.settings.crf) decoded = model.crf.decode(logits.value(), b.lengths);
    bool whole = b.counted > 0;  // a CRF has no loss where a word has no label
    for (std::size_t n = 0; n < size; ++n) {
      const std::size_t steps = tags ? part[n]->words.size() : 1;
      for (std::size_t t = 0; t < steps; ++t) {
        const std::int64_t label = wanted[t * size + n];
        const std::int64_t found = model.settings.crf ? decoded[n][t] : best[t * size + n];
        report.found[order[first + n]].push_back(found);
        report.wanted[order[first + n]].push_back(label);
        if (label == kNoLabel && model.settings.crf) whole = false;
        if (label == kNoLabel) continue;
        ++report.counted;
        report.right += found == label ? 1 : 0;
      }
    }
    if (!whole) continue;
    report.nats += model.loss(logits, b).item() * b.counted;
    scored += b.counted;
  }
  if (scored > 0) report.nats /= scored;
  return report;
}

std::vector<double> influence(const Labeller& model, const Sample& sample, std::int64_t found) {
  const Sample* const one = &sample;
  const Batch b = model.batch({&one, 1}, false);
  Tape tape;
  const Var x = model.embedded(b);
  const Var logits = model.logits(x, b, false);
  const Var score = sum(select_index(logits, 1, found)) - mean(logits);
  const Var gradient = tape.gradient(score, {x})[0];
  return sum(gradient * x, {2}).value().to_vector<double>();  // [T, 1]
}

std::string picture_of(const Labeller& model, const std::vector<Sample>& samples,
                       const Report& report) {
  const Names& labels = model.vocabulary->labels;
  if (model.settings.task == Task::tags) {
    std::vector<std::string> names;
    for (std::int64_t k = 0; k < labels.size(); ++k) names.push_back(labels[k]);
    const Tensor counts = Tensor::zeros({labels.size(), labels.size()}, DType::int64);
    auto* const count = counts.data<std::int64_t>();
    for (std::size_t i = 0; i < samples.size(); ++i) {
      for (std::size_t t = 0; t < report.found[i].size(); ++t) {
        const std::int64_t wanted = report.wanted[i][t];
        if (wanted != kNoLabel) ++count[wanted * labels.size() + report.found[i][t]];
      }
    }
    return nn::confusion_picture(counts, names, {.title = "Which tags are confused"});
  }
  std::vector<nn::WordRow> rows;
  for (std::size_t i = 0; i < std::min<std::size_t>(16, samples.size()); ++i) {
    const std::int64_t found = report.found[i][0];
    rows.push_back({labels[found],
                    found == report.wanted[i][0] ? "" : "not " + samples[i].labels[0],
                    samples[i].words, influence(model, samples[i], found)});
  }
  return nn::word_picture(
      rows, {.title = "Which words moved the decision",
             .legend = "gradient times input: orange speaks for the label in front, blue against"});
}

}  // namespace label
