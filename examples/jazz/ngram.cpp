// SPDX-License-Identifier: MIT
// Contexts, counts and mixture weights of the n-gram baseline.
// Keeps contexts as 64-bit hashes: with a million contexts, two collide once in 10^7 corpora.
#include "examples/jazz/ngram.h"

#include <array>
#include <cmath>
#include <stdexcept>

namespace jazz {
namespace {

constexpr int kLongest = 5;  // contexts of a chain, from no knowledge to the most specific
constexpr int kClasses[kFactors] = {kDeltaClasses, kPitchClasses, kDurationClasses};

// Mixes one number into a hash (the finaliser of SplitMix64, Steele et al. 2014).
std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash += 0x9e3779b97f4a7c15u + value;
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
  return hash ^ hash >> 31;
}

// The growing context of a chain: each level adds to the one before it.
class Contexts {
 public:
  explicit Contexts(std::uint64_t name) : hash_(mix(0, name)) {}

  Contexts& add(int value) {
    hash_ = mix(hash_, static_cast<std::uint64_t>(value + 2));
    return *this;
  }
  void end_level() {
    levels_[size_] = mix(hash_, size_);
    ++size_;
  }
  std::span<const std::uint64_t> levels() const { return {levels_.data(), size_}; }

 private:
  std::uint64_t hash_;
  std::array<std::uint64_t, kLongest> levels_{};
  std::size_t size_ = 0;
};

// The k-th event back, k = 1 is the last one. Before the beginning it returns a note that cannot
// occur.
Event back(std::span<const Event> past, std::size_t k) {
  return k <= past.size() ? past[past.size() - k] : Event{-1, -1, -1, {}};
}

int chord_number(int root, int quality) { return root * kQualities + quality; }

Contexts delta_contexts(int chain, std::span<const Event> past) {
  Contexts contexts(static_cast<std::uint64_t>(chain));
  contexts.end_level();
  const Event last = back(past, 1);
  if (chain == 1) contexts.add(past.empty() ? -1 : last.at.position).end_level();
  if (chain == 2) {
    contexts.add(last.duration).add(past.empty() ? -1 : last.at.position % 12).end_level();
  }
  for (std::size_t k = 1; k <= 3; ++k) {
    const Event event = back(past, k);
    contexts.add(event.delta);
    if (chain != 2) contexts.add(event.duration);
    if (chain == 2) contexts.add(event.pitch);
    contexts.end_level();
  }
  return contexts;
}

Contexts pitch_contexts(int chain, std::span<const Event> past, const Event& now) {
  Contexts contexts(static_cast<std::uint64_t>(10 + chain));
  // Notes within a chord have another distribution.
  contexts.add(now.delta == 0 ? 1 : 0).end_level();
  if (chain == 1) contexts.add(chord_number(now.at.root, now.at.quality)).end_level();
  if (chain == 2) {
    contexts.add(back(past, 1).pitch).add(chord_number(now.at.root, now.at.quality)).end_level();
    contexts.add(now.at.position % 24).end_level();
    contexts.add(chord_number(now.at.next_root, now.at.next_quality)).end_level();
    contexts.add(back(past, 2).pitch).end_level();
    return contexts;
  }
  for (std::size_t k = 1; k <= 3; ++k) contexts.add(back(past, k).pitch).end_level();
  return contexts;
}

Contexts duration_contexts(int chain, std::span<const Event> past, const Event& now) {
  Contexts contexts(static_cast<std::uint64_t>(20 + chain));
  contexts.add(now.pitch == kRest ? 1 : 0).end_level();
  if (chain == 1) contexts.add(now.at.position).end_level();
  if (chain == 2) {
    contexts.add(now.at.position % 12).add(now.delta == 0 ? 1 : 0).end_level();
    contexts.add(back(past, 1).duration).add(now.delta).end_level();
    contexts.add(now.pitch).end_level();
    contexts.add(back(past, 1).pitch).end_level();
    return contexts;
  }
  contexts.add(now.delta);
  for (std::size_t k = 1; k <= 3; ++k) {
    const Event event = back(past, k);
    contexts.add(event.duration).end_level();
    contexts.add(event.delta);
  }
  return contexts;
}

Contexts contexts_of(Factor factor, int chain, std::span<const Event> past, const Event& now) {
  if (factor == Factor::delta) return delta_contexts(chain, past);
  if (factor == Factor::pitch) return pitch_contexts(chain, past, now);
  return duration_contexts(chain, past, now);
}

int value_of(Factor factor, const Event& event) {
  if (factor == Factor::delta) return event.delta;
  return factor == Factor::pitch ? event.pitch : event.duration;
}

constexpr Factor kAllFactors[kFactors] = {Factor::delta, Factor::pitch, Factor::duration};

std::size_t index(Factor factor) { return static_cast<std::size_t>(factor); }

}  // namespace

