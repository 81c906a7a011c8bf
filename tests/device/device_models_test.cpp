// SPDX-License-Identifier: MIT
// Models on Device::cuda against the CPU: sequences, stacks, a user's cell, training, files; and
// errors. Runs on a GPU; a second program runs it on the emulated GPU (cuda_emulation/).
// device_parity_test.cpp tests operations, device_optim_test.cpp optimizers,
// device_gradcheck_test.cpp gradients against finite differences.
#include <cstdlib>
#include <filesystem>
#include <set>

#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/sgd.h"
#include "tests/device/device.h"
#include "tests/sequence/minimal_cell.h"

namespace tapeloop::test {
namespace {

// Outputs, last state and all gradients of a model on a device.
template <class Model>
std::vector<Tensor> run(const nn::RecurrentOptions& options, const typename Model::Options& own,
                        Device device, std::span<const std::int64_t> lengths) {
  Random random(3);
  const Model model(options, random, own);
  nn::move(model, device);
  const Var xs = parameter(random_tensor({6, 5, options.input}, 11, options.dtype).to(device));
  std::vector<Tensor> result;
  const auto keep = [&](const Var& x) { result.push_back(x.value().to(Device::cpu)); };
  keep(model(xs, {}, lengths).ys);  // nothing recorded
  Tape tape;
  const auto [ys, last] = model(xs, {}, lengths);
  CHECK(ys.device() == device);
  keep(ys);
  Var loss = sum(ys * Var(random_tensor(ys.shape(), 12, options.dtype).to(device)));
  for (const Var& part : last) {
    keep(part);
    loss = loss + sum(square(part));
  }
  tape.backward(loss);
  keep(xs.grad());
  for (const NamedVar& p : nn::parameters(model)) keep(p.var.grad());
  return result;
}

template <class Model>
void compare(nn::RecurrentOptions options, const typename Model::Options& own = {}) {
  options.input = 3;
  options.hidden = 7;
  for (const DType dtype : {DType::float32, DType::float64}) {
    options.dtype = dtype;
    for (const std::vector<std::int64_t>& lengths :
         {std::vector<std::int64_t>{}, std::vector<std::int64_t>{6, 0, 3, 6, 1}}) {
      CAPTURE(name(dtype));
      CAPTURE(lengths.size());
      const auto here = run<Model>(options, own, Device::cpu, lengths);
      const auto there = run<Model>(options, own, Device::cuda, lengths);
      REQUIRE(here.size() == there.size());
      for (std::size_t i = 0; i < here.size(); ++i) {
        CAPTURE(i);
        CHECK(distance(there[i], here[i]) < tolerance(dtype));
      }
    }
  }
}

// A character model of one-hot symbols and its batch.
struct Task {
  Random random{5};
  nn::Embedding embed{11, 4, random};
  nn::Lstm lstm{{.input = 4, .hidden = 9, .layers = 2, .dropout = 0.25}, random};
  nn::LayerNorm norm{9};
  nn::Linear head{9, 11, random};
  Tensor tokens = index_tensor({8, 3}, 11, 1), next = index_tensor({8, 3}, 11, 2);

