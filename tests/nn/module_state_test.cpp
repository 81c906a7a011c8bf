// SPDX-License-Identifier: MIT
// The saved state of a model: copies that later steps do not change, and tied weights, which are
// one parameter with several names.
#include <string>

#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/nn/save/checkpoint.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/sgd.h"
#include "tests/folder.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::Folder;
using test::message_of;
using test::same_bits;

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A language model that uses the same rows for input and output: 3 symbols, 2 features; 6 + 3
// numbers.
struct TiedModel {
  Embedding embed;
  Linear head;
  explicit TiedModel(Random& random) : embed(3, 2, random), head(2, 3, random) {
    head.weight = embed.weight;
  }
  Var operator()(const Tensor& index) const { return head(embed(index)); }
  void visit(Visitor& v) const { v("embed", embed), v("head", head); }
};

double loss_of(const TiedModel& model, bool backward) {
  const Tensor index = Tensor::from<std::int64_t>({4}, {0, 2, 1, 2});
  const Tensor next = Tensor::from<std::int64_t>({4}, {2, 1, 2, 0});
  Tape tape;
  const Var loss = cross_entropy(model(index), next);
  if (backward) tape.backward(loss);
  return loss.item();
}

std::string names_of(const ParameterList& list) {
  std::string names;
  for (const NamedVar& p : list) names += p.name + " ";
  return names;
}

}  // namespace

TEST_CASE("a state is a copy that later steps do not change") {
  Random random(1);
  Linear layer(3, 2, random);
  const StateDict best = state_dict(layer);
  const Tensor before = layer.weight.value().clone();
  const StateDict shared = shared_state_dict(layer);
  optim::Sgd sgd(parameters(layer), {.learning_rate = 1});
  for (const NamedVar& p : sgd.parameters()) p.var.set_grad(Tensor::full(p.var.shape(), 1));
  sgd.step();
  CHECK(same_bits(best[0].tensor, before));
  CHECK_FALSE(same_bits(layer.weight.value(), before));
  CHECK(same_bits(shared[0].tensor, layer.weight.value()));
  load_state_dict(layer, best);
  CHECK(same_bits(layer.weight.value(), before));
}

TEST_CASE("an error of loading begins with the function that the user called") {
  Random random(1);
  const Linear layer(3, 2, random), other(4, 2, random);
  Folder folder;
  save(folder.file(), other);
  const auto starts = [](const std::string& text, const std::string& part) {
    return text.starts_with(part);
  };
  CHECK(starts(message_of([&] { load(folder.file(), layer); }),
               "load: " + folder.file() + " does not fit the model"));
  CHECK(starts(message_of([&] { load_state_dict(layer, state_dict(other)); }),
               "load_state_dict: the saved state does not fit the model"));
  CHECK(starts(message_of([&] { assign(parameters(layer), state_dict(other), "the best"); }),
               "assign: the best does not fit the model"));
}

TEST_CASE("tied weights are one parameter: counted, clipped and updated once") {
  Random random(2);
  const TiedModel model(random);
  CHECK(parameter_count(model) == 9);
  CHECK(names_of(parameters(model)) == "embed.weight head.bias ");
  CHECK(names_of(parameters_under_all_names(model)) == "embed.weight head.weight head.bias ");
  CHECK(names_of(parameters(model.embed, model.head)) == "0.weight 1.bias ");

  loss_of(model, true);
  const Tensor gradient = model.embed.weight.grad().value().clone();
  const Tensor of_bias = model.head.bias.grad().value().clone();
  double square = 0;
  for (const Tensor& g : {gradient, of_bias}) {
    for (double x : g.to(DType::float64).to_vector<double>()) square += x * x;
  }
  CHECK(optim::clip_grad_norm(parameters(model), 1e9).value() ==
        doctest::Approx(std::sqrt(square)).epsilon(1e-6));
  const std::vector<float> before = model.embed.weight.value().to_vector<float>();
  optim::Sgd sgd(parameters(model), {.learning_rate = 0.5});
  sgd.step();
  const std::vector<float> after = model.head.weight.value().to_vector<float>();
  const std::vector<float> g = gradient.to_vector<float>();
  for (std::size_t i = 0; i < g.size(); ++i) {
    CHECK(after[i] == doctest::Approx(before[i] - 0.5f * g[i]).epsilon(1e-6));
  }
}

