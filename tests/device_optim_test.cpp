// SPDX-License-Identifier: MIT
// Optimizers and clipping on Device::cuda against the CPU: every rule and option, in few launches and without a wait.
// On a GPU, or, as another program, on the emulated one (cuda_emulation/). Training of models: device_models_test.cpp.
#include <functional>
#include <memory>

#include "device.h"
#include "optim/adagrad.h"
#include "optim/adam.h"
#include "optim/clip.h"
#include "optim/nag.h"
#include "optim/rmsprop.h"
#include "optim/sgd.h"

namespace tapeloop::test {
namespace {

using optim::NonFinite;
using Make = std::function<std::unique_ptr<optim::Optimizer>(const ParameterList&)>;

template <class O, class Options>
Make make(const Options& options) {
  return [options](const ParameterList& list) { return std::make_unique<O>(list, options); };
}

std::vector<std::pair<std::string, Make>> every_optimizer() {
  return {
      {"sgd", make<optim::Sgd>(optim::SgdOptions{.learning_rate = 0.1})},
      {"sgd, all options",
       make<optim::Sgd>(optim::SgdOptions{
           .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.03, .maximize = true})},
      {"nag", make<optim::Nag>(optim::NagOptions{})},
      {"nag, all options",
       make<optim::Nag>(optim::NagOptions{.weight_decay = 0.03, .maximize = true})},
      {"rmsprop", make<optim::RmsProp>(optim::RmsPropOptions{})},
      {"rmsprop, momentum",
       make<optim::RmsProp>(optim::RmsPropOptions{.momentum = 0.8, .weight_decay = 0.03})},
      {"rmsprop, centered", make<optim::RmsProp>(optim::RmsPropOptions{.centered = true})},
      {"rmsprop, both", make<optim::RmsProp>(optim::RmsPropOptions{
                            .momentum = 0.8, .centered = true, .maximize = true})},
      {"adam", make<optim::Adam>(optim::AdamOptions{})},
      {"adam, all options",
       make<optim::Adam>(optim::AdamOptions{
           .weight_decay = 0.03, .decoupled_decay = true, .amsgrad = true, .maximize = true})},
      {"adam, decay", make<optim::Adam>(optim::AdamOptions{.weight_decay = 0.03})},
      {"adamw", make<optim::AdamW>(optim::AdamWOptions{.amsgrad = true})},
      {"adagrad", make<optim::Adagrad>(optim::AdagradOptions{})},
      {"adagrad, all options",
       make<optim::Adagrad>(optim::AdagradOptions{.learning_rate_decay = 0.1,
                                                  .initial_accumulator = 0.2,
                                                  .weight_decay = 0.03,
                                                  .maximize = true})},
  };
}

// Parameters of many shapes: one larger than a block's share, an empty one, one that is not contiguous.
std::vector<Var> some_parameters(DType dtype, Device device) {
  std::vector<Var> result;
  for (const Shape& shape :
       {Shape{5, 3}, Shape{5}, Shape{}, Shape{0, 4}, Shape{4099}, Shape{2, 3, 7}}) {
    result.push_back(parameter(random_tensor(shape, 40 + result.size(), dtype).clone().to(device)));
  }
  const Tensor wide = random_tensor({6, 4}, 60, dtype).clone().to(device);
  result.push_back(parameter(wide.transpose(0, 1)));
  return result;
}

void give_gradients(const std::vector<Var>& parameters, std::uint64_t seed) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (i == 1 && seed % 3 == 1) continue;  // steps of its own
    const Var& p = parameters[i];
    p.set_grad(random_tensor(p.shape(), 100 * seed + i, p.dtype()).to(p.device()));
  }
}

ParameterList list_of(const Var& p) { return detail::numbered({&p, 1}); }

}  // namespace

TEST_CASE("every optimizer makes on cuda the steps it makes on the cpu, with each of its options") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const auto& one : every_optimizer()) {
    const std::string& name = one.first;
    const Make& made = one.second;
    for (const DType dtype : {DType::float32, DType::float64}) {
      CAPTURE(name);
      const std::vector<Var> here = some_parameters(dtype, Device::cpu);
      const std::vector<Var> there = some_parameters(dtype, Device::cuda);
      const auto optimizer_here = made(detail::numbered(here));
      const auto optimizer_there = made(detail::numbered(there));
      for (std::uint64_t step = 0; step < 5; ++step) {
        for (const auto& [parameters, optimizer] :
             {std::pair{&here, &optimizer_here}, std::pair{&there, &optimizer_there}}) {
          give_gradients(*parameters, step);
          if (step == 3) (*optimizer)->set_learning_rate(0.02);
          (*optimizer)->step();
          (*optimizer)->zero_grad();
        }
      }
      for (std::size_t i = 0; i < here.size(); ++i) {
        CHECK(distance(there[i].value(), here[i].value()) < tolerance(dtype));
      }
      const StateDict state_here = optimizer_here->state_dict();
      const StateDict state_there = optimizer_there->state_dict();
      REQUIRE(state_here.size() == state_there.size());
      for (std::size_t i = 0; i < state_here.size(); ++i) {
        CHECK(state_there[i].name == state_here[i].name);
        CHECK(distance(state_there[i].tensor, state_here[i].tensor) < tolerance(dtype));
      }
    }
  }
}

