// SPDX-License-Identifier: MIT
// The attention cases of tests/reference: one step of a Bahdanau decoder, several steps, Luong's
// two scores. In the files sources and queries are batch first, here time first.
#pragma once

#include "tests/nn/reference/case.h"

namespace reference {

// The decoder of "param.cell", "W_q", "W_k", "v" and "out". Its own embedding is unused.
inline nn::Decoder<nn::GruCell> bahdanau_decoder(Case& c) {
  const Shape ih = c.stored("param.cell.weight_ih").shape();
  const Shape key = c.stored("param.W_k.weight").shape();
  Random random(1);
  nn::Decoder<nn::GruCell> decoder({.vocabulary = c.stored("param.out.weight").dim(0),
                                    .embedding = ih[1] - key[1],
                                    .cell = {.hidden = ih[0] / 3, .dtype = c.dtype()},
                                    .attend = nn::Attend::before_step,
                                    .source = key[1],
                                    .attention = {.score = nn::Score::additive, .size = key[0]}},
                                   random);
  c.load("cell.", decoder.cells[0]);
  c.load("W_q.", decoder.attention.query);
  c.load("W_k.", decoder.attention.key);
  c.load("v.", decoder.attention.v);
  c.load("out.", decoder.output);
  return decoder;
}

// The embeddings of all steps, [T, B, E]: from the file, or looked up.
inline Var embedded_steps(Case& c, std::int64_t batch) {
  const auto time_first = [&](const Var& x) { return x.dim(0) == batch ? transpose(x, 0, 1) : x; };
  for (const char* name : {"input.emb", "input.embs", "input.embedded", "input.x"}) {
    if (!c.has(name)) continue;
    const Var x = c.var(name);
    return x.rank() == 2 ? insert_axis(x, 0) : time_first(x);
  }
  for (const char* table : {"param.emb.weight", "param.embedding.weight"}) {
    for (const char* name : {"input.tokens", "input.y", "input.symbols"}) {
      if (c.has(table) && c.has(name)) return time_first(embedding(c.var(table), c.tensor(name)));
    }
  }
  throw Unknown("no embeddings of the decoder's input");
}

inline Outputs bahdanau(Case& c) {
  const nn::Decoder<nn::GruCell> decoder = bahdanau_decoder(c);
  const Var enc = c.var("input.enc");
  const std::int64_t batch = enc.dim(0);
  const nn::AttentionSource source =
      decoder.attention.prepare(transpose(enc, 0, 1), c.integers("input.lengths"));
  const Var first = c.var(c.has("input.h0") ? "input.h0" : "input.h");
  nn::DecoderState<nn::GruCell> state = decoder.start({&first, 1});
  const std::int64_t size = first.dim(1), embedded = decoder.options.embedding;
  std::map<std::string, std::vector<Var>> steps;
  for (const Var& e : unstack(embedded_steps(c, batch))) {
    const nn::Decoded one = decoder.step(e, state, source);
    steps["attn"].push_back(one.weights);
    steps["context"].push_back(slice(one.features, -1, size, one.features.dim(-1) - embedded));
    steps["h_next"].push_back(state.layers[0].h());
    steps["logits"].push_back(decoder.output(one.features));
  }
  // A file has the outputs of the last step, or of all steps, batch first or time first.
  const std::map<std::string, std::string> other_names{
      {"attention", "attn"}, {"weights", "attn"}, {"contexts", "context"}, {"h", "h_next"},
      {"hs", "h_next"},      {"hn", "h_next"},    {"h_n", "h_next"},       {"h_last", "h_next"}};
  Outputs result;
  for (const std::string& name : c.names("output.")) {
    const auto other = other_names.find(name);
    const auto found = steps.find(other == other_names.end() ? name : other->second);
    if (found == steps.end()) continue;
    const Tensor stored = c.stored("output." + name);
    result[name] = stored.rank() == 2       ? found->second.back()
                   : stored.dim(0) == batch ? stack(found->second, 1)
                                            : stack(found->second, 0);
  }
  return result;
}

inline Outputs luong(Case& c) {
  const Var enc = transpose(c.var("input.enc"), 0, 1);
  const Var q = transpose(c.var("input.q"), 0, 1);
  const std::vector<std::int64_t> lengths = c.integers("input.lengths");
  Random random(1);
  Outputs result;
  for (const bool general : {false, true}) {
    nn::Attention attention({.score = general ? nn::Score::general : nn::Score::dot,
                             .query = q.dim(2),
                             .source = enc.dim(2),
                             .scaled = general,
                             .dtype = c.dtype()},
                            random);
    if (general) attention.weight = c.var("param.weight");
    const nn::Attended seen = attention(q, attention.prepare(enc, lengths));
    const std::string name = general ? "general_" : "dot_";
    result[name + "attn"] = transpose(seen.weights, 0, 1);
    result[name + "context"] = transpose(seen.context, 0, 1);
  }
  return result;
}

}  // namespace reference
