// SPDX-License-Identifier: MIT
// Optimizers and clipping on Device::cuda against the CPU: every rule and option, in few launches
// and without a wait. Runs on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/). device_models_test.cpp trains models.
#include <functional>
#include <memory>

#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/sgd.h"
#include "tests/device/device.h"
#include "tests/device/device_cell.h"

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

// Parameters of many shapes: one is larger than a block's share, one is empty, one is not
// contiguous.
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
    if (i == 1 && seed % 3 == 1) continue;  // its step count differs
    const Var& p = parameters[i];
    p.set_grad(random_tensor(p.shape(), 100 * seed + i, p.dtype()).to(p.device()));
  }
}

// A step down a gradient of ones.
void step_down(const Var& p, optim::Optimizer& optimizer) {
  p.set_grad(Tensor::full(p.shape(), 1, DType::float32, Device::cuda));
  optimizer.step();
}

// Causes an error on the GPU. The host sees it when it waits next.
void make_mistake() {
  const Var bad = parameter(Tensor::full({2}, 1, DType::float32, Device::cuda));
  bad.set_grad(Tensor::full({2}, NAN, DType::float32, Device::cuda));
  optim::clip_grad_norm({{"bad", bad}}, 1.0);
}

// User-defined rules. The rule for `forgotten` has no kernel on the GPU.
class Descent final : public optim::Optimizer {
 public:
  Descent(const ParameterList& list, const ParameterList& forgotten = {}) : Optimizer("descent") {
    add_group(list, 1, {});
    if (!forgotten.empty()) add_group(forgotten, 1, {});
  }

 private:
  void update(const Turn& turn) const override {
    if (turn.group == 1)
      return turn.all->add(ForgottenGate{}, {turn.value, turn.gradient}, {turn.value});
    turn.all->add(PlainDescent{}, {turn.value, turn.gradient}, {turn.value});
  }
};

bool same_state(const StateDict& a, const StateDict& b) {
  bool same = a.size() == b.size();
  for (std::size_t i = 0; same && i < a.size(); ++i) {
    same = a[i].name == b[i].name &&
           same_bits(a[i].tensor.to(Device::cpu), b[i].tensor.to(Device::cpu));
    if (!same) MESSAGE("differs: " << a[i].name);
  }
  return same;
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
      for (const double limit : {0.5, 1e9, 1e-6}) {
        CAPTURE(which);
        CAPTURE(limit);
        std::vector<double> norms;
        std::vector<std::vector<Var>> devices;
        for (const Device device : {Device::cpu, Device::cuda}) {
          devices.push_back(some_parameters(dtype, device));
          give_gradients(devices.back(), 2);
          const ParameterList list = detail::numbered(devices.back());
          const Var shared = devices.back()[0].grad();  // another handle to the gradient
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
                  [&] { good.value().cpu(); }));
  CHECK(good.value().at({0}) == 1);  // reported once, and unchanged

  // The list of names is gone before the message is made; it has the first 63 characters of a name.
  bad.set_grad(gradient.to(Device::cuda));
  optim::clip_grad_norm({{std::string(100, 'n'), bad}}, 1.0);
  CHECK(throws_with("the gradient of \"" + std::string(63, 'n') + "\" is not finite",
                    [] { cuda::synchronize(); }));

  bad.set_grad(gradient.to(Device::cuda));
  CHECK(std::isnan(optim::clip_grad_norm(list, 1.0, 2, NonFinite::ignore).value()));
  CHECK(same_bits(bad.grad().value().cpu(), gradient));  // unchanged
}

TEST_CASE(
    "after a mistake on cuda an optimizer changes nothing, and throws until a state is loaded") {
  if (!have_gpu() || !register_cells()) return;
  const Bounds bounds;
  auto makers = every_optimizer();
  makers.emplace_back("a rule without a kernel for many",
                      [](const ParameterList& list) { return std::make_unique<Descent>(list); });
  for (const auto& one : makers) {
    const std::string& name = one.first;
    const Make& made = one.second;
    CAPTURE(name);
    const std::vector<Var> smooth = some_parameters(DType::float32, Device::cuda);
    const std::vector<Var> stumbling = some_parameters(DType::float32, Device::cuda);
    const auto without = made(detail::numbered(smooth));
    const auto with = made(detail::numbered(stumbling));
    const auto step = [](const std::vector<Var>& parameters, optim::Optimizer& optimizer,
                         std::uint64_t seed) {
      give_gradients(parameters, seed);
      optimizer.step();
      optimizer.zero_grad();
    };
    for (const std::uint64_t seed : {2u, 3u}) {
      step(smooth, *without, seed);
      step(stumbling, *with, seed);
    }
    const StateDict saved = with->state_dict(), of_other = without->state_dict();
    make_mistake();
    for (const std::uint64_t seed : {3u, 4u, 5u}) step(stumbling, *with, seed);
    CHECK(throws_with("not finite on the GPU", [] { cuda::synchronize(); }));
    const std::string expected =
        ": after a mistake that only the GPU saw, it skipped updates, so the step counts are not "
        "known; load a state or a checkpoint first, or make a new optimizer";
    CHECK(throws_with("step" + expected, [&] { step(stumbling, *with, 6); }));
    CHECK(throws_with("state_dict" + expected, [&] { with->state_dict(); }));
    for (std::size_t i = 0; i < smooth.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(stumbling[i].value().cpu(), smooth[i].value().cpu()));
    }
    with->load_state_dict(saved);
    CHECK(throws_with("step" + expected, [&] { step(smooth, *without, 6); }));  // all on the GPU
    without->load_state_dict(of_other);
    CHECK(same_state(with->state_dict(), without->state_dict()));
    for (const std::uint64_t seed : {6u, 7u}) {  // and continues
      step(smooth, *without, seed);
      step(stumbling, *with, seed);
    }
    CHECK(with->steps() == 4);
    CHECK(same_state(with->state_dict(), without->state_dict()));
    for (std::size_t i = 0; i < smooth.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(stumbling[i].value().cpu(), smooth[i].value().cpu()));
    }
  }
}

