// SPDX-License-Identifier: MIT
// A peer: PyTorch from C++ (libtorch): the built-in layers, an LSTM written op by op, the character
// model, inference. It differs from torch_peer.py only in having no Python in the loop.
//
// A training step is forward, then backward from a dense gradient of every hidden state, with the
// gradients of weights, biases, and xs (without xs in rows about memory). T time steps, N batch, I
// input size, H hidden size.
#include <torch/torch.h>

#include <memory>

#include "row.h"

namespace {

using torch::Tensor;

void use_threads(int count) {
  if (torch::get_num_threads() != count) torch::set_num_threads(count);
}

// Throws unless every parameter has a gradient that is finite and not all zero.
void check_gradients(const std::vector<Tensor>& parameters) {
  for (const Tensor& p : parameters) {
    bool good = p.grad().defined() && torch::isfinite(p.grad()).all().item<bool>() &&
                p.grad().abs().max().item<float>() > 0;
    if (!good) throw std::runtime_error("a parameter got no gradient; its time would say nothing");
  }
}

// Makes xs, the upstream gradient, and the step of any layer; `Layer` maps xs [T, N, I] to ys [T,
// N, H].
template <class Layer>
std::function<void()> training_step(const peer::Row& row, std::shared_ptr<Layer> layer) {
  std::int64_t steps = row.at("T"), batch = row.at("N");
  Tensor xs = torch::randn({steps, batch, row.at("I")});
  Tensor dys = torch::randn({steps, batch, row.at("H")});
  std::vector<Tensor> parameters = layer->parameters();
  if (steps < 1000) parameters.push_back(xs.requires_grad_());
  int threads = row.threads();
  auto step = [=] {
    use_threads(threads);
    for (Tensor p : parameters) p.mutable_grad().reset();
    layer->run(xs).backward(dys);
  };
  return step;
}

template <class Module, class Options>
struct BuiltIn {
  explicit BuiltIn(const Options& options) : module(options) {}
  Tensor run(const Tensor& xs) { return std::get<0>(module->forward(xs)); }
  std::vector<Tensor> parameters() { return module->parameters(); }
  Module module;
};
using Lstm = BuiltIn<torch::nn::LSTM, torch::nn::LSTMOptions>;
using Gru = BuiltIn<torch::nn::GRU, torch::nn::GRUOptions>;
using Rnn = BuiltIn<torch::nn::RNN, torch::nn::RNNOptions>;  // tanh is its default

// A cell as a user would write it; gates in the order i f g o.
struct OpByOpLstm {
  OpByOpLstm(std::int64_t input, std::int64_t hidden, bool all_inputs_at_once)
      : w(torch::randn({4 * hidden, input}) * 0.1),
        u(torch::randn({4 * hidden, hidden}) * 0.1),
        b(torch::zeros({4 * hidden})),
        at_once(all_inputs_at_once) {
    for (Tensor p : parameters()) p.requires_grad_();
  }
  std::vector<Tensor> parameters() { return {w, u, b}; }

  Tensor run(const Tensor& xs) {
    Tensor h = torch::zeros({xs.size(1), u.size(1)}), c = torch::zeros_like(h);
    std::vector<Tensor> from_x, hs;
    if (at_once) from_x = torch::linear(xs, w, b).unbind(0);
    std::vector<Tensor> x = xs.unbind(0);
    for (std::size_t t = 0; t < x.size(); ++t) {
      Tensor z = (at_once ? from_x[t] : torch::linear(x[t], w, b)) + torch::linear(h, u);
      std::vector<Tensor> gates = z.chunk(4, 1);
      c = gates[1].sigmoid() * c + gates[0].sigmoid() * gates[2].tanh();
      h = gates[3].sigmoid() * c.tanh();
      hs.push_back(h);
    }
    return torch::stack(hs);
  }
  Tensor w, u, b;
  bool at_once;
};

template <class Layer>
peer::Variant trained(const std::string& name, const peer::Row& row, std::shared_ptr<Layer> layer) {
  std::function<void()> step = training_step(row, layer);
  if (row.at("T") < 1000) {  // rows about memory measure their first step
    step();
    check_gradients(layer->parameters());
  }
  return {name, step};
}

// The character model of the row charlm/...: embedding 64, two LSTM layers of 256 units, 65
// symbols.
struct CharLm {
  static constexpr std::int64_t kSymbols = 65, kEmbedding = 64, kHidden = 256;
  torch::nn::Embedding embedding{kSymbols, kEmbedding};
  torch::nn::LSTM lstm{torch::nn::LSTMOptions(kEmbedding, kHidden).num_layers(2)};
  torch::nn::Linear head{kHidden, kSymbols};
  std::tuple<Tensor, Tensor> state{torch::zeros({2, 1, kHidden}), torch::zeros({2, 1, kHidden})};