  explicit Task(Device device) {
    nn::move(embed, device);
    nn::move(lstm, device);
    nn::move(norm, device);
    nn::move(head, device);
    tokens = tokens.to(device);
    next = next.to(device);
  }
  ParameterList parameters() const { return nn::parameters(embed, lstm, norm, head); }
  Var loss() const { return cross_entropy(head(norm(lstm(embed(tokens)).ys)), next); }
};

}  // namespace

// This case must be the first: later ones set up the GPU, and it stays.
TEST_CASE("without a GPU, or with too old a one, asking for cuda is one clear error") {
  if (!have_emulation()) return;
  setenv("EMULATED_GPU_NONE", "1", 1);
  CHECK_FALSE(cuda::available());
  CHECK(throws_with("cuda: there is no NVIDIA GPU|Device::cpu",
                    [] { Tensor::zeros({2}, DType::float32, Device::cuda); }));
  unsetenv("EMULATED_GPU_NONE");
  setenv("EMULATED_GPU_OLD", "1", 1);
  CHECK_FALSE(cuda::available());
  CHECK(throws_with("cuda: the GPU has compute capability 7.0, 8.0 is the lowest",
                    [] { Tensor::zeros({2}, DType::float32, Device::cuda); }));
  unsetenv("EMULATED_GPU_OLD");
  CHECK(cuda::available());
}

TEST_CASE("a thread that has chosen another device than 0 gets one clear error") {
  if (!have_emulation()) return;
  const Bounds bounds;
  const char* const text =
      "cuda: the current device of this thread is 1, but Tapeloop uses one GPU, device 0|"
      "cudaSetDevice(0)|CUDA_VISIBLE_DEVICES";
  Tensor x = Tensor::full({3}, 2, DType::float32, Device::cuda);
  Tensor copy = x.clone();
  emulation::use_device(1);
  CHECK(throws_with(text, [&] { Tensor::zeros({2}, DType::float32, Device::cuda); }));
  CHECK(throws_with(text, [&] { square(Var(x)); }));
  CHECK(throws_with(text, [&] { sum(Var(x)); }));
  CHECK(throws_with(text, [&] { copy.copy_from(x); }));
  CHECK(throws_with(text, [&] { copy.fill(1); }));
  CHECK(throws_with(text, [&] { x.to(Device::cpu); }));
  copy = Tensor();  // memory can be released
  emulation::use_device(0);
  CHECK(sum(Var(x)).item() == 6);
}

TEST_CASE("stacks of RNN, LSTM and GRU on cuda give what they give on the cpu, with gradients") {
  if (!have_gpu()) return;
  const Bounds bounds;
  compare<nn::Rnn>({});
  compare<nn::Rnn>({.bidirectional = true}, {.nonlinearity = nn::Nonlinearity::relu});
  compare<nn::Lstm>({.layers = 2, .bidirectional = true});
  compare<nn::Lstm>({.bias = false}, {.projection = 4});
  compare<nn::Gru>({.layers = 2});
  compare<nn::Gru>({.bidirectional = true}, {.reset = nn::GruReset::before});
  compare<nn::Lstm>({.layers = 2, .recompute = {.steps = 2}});
}

TEST_CASE("a functor is known to nvcc's code by the same address as to the compiler's") {
  if (!register_cells()) {
    std::printf("SKIPPED: built without CUDA\n");
    return;
  }
  CHECK(is_minimal_gate(pointwise_kernel<MinimalGate>().id));
  CHECK_FALSE(is_minimal_gate(pointwise_kernel<ForgottenGate>().id));
}

TEST_CASE("a user's cell runs on cuda once its formula is registered") {
  if (!have_gpu()) return;
  const Bounds bounds;
  REQUIRE(register_cells());
  compare<nn::Recurrent<MinimalCell>>({.layers = 2, .bidirectional = true});
}

TEST_CASE("a functor without a CUDA kernel: the error says the line to add") {
  if (!have_gpu()) return;
  const Var x(random_tensor({3}).to(Device::cuda));
  CHECK(
      throws_with("pointwise \"forgotten_gate\": no CUDA kernel registered for this functor; add "
                  "register_pointwise<tapeloop::test::ForgottenGate>() to a .cu file, or move x "
                  "to cpu",
                  [&] { pointwise(ForgottenGate{}, x, x); }));
  CHECK(throws_with("pointwise \"lambda\"|make it a named struct",
                    [&] { pointwise([](auto a) { return a * a; }, x); }));
}

TEST_CASE("norms of gradients on cuda, of every kind") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const auto with_gradient = [](Device device, const Tensor& gradient) {
    const Var w = parameter(Tensor::zeros(gradient.shape(), gradient.dtype(), device));
    w.set_grad(gradient.to(device));
    return detail::numbered({&w, 1});
  };
  for (const double factor : {1.0, 1e-30, 1e30}) {
    for (const double p : {1.0, 2.0, 3.0, static_cast<double>(INFINITY)}) {
      CAPTURE(factor);
      CAPTURE(p);
      const Tensor gradient = (Var(random_tensor({9, 31})) * factor).value().to(DType::float32);
      const double here = optim::clip_grad_norm(with_gradient(Device::cpu, gradient), 1.0, p);
      const double there = optim::clip_grad_norm(with_gradient(Device::cuda, gradient), 1.0, p);
      CHECK(there == doctest::Approx(here).epsilon(1e-12));
    }
  }
}