TEST_CASE("a mistake on cuda before an optimizer's first step, or on the cpu, does not stop it") {
  if (!have_gpu()) return;
  const Var p = parameter(Tensor::full({3}, 9, DType::float32, Device::cuda));
  const Var here = parameter(Tensor::full({3}, 9));
  optim::Sgd late(list_of(p), {.learning_rate = 1});
  optim::Sgd on_cpu(list_of(here), {.learning_rate = 1});
  here.set_grad(Tensor::full({3}, 1));
  on_cpu.step();
  make_mistake();
  CHECK(throws_with("not finite", [] { cuda::synchronize(); }));
  step_down(p, late);
  on_cpu.step();
  CHECK(p.value().at({0}) == 8);
  CHECK(here.value().at({0}) == 7);
  CHECK(late.steps() == 1);
}

TEST_CASE("after a mistake on cuda no other step makes an optimizer forget it") {
  if (!have_gpu()) return;
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    const Var there = parameter(Tensor::full({3}, 9, DType::float32, Device::cuda));
    const Var here = parameter(Tensor::full({3}, 9));
    optim::Adam adam({{"there", there}, {"here", here}}, {});
    step_down(there, adam);
    make_mistake();
    step_down(there, adam);
    CHECK(throws_with("not finite", [] { cuda::synchronize(); }));
    adam.zero_grad();
    if (how == 1) here.set_grad(Tensor::full({3}, 1));
    if (how == 2) {  // to go on on the CPU
      there.set_value(there.value().cpu());
      there.set_grad(Tensor::full({3}, 1));
    }
    CHECK(throws_with("load a state", [&] { adam.step(); }));
    CHECK(throws_with("load a state", [&] { adam.state_dict(); }));
  }
}

TEST_CASE("a step on cuda whose rule has no kernel updates and counts nothing") {
  if (!have_gpu() || !register_cells()) return;
  const Var done = parameter(Tensor::full({3}, 5, DType::float32, Device::cuda));
  const Var forgotten = parameter(Tensor::full({2}, 5, DType::float32, Device::cuda));
  Descent descent({{"done", done}}, {{"forgotten", forgotten}});
  done.set_grad(Tensor::full({3}, 1, DType::float32, Device::cuda));
  forgotten.set_grad(Tensor::full({2}, 1, DType::float32, Device::cuda));
  CHECK(throws_with("no CUDA kernel registered", [&] { descent.step(); }));
  CHECK(done.value().at({0}) == 5);
  CHECK(forgotten.value().at({0}) == 5);
  CHECK(descent.steps() == 0);
  forgotten.zero_grad();
  descent.step();
  CHECK(done.value().at({0}) == 4);
  const StateDict state = descent.state_dict();
  CHECK(state[0].tensor.item() == 1);
  CHECK(state[1].tensor.item() == 0);
  CHECK(descent.steps() == 1);
}

TEST_CASE("a mistake on cuda is thrown by the next wait where throwing it failed") {
  if (!have_emulation()) return;
  const Var p = parameter(Tensor::full({3}, 9, DType::float32, Device::cuda));
  optim::Sgd sgd(list_of(p), {.learning_rate = 1});
  step_down(p, sgd);
  const StateDict state = sgd.state_dict();
  make_mistake();
  step_down(p, sgd);
  emulation::refuse_waits(0, 1);
  CHECK(throws_with("unspecified launch failure", [] { cuda::synchronize(); }));
  CHECK(throws_with("not finite", [] { cuda::synchronize(); }));
  CHECK(throws_with("load a state", [&] { step_down(p, sgd); }));
  sgd.load_state_dict(state);
  step_down(p, sgd);
  CHECK(p.value().at({0}) == 7);
  CHECK(sgd.steps() == 2);
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
  adam.step();  // searches the formulas' page
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
