// SPDX-License-Identifier: MIT
// Beam search over any StepDecoder: a tree of prefixes for each sentence; one call of the
// model steps all sentences.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tapeloop/autograd/tape/tape.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/decode/decode_step.h"
#include "tapeloop/nn/decode/decoding.h"

namespace tapeloop::nn {

namespace {

using detail::DecodeStep;

constexpr double kNever = -std::numeric_limits<double>::infinity();

// A prefix: its last symbol and its parent. All prefixes of a sentence form a tree.
struct Node {
  std::int64_t parent;
  std::int64_t symbol;
  double log_probability;
  Tensor weights;  // of the step that chose the symbol
};

struct Candidate {
  double log_probability;
  std::int64_t beam;
  std::int64_t symbol;
};
// True if a is better than b. Of equal ones the lower numbers win, so the result is unique.
bool better(const Candidate& a, const Candidate& b) {
  if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
  return a.beam != b.beam ? a.beam < b.beam : a.symbol < b.symbol;
}

class Sentence {
 public:
  Sentence(const BeamOptions& options, std::int64_t number, std::int64_t sentences,
           std::int64_t source_length)
      : o_(options), number_(number), sentences_(sentences), source_length_(source_length) {
    nodes_.push_back({-1, o_.start, 0.0, {}});
    live_.push_back(0);
  }
  bool done() const { return live_.empty(); }

  // Chooses the best `beams` continuations in step number t. Beam k has row
  // k N + number of the model.
  void advance(const DecodeStep& step, std::int64_t t) {
    best_.clear();
    for (std::size_t k = 0; k < live_.size(); ++k) {
      const auto beam = static_cast<std::int64_t>(k);
      const double before = node(live_[k]).log_probability;
      step.check_row(beam * sentences_ + number_);
      log_p_.resize(static_cast<std::size_t>(step.classes));
      step.log_p(beam * sentences_ + number_, log_p_);
      for (std::int64_t symbol = 0; symbol < step.classes; ++symbol) {
        const Candidate c{before + log_p_[static_cast<std::size_t>(symbol)], beam, symbol};
        if (c.log_probability == kNever) continue;
        if (static_cast<std::int64_t>(best_.size()) == o_.beams) {
          if (!better(c, best_.front())) continue;
          std::pop_heap(best_.begin(), best_.end(), better);  // removes the worst one
          best_.pop_back();
        }
        best_.push_back(c);
        std::push_heap(best_.begin(), best_.end(), better);
      }
    }
    std::sort(best_.begin(), best_.end(), better);
    std::vector<std::int64_t> next;
    parents_.clear();
    for (const Candidate& c : best_) {
      nodes_.push_back({live_[static_cast<std::size_t>(c.beam)], c.symbol, c.log_probability,
                        step.weights_of(c.beam * sentences_ + number_)});
      const auto index = static_cast<std::int64_t>(nodes_.size()) - 1;
      if (c.symbol == o_.end || t + 1 == o_.max_length) {
        finish(index, t + 1);
      } else {
        next.push_back(index);
        parents_.push_back(c.beam);
      }
    }
    live_ = std::move(next);
    if (o_.stop_early && nothing_better_can_come(t + 1)) live_.clear();
  }

  // For each beam: the beam that it continues, and its next input symbol. Surplus
  // beams repeat the last one.
  std::int64_t parent(std::int64_t beam) const {
    return done() ? 0 : parents_[std::min(static_cast<std::size_t>(beam), live_.size() - 1)];
  }
  std::int64_t symbol(std::int64_t beam) const {
    return done() ? o_.end
                  : node(live_[std::min(static_cast<std::size_t>(beam), live_.size() - 1)]).symbol;
  }

  std::vector<Hypothesis> take_found() { return std::move(found_); }

 private:
  const Node& node(std::int64_t index) const { return nodes_[static_cast<std::size_t>(index)]; }

  double penalty(std::int64_t length) const {
    return std::pow((5.0 + static_cast<double>(length)) / 6.0, o_.length_penalty);
  }

  void finish(std::int64_t index, std::int64_t length) {
    Hypothesis h;
    h.log_probability = node(index).log_probability;
    h.ended = node(index).symbol == o_.end;
    std::vector<Tensor> rows;
    for (std::int64_t i = index; i > 0; i = node(i).parent) {
      if (node(i).symbol != o_.end) h.symbols.push_back(node(i).symbol);
      rows.push_back(node(i).weights);
    }
    std::reverse(h.symbols.begin(), h.symbols.end());
    std::reverse(rows.begin(), rows.end());
    h.score = h.log_probability / penalty(length);
    if (o_.coverage_penalty > 0) h.score += o_.coverage_penalty * coverage(rows);
    if (std::isnan(h.score)) {
      fail("beam_search", fmt::format("the attention weights of sentence {} hold NaN; the model "
                                      "has diverged, or its input was bad",
                                      number_));
    }
    // Sorted, at most n_best of them.
    auto place =
        std::upper_bound(found_.begin(), found_.end(), h.score,
                         [](double s, const Hypothesis& other) { return s > other.score; });
    if (place == found_.end() && static_cast<std::int64_t>(found_.size()) >= o_.n_best) return;
    h.weights = detail::stacked(rows);
    found_.insert(place, std::move(h));
    if (static_cast<std::int64_t>(found_.size()) > o_.n_best) found_.pop_back();
  }