TEST_CASE("the first 20 steps of training are those of the cpu, dropout included") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Task here(Device::cpu), there(Device::cuda);
  optim::Adam adam_here(here.parameters(), {.learning_rate = 1e-2});
  optim::Adam adam_there(there.parameters(), {.learning_rate = 1e-2});
  for (int step = 0; step < 20; ++step) {
    const auto train = [](Task& task, optim::Adam& adam) {
      Tape tape;
      const Var loss = task.loss();
      tape.backward(loss);
      optim::clip_grad_norm(adam.parameters(), 1.0);
      adam.step();
      adam.zero_grad();
      return loss.item();
    };
    const double expected = train(here, adam_here);
    CHECK(train(there, adam_there) == doctest::Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("the same seed gives the same bits on cuda, run to run") {
  if (!have_gpu()) return;
  std::vector<Tensor> runs;
  for (unsigned turn = 0; turn < 2; ++turn) {
    emulation::set_order(100 + turn);  // another order of blocks and threads
    Task task(Device::cuda);
    Tape tape;
    tape.backward(task.loss());
    for (const NamedVar& p : task.parameters())
      runs.push_back(p.var.grad().value().to(Device::cpu));
  }
  const std::size_t half = runs.size() / 2;
  for (std::size_t i = 0; i < half; ++i) CHECK(same_bits(runs[i], runs[half + i]));
}

TEST_CASE("weights are saved from cuda and loaded to it") {
  if (!have_gpu()) return;
  const std::string path =
      (std::filesystem::temp_directory_path() / "tapeloop_device_models_test.safetensors").string();
  Random random(1), other(2);
  const nn::Gru saved({.input = 3, .hidden = 4}, random);
  const nn::Gru loaded({.input = 3, .hidden = 4}, other);
  nn::move(saved, Device::cuda);
  nn::save(path, saved);
  nn::load(path, loaded);  // on the cpu
  for (std::size_t i = 0; i < nn::parameters(saved).size(); ++i) {
    const Tensor& there = nn::parameters(saved)[i].var.value();
    CHECK(same_bits(nn::parameters(loaded)[i].var.value(), there.to(Device::cpu)));
    there.fill(0);
  }
  nn::load(path, saved);  // on cuda
  for (std::size_t i = 0; i < nn::parameters(saved).size(); ++i) {
    const Tensor there = nn::parameters(saved)[i].var.value().to(Device::cpu);
    CHECK(same_bits(nn::parameters(loaded)[i].var.value(), there));
  }
  std::filesystem::remove(path);
}

TEST_CASE("operands on different devices: the operation says so before any work") {
  if (!have_gpu()) return;
  const Var here(random_tensor({3, 3})), there(random_tensor({3, 3}).to(Device::cuda));
  CHECK(throws_with("different devices, cuda and cpu", [&] { there + here; }));
  CHECK(throws_with("matmul|one device", [&] { matmul(here, there); }));
  CHECK(throws_with("linear|one device", [&] { linear(there, here); }));
  CHECK(throws_with("concat|they must be equal", [&] { concat({here, there}, 0); }));
  Random random(1);
  const nn::Lstm model({.input = 3, .hidden = 2, .dtype = DType::float64}, random);
  CHECK(throws_with("one device", [&] { model(Var(random_tensor({2, 2, 3}).to(Device::cuda))); }));
  CHECK(throws_with("data() was called on a cuda tensor; copy it by to(Device::cpu) first",
                    [&] { there.value().data<double>(); }));
}

TEST_CASE("an index out of range on cuda is told when the host next waits, and nothing is broken") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Var table(random_tensor({4, 3}).to(Device::cuda));
  const Tensor bad = Tensor::from<std::int64_t>({2}, {1, 4});
  CHECK(throws_with("embedding: index 4 at position 1", [&] { embedding(table, bad); }));
  const Var rows = embedding(table, bad.to(Device::cuda));
  CHECK(throws_with("embedding or take: an index on the GPU is 4, outside 0..3",
                    [&] { rows.value().to(Device::cpu); }));
  CHECK(rows.value().to(Device::cpu).at({1, 0}) == 0);
}

TEST_CASE("no memory left on cuda: the error says how much was asked for, and work goes on") {
  if (!have_gpu()) return;
  const std::int64_t much = std::int64_t{1} << 45;
  CHECK(throws_with("cuda: the GPU has no 35184372088832 bytes left|are free",
                    [&] { Tensor::empty({much / 8}, DType::float64, Device::cuda); }));
  CHECK(sum(Var(Tensor::full({3}, 2, DType::float32, Device::cuda))).item() == 6);
  CHECK(sum(Var(Tensor::full({3}, 2))).item() == 6);
}

TEST_CASE("a target of cross_entropy out of range on cuda is told when the host next waits") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const Var w = parameter(random_tensor({4, 3}, 1, DType::float32).to(Device::cuda));
  const Tensor before = w.value().to(Device::cpu).clone();
  optim::Sgd sgd(detail::numbered({&w, 1}), {.learning_rate = 1});
  const auto train = [&](std::int64_t target, std::int64_t ignore) {
    Tape tape;
    const Tensor targets = Tensor::from<std::int64_t>({4}, {0, 2, target, 1});
    tape.backward(cross_entropy(w, targets.to(Device::cuda), {.ignore_index = ignore}));
    sgd.step();
    sgd.zero_grad();
  };
  const StateDict state = sgd.state_dict();
  train(3, -100);
  CHECK(
      throws_with("cross_entropy: a target on the GPU is 3, outside 0..2|no parameter was updated",
                  [&] { cuda::synchronize(); }));
  CHECK(same_bits(w.value().to(Device::cpu), before));
  sgd.load_state_dict(state);
  sgd.zero_grad();
  train(3, 3);
  CHECK_FALSE(same_bits(w.value().to(Device::cpu), before));
}

