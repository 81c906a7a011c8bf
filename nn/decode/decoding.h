// SPDX-License-Identifier: MIT
// Decoding: the symbols that a model finds most likely, one after another: greedy, drawn by chance, and beam search.
// Knows no model: whatever can take a step (StepDecoder) can be searched. Many sentences at once. No gradients.
// All three throw if the logits of an unfinished sentence hold NaN or +inf, or are all -inf.
#pragma once

#include <span>
#include <vector>

#include "tapeloop/nn/decode/sampling.h"

namespace tapeloop::nn {

// A model that is fed a symbol and says what may come next. It holds the states of a number of rows, at first one for each
// sentence.
class StepDecoder {
 public:
  struct Result {
    Tensor logits;   // [R, V]
    Tensor weights;  // [R, S]: what each row looks at; undefined without attention
  };
  virtual ~StepDecoder() = default;
  virtual std::int64_t sentences() const = 0;                                  // N
  virtual std::span<const std::int64_t> source_lengths() const { return {}; }  // [N]; empty: all S
  // Back to before the first step, one row for each sentence: every search begins with it.
  virtual void restart() = 0;
  // Feeds a symbol [R] (int64) to each row.
  virtual Result step(const Tensor& symbols) = 0;
  // From now on row i goes on from where row rows[i] is. rows [R'] int64 may repeat and leave out; R' is a multiple of N,
  // and row i stays one of sentence i mod N: the rows of a beam of N sentences lie N apart.
  virtual void select_rows(const Tensor& rows) = 0;
};

// What was found for a sentence.
struct Hypothesis {
  std::vector<std::int64_t> symbols;  // without start and end
  double log_probability = 0;         // of all symbols, the end included
  double score = 0;                   // what hypotheses are ordered by; see BeamOptions
  bool ended = false;                 // false: cut off at the greatest length
  Tensor weights;  // [steps, S], a row for each symbol and the end; undefined without attention
};

struct DecodeOptions {
  std::int64_t start = 0;         // fed first
  std::int64_t end = 1;           // what ends a sentence
  std::int64_t max_length = 100;  // steps, the end included
};

// The likeliest symbol at each step, the first of equals. [N] hypotheses; score is the log-probability.
std::vector<Hypothesis> decode_greedily(StepDecoder& model, const DecodeOptions& options);
// Symbols drawn by sample(); the log-probabilities are those of the model, without temperature and cuts.
std::vector<Hypothesis> decode_by_sampling(StepDecoder& model, const DecodeOptions& options,
                                           Random& random, const SampleOptions& sampling = {});

// Beam search takes in each step the `beams` best continuations of a sentence's prefixes, those with the greatest
// log-probability: the ones that end become hypotheses, the others are the next prefixes. A hypothesis Y is worth
//   score(Y) = log P(Y) / lp(Y) + coverage_penalty * sum_s log(min(sum_t weights_ts, 1))
//   lp(Y) = ((5 + |Y|) / 6)^length_penalty          |Y| with the end          Wu et al. 2016, arXiv:1609.08144
// where s runs over the source_lengths() of the sentence, and a step that nothing looked at counts as log e^-20. Sentences
// cut off at max_length are hypotheses too.
struct BeamOptions : DecodeOptions {
  std::int64_t beams = 5;
  std::int64_t n_best = 1;      // how many are returned, if so many were found; at most `beams`
  double length_penalty = 0;    // 0: plain log-probability; about 0.6 to 1 for translation
  double coverage_penalty = 0;  // 0: none; about 0.2
  // A sentence is done when none of its prefixes can become better than its n_best hypotheses: log P only falls, and the
  // score of a prefix is bounded by that of the most favourable length. The result is that of searching to the end.
  bool stop_early = true;
};
// For each sentence its best hypotheses, the best first. Each step is one call of the model for all sentences and beams.
std::vector<std::vector<Hypothesis>> beam_search(StepDecoder& model, const BeamOptions& options);

}  // namespace tapeloop::nn