  double coverage(const std::vector<Tensor>& rows) const {
    const std::int64_t steps = source_length_ < 0 ? rows[0].dim(0) : source_length_;
    double sum = 0;
    for (std::int64_t s = 0; s < steps; ++s) {
      double seen = 0;
      for (const Tensor& row : rows) seen += row.read<double>()[s];
      sum += std::log(std::clamp(seen, std::exp(-20.0), 1.0));
    }
    return sum;
  }

  bool nothing_better_can_come(std::int64_t length) const {
    if (static_cast<std::int64_t>(found_.size()) < o_.n_best) return false;
    // The bound: log P <= 0, divided by the largest penalty of any later
    // length. Coverage adds at most 0.
    const double largest = std::max(penalty(length + 1), penalty(o_.max_length));
    double bound = kNever;
    for (std::int64_t index : live_) {
      bound = std::max(bound, node(index).log_probability / largest);
    }
    return bound <= found_.back().score;
  }

  BeamOptions o_;
  std::int64_t number_;
  std::int64_t sentences_;
  std::int64_t source_length_;  // -1: all steps
  std::vector<Node> nodes_;
  std::vector<std::int64_t> live_;     // indices of nodes, the best first
  std::vector<std::int64_t> parents_;  // for each live prefix: the beam that it continues
  std::vector<double> log_p_;
  std::vector<Candidate> best_;
  std::vector<Hypothesis> found_;
};

void check_lengths(std::span<const std::int64_t> lengths, std::int64_t source_steps) {
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] < 0 || lengths[i] > source_steps) {
      fail("beam_search",
           fmt::format("source length {} of sentence {} is outside 0..{}, the steps of the "
                       "attention weights",
                       lengths[i], i, source_steps));
    }
  }
}

}  // namespace

std::vector<std::vector<Hypothesis>> beam_search(StepDecoder& model, const BeamOptions& o) {
  detail::check_options(model, o);
  if (o.beams < 1 || o.n_best < 1 || o.n_best > o.beams || !std::isfinite(o.length_penalty) ||
      !(o.coverage_penalty >= 0) || !std::isfinite(o.coverage_penalty)) {
    fail(
        "beam_search",
        fmt::format("beams {}, n_best {}, length_penalty {}, coverage_penalty {}: expected "
                    "1 <= n_best <= beams, a finite length penalty, and a coverage penalty of 0 or "
                    "more",
                    o.beams, o.n_best, o.length_penalty, o.coverage_penalty));
  }
  PauseRecording pause;
  model.restart();
  const std::int64_t n = model.sentences();
  std::vector<Sentence> sentences;
  const std::span<const std::int64_t> lengths = model.source_lengths();
  if (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != n) {
    fail("beam_search", fmt::format("the model has {} source lengths for {} sentences; expected "
                                    "one for each, or none if no source is padded",
                                    lengths.size(), n));
  }
  for (std::int64_t i = 0; i < n; ++i) {
    sentences.emplace_back(o, i, n, lengths.empty() ? -1 : lengths[static_cast<std::size_t>(i)]);
  }
  Tensor symbols = Tensor::full({n}, static_cast<double>(o.start), DType::int64);
  for (std::int64_t t = 0; t < o.max_length; ++t) {
    const DecodeStep step = detail::take_step(model, symbols, o.end);
    if (o.coverage_penalty > 0 && !step.weights.defined()) {
      fail("beam_search",
           "a coverage penalty needs a model whose step gives attention weights; set it to 0");
    }
    if (o.coverage_penalty > 0) check_lengths(lengths, step.weights.dim(1));
    bool running = false;
    for (Sentence& sentence : sentences) {
      if (!sentence.done()) sentence.advance(step, t);
      running = running || !sentence.done();
    }
    if (!running) break;
    Tensor rows = Tensor::empty({o.beams * n}, DType::int64);
    symbols = Tensor::empty({o.beams * n}, DType::int64);
    for (std::int64_t k = 0; k < o.beams; ++k) {
      for (std::int64_t i = 0; i < n; ++i) {
        const Sentence& sentence = sentences[static_cast<std::size_t>(i)];
        rows.data<std::int64_t>()[k * n + i] = sentence.parent(k) * n + i;
        symbols.data<std::int64_t>()[k * n + i] = sentence.symbol(k);
      }
    }
    model.select_rows(rows);
  }
  std::vector<std::vector<Hypothesis>> found;
  for (Sentence& sentence : sentences) found.push_back(sentence.take_found());
  return found;
}

}  // namespace tapeloop::nn