TEST_CASE("gradients of tied weights are right to second order") {
  Random random(3);
  const TiedModel model(random);
  convert(model, DType::float64);
  CHECK(model.head.weight.is(model.embed.weight));
  const Tensor index = Tensor::from<std::int64_t>({4}, {0, 2, 1, 2});
  const GradcheckReport report =
      gradcheck([&] { return tanh(model(index)); }, parameters(model), {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("tied weights are saved once, and loaded from files with one name or all") {
  Random random(4);
  const TiedModel model(random), other(random);
  Folder folder;
  save(folder.file(), model);
  const TensorFile file = read_safetensors(folder.file());
  REQUIRE(file.tensors.size() == 2);
  load(folder.file(), other);
  CHECK(same_bits(other.head.weight.value(), model.embed.weight.value()));
  CHECK(loss_of(other, false) == loss_of(model, false));

  const Tensor a = Tensor::full({3, 2}, 0.5), b = Tensor::full({3, 2}, 0.25),
               bias = Tensor::zeros({3});
  const auto saved = [&](const StateDict& state) {
    nn::save(folder.file(), state);
    return message_of([&] { load(folder.file(), other); });
  };
  CHECK(saved({{"head.weight", a}, {"head.bias", bias}}) == "nothing was thrown");
  CHECK(other.embed.weight.value().at({2, 1}) == 0.5);
  CHECK(saved({{"embed.weight", b}, {"head.weight", b.to(DType::float64)}, {"head.bias", bias}}) ==
        "nothing was thrown");
  CHECK(other.embed.weight.value().at({2, 1}) == 0.25);
  const std::string two = saved({{"embed.weight", a}, {"head.weight", b}, {"head.bias", bias}});
  CHECK(has(
      two,
      "\"embed.weight\" and \"head.weight\" have different values in the saved state, but are one "
      "parameter in the model; save one of them"));
  CHECK(has(saved({{"embed.weight", a}, {"head.weight", Tensor::zeros({2})}, {"head.bias", bias}}),
            "\"head.weight\" is float32[2] in the saved state, float32[3, 2] in the model"));
  CHECK(has(saved({{"head.bias", bias}}),
            "\"embed.weight\" or \"head.weight\" float32[3, 2] is missing in the saved state"));
  CHECK(other.embed.weight.value().at({2, 1}) == 0.25);
}

TEST_CASE("a run with tied weights goes on bit for bit from its checkpoint") {
  Random random(5);
  const auto train = [](const TiedModel& model, optim::Adam& adam) {
    for (int i = 0; i < 3; ++i) {
      loss_of(model, true);
      adam.step();
      adam.zero_grad();
    }
  };
  const TiedModel model(random), other(random);
  optim::Adam adam(parameters(model)), resumed(parameters(other));
  train(model, adam);
  Folder folder;
  save_checkpoint(folder.file(),
                  {.sections = {{"model", state_dict(model)}, {"optimizer", adam.state_dict()}}});
  const Checkpoint saved = read_checkpoint(folder.file());
  load_state_dict(other, saved.section("model"));
  resumed.load_state_dict(saved.section("optimizer"));
  train(model, adam);
  train(other, resumed);
  CHECK(same_bits(model.embed.weight.value(), other.head.weight.value()));
  CHECK(same_bits(model.head.bias.value(), other.head.bias.value()));
}

TEST_CASE("two parameters with one memory are refused by an optimizer") {
  Random random(6);
  Linear a(3, 2, random), b(3, 2, random);
  b.weight = parameter(a.weight.value());
  CHECK(has(message_of([&] { optim::Sgd sgd(parameters(a, b)); }),
            "the parameters \"0.weight\" and \"1.weight\" have the same memory, which would be "
            "updated twice; tie weights by one Var"));
  b.weight = parameter(a.weight.value().clone());
  CHECK(optim::Sgd(parameters(a, b)).parameters().size() == 4);
}

}  // namespace tapeloop::nn
