// SPDX-License-Identifier: MIT
// Attention: weights that say which time steps of a source a query reads. Scores: additive, dot,
// general, cosine; masked by lengths. Knows no decoder: any cell or model can use it. The source is
// prepared once, then read at each step.
//   S source steps, N batch, D features of the source, H of the query, A of the keys,
//   T queries of each sequence.
#pragma once

#include <span>

#include "tapeloop/nn/layers/layers.h"

namespace tapeloop::nn {

// How a query q is compared with a step s of the source. dot and cosine need H = D.
enum class Score {
  // v . tanh(W_q q + W_k s + b)     Bahdanau, Cho & Bengio 2015, arXiv:1409.0473
  additive,
  // q . s                           Luong, Pham & Manning 2015, arXiv:1508.04025
  dot,
  // q . W^T s, which is (W q) . s   the same
  general,
  // (q . s) / (|q| |s|)             Graves, Wayne & Danihelka 2014, arXiv:1410.5401
  cosine,
};

struct AttentionOptions {
  Score score = Score::additive;  // how well a query fits a source step
  std::int64_t query = 0;         // H
  std::int64_t source = 0;        // D
  std::int64_t size = 0;          // additive: A, the size of its hidden layer; 0: as query
  // Scales scores to unit variance at the start: dot, general and additive are divided
  // by sqrt(their size) (Vaswani et al. 2017); cosine, which is small for many
  // features, is multiplied by it.
  bool scaled = false;
  DType dtype = DType::float32;  // of the weights
};

// A prepared source: everything that does not depend on the query, calculated once.
struct AttentionSource {
  Var keys;                       // [N, S, A]
  Var columns;                    // [N, D, S], weighted to give the context
  Score score = Score::additive;  // the score that the keys are for
  Tensor mask;  // [N, S]: 1 within a sequence's length, else 0; undefined if all have S steps
  bool defined() const { return columns.defined(); }
};

// The result of Attention.
struct Attended {
  Var context;  // [N, D] or [T, N, D]
  Var weights;  // [N, S] or [T, N, S]: rows sum to 1, and are 0 past the sequence's length
};

struct Attention {
  AttentionOptions options;  // as given to the constructor
  Linear query;              // additive: W_q [A, H], no bias
  Linear key;                // additive: W_k [A, D], b [A]
  Linear v;                  // additive: [1, A], no bias
  Var weight;                // general: W [D, H]
  Attention() = default;
  Attention(const AttentionOptions& options, Random& random);

  // Takes the source [S, N, D] and the lengths [N] of its sequences, each 1..S; none: all S. Steps
  // past a length are not used, and may be NaN. Cost: a copy of the source if lengths differ; one
  // product for additive and general.
  AttentionSource prepare(const Var& source, std::span<const std::int64_t> lengths = {}) const;
  // q [N, H], one query for each sequence, or [T, N, H], T queries (time steps or beams), which
  // read one source without a copy. Weights softmax(scores), context sum_s weights_s source_s. Cost
  // of a query: S (A + D) multiplications, and S A tanh for additive. Only additive needs memory of
  // the source's size: [T, N, S, A].
  Attended operator()(const Var& q, const AttentionSource& source) const;
  void visit(Visitor& visitor) const {
    visitor("query", query);
    visitor("key", key);
    visitor("v", v);
    visitor("weight", weight);
  }

 private:
  Var scores(const Var& q, const AttentionSource& source) const;
};

}  // namespace tapeloop::nn
