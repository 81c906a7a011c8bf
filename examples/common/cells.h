// SPDX-License-Identifier: MIT
// Recurrent cells by their names: lstm, gru, rnn. A new cell also needs its name in the row --cell
// of each program's settings.cpp.
#pragma once

#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/nn.h"

namespace common {

// Calls f(std::type_identity<Cell>()) for the cell of this name. Throws Error if there is none.
template <class F>
void with_cell(const std::string& name, F f) {
  if (name == "lstm") return f(std::type_identity<tapeloop::nn::LstmCell>());
  if (name == "gru") return f(std::type_identity<tapeloop::nn::GruCell>());
  if (name == "rnn") return f(std::type_identity<tapeloop::nn::RnnCell>());
  tapeloop::fail("cell", "there is no cell '" + name + "'; choose lstm, gru or rnn");
}

// The recurrent state between two calls, without its history: h, and c of an LSTM, each [layers, N,
// H]. Empty: zeros.
using Memory = std::vector<tapeloop::Tensor>;

// Layers of one cell.
class Recurrent {
 public:
  Recurrent() = default;
  Recurrent(const std::string& cell, const tapeloop::nn::RecurrentOptions& options,
            tapeloop::Random& random) {
    with_cell(cell, [&]<class Cell>(std::type_identity<Cell>) {
      layers_ = tapeloop::nn::Recurrent<Cell>(options, random);
    });
  }

  // xs [T, N, I], or symbols [T, N] that are read as one-hot vectors -> the last layer's outputs
  // [T, N, H]. `memory` is the state before, and becomes the state after.
  template <class Input>
  tapeloop::Var operator()(const Input& xs, Memory& memory) const {
    return std::visit(
        [&](const auto& layers) {
          typename std::remove_cvref_t<decltype(layers)>::State state;
          for (std::size_t k = 0; k < memory.size(); ++k) state[k] = tapeloop::Var(memory[k]);
          const auto [ys, last] = layers(xs, state);
          memory.clear();
          for (const tapeloop::Var& part : last) memory.push_back(part.value());
          return ys;
        },
        layers_);
  }

  // Returns nullptr if the layers are of another cell.
  const tapeloop::nn::Lstm* lstm() const { return std::get_if<tapeloop::nn::Lstm>(&layers_); }

  // The layers, under the name of their cell.
  void visit(tapeloop::nn::Visitor& v) const {
    constexpr const char* kNames[] = {"lstm", "gru", "rnn"};
    std::visit([&](const auto& layers) { v(kNames[layers_.index()], layers); }, layers_);
  }

 private:
  std::variant<tapeloop::nn::Lstm, tapeloop::nn::Gru, tapeloop::nn::Rnn> layers_;
};

}  // namespace common