  std::vector<Tensor> parameters() {
    std::vector<Tensor> all = embedding->parameters();
    for (const Tensor& p : lstm->parameters()) all.push_back(p);
    for (const Tensor& p : head->parameters()) all.push_back(p);
    return all;
  }
  Tensor logits(const Tensor& symbols) {
    Tensor ys;
    std::tie(ys, state) = lstm->forward(embedding(symbols), state);
    return head(ys);
  }
};

// An update: T 100, N 32, cross entropy, gradients clipped to the norm 5, Adam; the state is
// carried and detached.
peer::Variant charlm_train(int threads) {
  auto model = std::make_shared<CharLm>();
  model->state = {torch::zeros({2, 32, CharLm::kHidden}), torch::zeros({2, 32, CharLm::kHidden})};
  auto adam =
      std::make_shared<torch::optim::Adam>(model->parameters(), torch::optim::AdamOptions(2e-3));
  Tensor symbols = torch::randint(CharLm::kSymbols, {101, 32}, torch::kInt64);
  Tensor x = symbols.slice(0, 0, 100).contiguous(), y = symbols.slice(0, 1).contiguous();
  auto step = [=] {
    use_threads(threads);
    model->state = {std::get<0>(model->state).detach(), std::get<1>(model->state).detach()};
    Tensor loss = torch::nn::functional::cross_entropy(model->logits(x).flatten(0, 1), y.flatten());
    adam->zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 5.0);
    adam->step();
  };
  step();
  check_gradients(model->parameters());
  return {"nn::LSTM, Adam", step};
}

// Reads one symbol and draws the next one from the softmax of its logits.
std::vector<peer::Variant> charlm_sample() {
  auto model = std::make_shared<CharLm>();
  auto symbol = std::make_shared<Tensor>(torch::zeros({1, 1}, torch::kInt64));
  auto draw = [=](const Tensor& logits) {
    *symbol = torch::multinomial(torch::softmax(logits, 1), 1);
  };
  std::vector<torch::nn::LSTMCell> cells;
  cells.emplace_back(CharLm::kEmbedding, CharLm::kHidden);
  cells.emplace_back(CharLm::kHidden, CharLm::kHidden);
  Tensor zero = torch::zeros({1, CharLm::kHidden});
  auto states = std::make_shared<std::vector<std::tuple<Tensor, Tensor>>>(
      2, std::tuple<Tensor, Tensor>(zero, zero));
  auto layer_step = [=] {
    torch::InferenceMode guard;
    use_threads(1);
    draw(model->logits(*symbol).flatten(0, 1));
  };
  auto cell_step = [=]() mutable {
    torch::InferenceMode guard;
    use_threads(1);
    Tensor h = model->embedding((*symbol)[0]);
    for (std::size_t k = 0; k < cells.size(); ++k) {
      (*states)[k] = cells[k]->forward(h, (*states)[k]);
      h = std::get<0>((*states)[k]);
    }
    draw(model->head(h));
  };
  return {{"nn::LSTM, one step", layer_step}, {"nn::LSTMCell", cell_step}};
}

// The audio model: an LSTM on one number, then a linear unit; one number out per call.
std::vector<peer::Variant> infer(std::int64_t hidden) {
  torch::nn::Linear head(hidden, 1);
  torch::nn::LSTM lstm(1, hidden);
  torch::nn::LSTMCell cell(1, hidden);
  auto out = std::make_shared<float>(0.0F);
  auto state = std::make_shared<std::tuple<Tensor, Tensor>>(torch::zeros({1, 1, hidden}),
                                                            torch::zeros({1, 1, hidden}));
  auto flat = std::make_shared<std::tuple<Tensor, Tensor>>(torch::zeros({1, hidden}),
                                                           torch::zeros({1, hidden}));
  auto layer_step = [=]() mutable {
    torch::InferenceMode guard;
    use_threads(1);
    Tensor y;
    std::tie(y, *state) = lstm->forward(torch::full({1, 1, 1}, 0.5F - 0.1F * *out), *state);
    *out = head(y).item<float>();
  };
  auto cell_step = [=]() mutable {
    torch::InferenceMode guard;
    use_threads(1);
    *flat = cell->forward(torch::full({1, 1}, 0.5F - 0.1F * *out), *flat);
    *out = head(std::get<0>(*flat)).item<float>();
  };
  return {{"nn::LSTM, one step", layer_step}, {"nn::LSTMCell", cell_step}};
}

std::vector<peer::Variant> make(const peer::Row& row) {
  use_threads(row.threads());
  if (row.kind == "charlm/train") return {charlm_train(row.threads())};
  if (row.kind == "charlm/sample") return charlm_sample();
  if (row.kind == "infer/lstm") return infer(row.at("H"));
  if (row.kind.rfind("train/", 0) != 0) return {};
  std::int64_t input = row.at("I"), hidden = row.at("H");
  if (row.kind == "train/lstm") {
    auto layer = std::make_shared<Lstm>(torch::nn::LSTMOptions(input, hidden));
    return {trained("nn::LSTM", row, layer)};
  }
  if (row.kind == "train/gru") {
    auto layer = std::make_shared<Gru>(torch::nn::GRUOptions(input, hidden));
    return {trained("nn::GRU", row, layer)};
  }
  if (row.kind == "train/rnn") {
    auto layer = std::make_shared<Rnn>(torch::nn::RNNOptions(input, hidden));
    return {trained("nn::RNN", row, layer)};
  }
  if (row.kind == "train/user_cell" || row.kind == "train/op_by_op") {
    return {
        trained("op by op", row, std::make_shared<OpByOpLstm>(input, hidden, false)),
        trained("op by op, input at once", row, std::make_shared<OpByOpLstm>(input, hidden, true))};
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  torch::set_num_interop_threads(1);
  torch::manual_seed(1);
  return peer::serve(argc, argv, "libtorch", TORCH_VERSION, make);
}