TEST_CASE(
    "no memory left within a step: the error names the operation, and the same step goes on") {
  if (!have_emulation()) return;
  const Bounds bounds;
  Task task(Device::cuda), other(Device::cuda);
  optim::Adam adam(task.parameters(), {}), adam_other(other.parameters(), {});
  const auto train = [](Task& of, optim::Adam& by) {
    by.zero_grad();
    Tape tape;
    const Scope scope("char model");
    const Var loss = of.loss();
    tape.backward(loss);
    by.step();
    return loss.item();
  };
  const double expected = train(other, adam_other);
  // Lowers the memory limit, so that one operation after the other fails.
  std::set<std::string> operations;
  bool done = false;
  for (std::size_t room = 0; !done; room += 700) {
    for (const auto& [name, random] : nn::randoms(task.lstm)) random->next = 0;
    emulation::limit_bytes(emulation::bytes_in_use() + room);
    try {
      const double loss = train(task, adam);
      CHECK(loss == expected);
      done = true;
    } catch (const Error& error) {
      const std::string text = error.what();
      const std::string start = "cuda: the GPU has no ", middle = " bytes left for ";
      REQUIRE(text.starts_with(start));
      CHECK(text.find(" are free; use a smaller batch") != std::string::npos);
      const std::size_t at = text.find(middle) + middle.size();
      operations.insert(text.substr(at, text.find(',', at) - at));
      CHECK(text.find("in \"char model") != std::string::npos);
      CHECK(sum(Var(Tensor::full({3}, 2))).item() == 6);  // the CPU works
    }
  }
  emulation::limit_bytes(~std::size_t{0});
  for (const std::string name : {"embedding", "linear", "recurrent", "dropout"}) {
    CAPTURE(name);
    CHECK(operations.contains(name));
  }
}

TEST_CASE(
    "forward, backward, clipping and an optimizer's step: no wait, no new memory once under way") {
  if (!have_emulation()) return;
  for (const Device targets : {Device::cpu, Device::cuda}) {
    Task task(Device::cuda);
    optim::Adam adam(task.parameters(), {});
    task.next = task.next.to(targets);
    task.tokens = task.tokens.to(targets);
    std::int64_t waits = 0;
    std::size_t reached = 0;
    for (int step = 0; step < 5; ++step) {
      if (step == 2) {
        waits = emulation::waits();
        reached = emulation::bytes_reached();
      }
      Tape tape;
      tape.backward(task.loss());
      optim::clip_grad_norm(adam.parameters(), 1.0);
      optim::clip_grad_norm_each(adam.parameters(), 1.0);
      optim::clip_grad_value(adam.parameters(), 0.5);
      adam.step();
      adam.zero_grad();
    }
    CHECK(emulation::waits() == waits);
    CHECK(emulation::bytes_reached() == reached);
  }
}

}  // namespace tapeloop::test
