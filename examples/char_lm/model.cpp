// SPDX-License-Identifier: MIT
// Building the model, and its forward pass.
#include "examples/char_lm/model.h"

#include "autograd/error.h"

namespace char_lm {

namespace nn = tapeloop::nn;
using tapeloop::Random;
using tapeloop::Tensor;
using tapeloop::Var;

namespace {

// A cell whose input projection is done already.
template <class C>
struct Projected {
  using State = typename C::State;
  const C& cell;
  auto state_sizes() const { return cell.state_sizes(); }
  State step(const Var& zx, const State& s) const { return cell.step(zx, s); }
};

// The bias that cell.input() adds. A GRU adds the recurrent one later, within its reset gate.
template <class C>
Var input_bias(const C& cell) {
  return cell.w.bias_ih + cell.w.bias_hh;
}
Var input_bias(const nn::GruCell& cell) { return cell.w.bias_ih; }

template <class State>
State from_carried(const Carried& carried, std::size_t layer) {
  State state;
  for (std::size_t k = 0; k < State::parts && !carried.empty(); ++k) {
    state[k] = carried.at(layer * State::parts + k);
  }
  return state;
}

}  // namespace

template <class C>
Var one_hot_input(const C& cell, const Tensor& tokens) {
  return embedding(transpose(cell.w.weight_ih) + input_bias(cell), tokens);
}
template Var one_hot_input(const nn::LstmCell&, const Tensor&);
template Var one_hot_input(const nn::GruCell&, const Tensor&);
template Var one_hot_input(const nn::RnnCell&, const Tensor&);

CharLm::CharLm(std::int64_t vocabulary, const ModelOptions& o, Random& random) {
  if (o.embedding > 0) {
    embedding_ = nn::Embedding(vocabulary, o.embedding, random, -1, o.dtype);
  }
  const nn::RecurrentOptions options{.input = o.embedding > 0 ? o.embedding : vocabulary,
                                     .hidden = o.hidden,
                                     .layers = o.layers,
                                     .dtype = o.dtype};
  if (o.cell == "lstm") {
    layers_ = nn::Lstm(options, random);
  } else if (o.cell == "gru") {
    layers_ = nn::Gru(options, random);
  } else if (o.cell == "rnn") {
    layers_ = nn::Rnn(options, random);
  } else {
    tapeloop::fail("char_lm", "there is no cell '" + o.cell + "'; choose lstm, gru or rnn");
  }
  dropout_ = nn::Dropout(o.dropout, random);
  head_ = nn::Linear(o.hidden, vocabulary, random, true, o.dtype);
}

Var CharLm::operator()(const Tensor& tokens, Carried& carried) const {
  const auto run = [&](const auto& stack) {
    using State = typename std::remove_cvref_t<decltype(stack)>::State;
    Carried after;
    Var ys;
    for (std::size_t layer = 0; layer < stack.cells().size(); ++layer) {
      const auto& cell = stack.cells()[layer];
      const State before = from_carried<State>(carried, layer);
      const nn::Unrolled<State> unrolled = layer > 0   ? nn::unroll(cell, ys, before)
                                : embedding_ ? nn::unroll(cell, (*embedding_)(tokens), before)
                                             : nn::unroll(Projected{cell}, one_hot_input(cell, tokens), before);
      ys = dropout_(unrolled.ys);
      for (const Var& part : unrolled.last) after.push_back(part.detach());
    }
    carried = std::move(after);
    return ys;
  };
  return head_(std::visit(run, layers_));
}

void CharLm::visit(nn::Visitor& v) const {
  if (embedding_) v("embedding", *embedding_);
  constexpr const char* kNames[] = {"lstm", "gru", "rnn"};
  std::visit([&](const auto& stack) { v(kNames[layers_.index()], stack); }, layers_);
  v("head", head_);
  v("dropout", dropout_);
}

}  // namespace char_lm