void Ngram::train(Sequences sequences) {
  std::size_t events = 0;
  for (const auto& sequence : sequences) events += sequence.size();
  if (events == 0) throw std::invalid_argument("Ngram::train: no events, expected one or more");

  for (auto& weights : mixture_.weight) {
    for (double& weight : weights) weight = 1.0 / kChains;
  }
  trained_ = true;
  const std::size_t held_out = sequences.size() / 8;
  if (held_out > 0) {
    count(sequences.first(sequences.size() - held_out));
    fit_weights(sequences.last(held_out));
  }
  count(sequences);
}

void Ngram::count(Sequences sequences) {
  contexts_.clear();
  counts_.clear();
  for (const auto& sequence : sequences) {
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      const auto past = std::span(sequence).first(i);
      for (Factor factor : kAllFactors) {
        const auto value = static_cast<std::uint64_t>(value_of(factor, sequence[i]));
        for (int chain = 0; chain < kChains; ++chain) {
          const Contexts contexts = contexts_of(factor, chain, past, sequence[i]);
          for (std::uint64_t context : contexts.levels()) {
            Seen& seen = contexts_[context];
            ++seen.total;
            if (++counts_[mix(context, value)] == 1) ++seen.kinds;
          }
        }
      }
    }
  }
}

// Expectation maximisation of the weights of a mixture of fixed models.
void Ngram::fit_weights(Sequences held_out) {
  for (Factor factor : kAllFactors) {
    std::vector<std::array<double, kChains>> probabilities;
    for (const auto& sequence : held_out) {
      for (std::size_t i = 0; i < sequence.size(); ++i) {
        auto& row = probabilities.emplace_back();
        for (int chain = 0; chain < kChains; ++chain) {
          row[static_cast<std::size_t>(chain)] =
              chain_probability(factor, chain, std::span(sequence).first(i), sequence[i],
                                value_of(factor, sequence[i]));
        }
      }
    }
    if (probabilities.empty()) continue;
    auto& weights = mixture_.weight[index(factor)];
    for (int round = 0; round < 50; ++round) {
      double share[kChains] = {};
      for (const auto& row : probabilities) {
        double sum = 0;
        for (std::size_t c = 0; c < kChains; ++c) sum += weights[c] * row[c];
        for (std::size_t c = 0; c < kChains; ++c) share[c] += weights[c] * row[c] / sum;
      }
      for (std::size_t c = 0; c < kChains; ++c) {
        weights[c] = share[c] / static_cast<double>(probabilities.size());
      }
    }
  }
}

double Ngram::chain_probability(Factor factor, int chain, std::span<const Event> past,
                                const Event& now, int value) const {
  double probability = 1.0 / kClasses[index(factor)];
  const Contexts contexts = contexts_of(factor, chain, past, now);
  for (std::uint64_t context : contexts.levels()) {
    const auto seen = contexts_.find(context);
    if (seen == contexts_.end()) break;
    const auto found = counts_.find(mix(context, static_cast<std::uint64_t>(value)));
    const int together = found == counts_.end() ? 0 : found->second;
    probability =
        (together + seen->second.kinds * probability) / (seen->second.total + seen->second.kinds);
  }
  return probability;
}

double Ngram::probability(Factor factor, std::span<const Event> past, const Event& now,
                          int value) const {
  if (!trained_) throw std::logic_error("Ngram: not trained; call train() first");
  double sum = 0;
  for (int chain = 0; chain < kChains; ++chain) {
    const double weight = mixture_.weight[index(factor)][chain];
    if (weight > 0) sum += weight * chain_probability(factor, chain, past, now, value);
  }
  return sum;
}

NatsPerNote Ngram::nats_per_note(Sequences sequences) const {
  double nats[kFactors] = {};
  double notes = 0;
  for (const auto& sequence : sequences) {
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      if (sequence[i].pitch != kRest) ++notes;
      for (Factor factor : kAllFactors) {
        nats[index(factor)] -= std::log(probability(factor, std::span(sequence).first(i),
                                                    sequence[i], value_of(factor, sequence[i])));
      }
    }
  }
  if (notes == 0) throw std::invalid_argument("Ngram::nats_per_note: no note to predict");
  return {nats[0] / notes, nats[1] / notes, nats[2] / notes};
}

}  // namespace jazz