TEST_CASE("clipping on cuda changes gradients as on the cpu, and gives the same norm") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const int which : {0, 1, 2}) {
      for (const double limit : {0.5, 1e9, 0.0}) {
        CAPTURE(which);
        CAPTURE(limit);
        std::vector<double> norms;
        std::vector<std::vector<Var>> devices;
        for (const Device device : {Device::cpu, Device::cuda}) {
          devices.push_back(some_parameters(dtype, device));
          give_gradients(devices.back(), 2);
          const ParameterList list = detail::numbered(devices.back());
          const Var shared = devices.back()[0].grad();  // somebody else holds it
          const Tensor before = shared.value().to(Device::cpu).clone();
          if (which == 0) norms.push_back(optim::clip_grad_norm(list, limit));
          if (which == 1) norms.push_back(optim::clip_grad_norm_each(list, limit));
          if (which == 2) optim::clip_grad_value(list, limit);
          CHECK(same_bits(shared.value().to(Device::cpu), before));
        }
        if (which < 2) CHECK(norms[1] == doctest::Approx(norms[0]).epsilon(1e-13));
        for (std::size_t i = 0; i < devices[0].size(); ++i) {
          CHECK(distance(devices[1][i].grad().value(), devices[0][i].grad().value()) <
                tolerance(dtype));
        }
      }
    }
  }
}

TEST_CASE("norms on cuda neither overflow nor underflow, whatever the size of the numbers") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const double factor : {1.0, 1e-300, 1e300, 1e-170, 1e160, 0.0}) {
    CAPTURE(factor);
    const Tensor small = random_tensor({3001}, 1, DType::float64);
    const Tensor gradient = (Var(small) * factor).value();
    const auto norm = [&](Device device) {
      const Var p = parameter(Tensor::zeros({3001}, DType::float64, device));
      p.set_grad(gradient.to(device));
      return optim::clip_grad_norm(list_of(p), 1.0).value();
    };
    CHECK(norm(Device::cuda) == doctest::Approx(norm(Device::cpu)).epsilon(1e-13));
  }
  CHECK(optim::clip_grad_norm({}, 1) == 0);
}

TEST_CASE("a gradient on cuda that is not finite: no step is made, and the next wait says which") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Var good = parameter(Tensor::full({3}, 1, DType::float32, Device::cuda));
  const Var bad = parameter(Tensor::full({4}, 1, DType::float32, Device::cuda));
  const ParameterList list = {{"good", good}, {"bad", bad}};
  optim::Sgd sgd(list, {.learning_rate = 1});
  good.set_grad(Tensor::full({3}, 1, DType::float32, Device::cuda));
  Tensor gradient = random_tensor({4}, 1, DType::float32);
  gradient.select(0, 2).fill(NAN);
  bad.set_grad(gradient.to(Device::cuda));
  optim::clip_grad_norm(list, 1.0);
  sgd.step();
  CHECK(
      throws_with("clip_grad_norm: the gradient of \"bad\" is not finite on the GPU; no "
                  "parameter was updated since then",
                  [&] { good.value().to(Device::cpu); }));
  CHECK(good.value().at({0}) == 1);  // told once, and unharmed
  bad.set_grad(Tensor::full({4}, 1, DType::float32, Device::cuda));
  sgd.step();
  CHECK(good.value().at({0}) == 0);

  bad.set_grad(gradient.to(Device::cuda));
  CHECK(std::isnan(optim::clip_grad_norm(list, 1.0, 2, NonFinite::ignore).value()));
  CHECK(same_bits(bad.grad().value().to(Device::cpu), gradient));  // left as it is
}

TEST_CASE("a step of all parameters is one launch, clipping a handful, and nobody waits") {
  if (!have_emulation()) return;
  const std::vector<Var> parameters = [] {
    std::vector<Var> result;
    for (std::uint64_t i = 0; i < 30; ++i) {
      result.push_back(parameter(random_tensor({7, 5}, i, DType::float32).to(Device::cuda)));
    }
    return result;
  }();
  give_gradients(parameters, 2);
  optim::Adam adam(detail::numbered(parameters), {});
  adam.step();  // the formulas' page is looked for
  optim::clip_grad_norm(adam.parameters(), 1.0);
  const std::int64_t waits = emulation::waits();
  std::int64_t before = emulation::launches();
  adam.step();
  CHECK(emulation::launches() == before + 1);
  before = emulation::launches();
  optim::clip_grad_norm(adam.parameters(), 1.0);
  CHECK(emulation::launches() <= before + 7);
  before = emulation::launches();
  optim::clip_grad_value(adam.parameters(), 1.0);
  CHECK(emulation::launches() == before + 1);
  CHECK(emulation::waits() == waits);
}

}  // namespace tapeloop::test
