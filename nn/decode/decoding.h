// SPDX-License-Identifier: MIT
// Decoding: chooses the symbols of a model one after another: greedy, by sampling, or by
// beam search. Works with any model that can take a step (StepDecoder), on many sentences at
// once. No gradients. All three functions throw if the logits of an unfinished sentence hold
// NaN or +inf, or are all -inf.
#pragma once

#include <span>
#include <vector>

#include "tapeloop/nn/decode/sampling.h"

namespace tapeloop::nn {

// A model that takes a symbol and predicts the next one. It holds the states of a number of rows,
// initially one for each sentence.
class StepDecoder {
 public:
  // What a step gives for each of R rows.
  struct Result {
    Tensor logits;   // [R, V]
    Tensor weights;  // [R, S]: attention weights of each row; undefined without attention
  };
  virtual ~StepDecoder() = default;
  virtual std::int64_t sentences() const = 0;                                  // N
  virtual std::span<const std::int64_t> source_lengths() const { return {}; }  // [N]; empty: all S
  // Resets to the state before the first step, with one row for each sentence.
  // Every search calls it first.
  virtual void restart() = 0;
  // Takes a step with one symbol for each row: [R] int64.
  virtual Result step(const Tensor& symbols) = 0;
  // Row i continues from the state of row rows[i]. rows [R'] int64 may repeat rows and omit
  // them. R' is a multiple of N, and row i belongs to sentence i mod N: the beams of one
  // sentence are N rows apart.
  virtual void select_rows(const Tensor& rows) = 0;
};

// A result for one sentence.
struct Hypothesis {
  std::vector<std::int64_t> symbols;  // without start and end
  double log_probability = 0;         // of all symbols, including the end
  double score = 0;                   // hypotheses are ordered by it; see BeamOptions
  bool ended = false;                 // false: cut off at max_length
  Tensor weights;  // [steps, S], one row for each symbol and the end; undefined without attention
};

struct DecodeOptions {
  std::int64_t start = 0;         // the first input
  std::int64_t end = 1;           // the symbol that ends a sentence
  std::int64_t max_length = 100;  // steps, including the end
};

// The most likely symbol at each step, the first if several are equal. [N] hypotheses;
// score is the log-probability.
std::vector<Hypothesis> decode_greedily(StepDecoder& model, const DecodeOptions& options);
// Symbols drawn by sample(). The log-probabilities are the model's, without
// temperature, top_k and top_p.
std::vector<Hypothesis> decode_by_sampling(StepDecoder& model, const DecodeOptions& options,
                                           Random& random, const SampleOptions& sampling = {});

// In each step beam search chooses the `beams` continuations of a sentence's prefixes with the
// highest log-probability. Those that end become hypotheses, the others are the next prefixes. The
// score of a hypothesis Y is
//   score(Y) = log P(Y) / lp(Y) + coverage_penalty * sum_s log(min(sum_t weights_ts, 1))
//   lp(Y) = ((5 + |Y|) / 6)^length_penalty          |Y| includes the end
// Wu et al. 2016, arXiv:1609.08144. s runs over the source_lengths() of the sentence; the logarithm
// is at least -20. Sentences cut off at max_length are hypotheses too.
struct BeamOptions : DecodeOptions {
  std::int64_t beams = 5;       // prefixes kept for each sentence
  std::int64_t n_best = 1;      // maximum number of results, at most `beams`
  double length_penalty = 0;    // 0: the score is log P; about 0.6 to 1 for translation
  double coverage_penalty = 0;  // 0: none; about 0.2
  // Stops a sentence when none of its prefixes can become better than its n_best
  // hypotheses. log P only decreases, so the most favourable length bounds a prefix's
  // score. The result is the same as without.
  bool stop_early = true;
};
// The best hypotheses of each sentence, the best first. Each step calls the model once
// for all sentences and beams.
std::vector<std::vector<Hypothesis>> beam_search(StepDecoder& model, const BeamOptions& options);

}  // namespace tapeloop::nn
