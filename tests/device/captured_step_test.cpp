// SPDX-License-Identifier: MIT
// CapturedStep: training by graphs is bit-identical to training without, also when shapes, learning
// rates and weights change. Runs on a GPU; a second program runs it on the emulated GPU
// (cuda_emulation/).
#include "tests/device/captured_task.h"

#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/optim/schedule.h"

namespace tapeloop::test {

TEST_CASE("on the cpu a captured step is the step") {
  Task direct(1, Device::cpu), wrapped(1, Device::cpu);
  CapturedStep step(Device::cpu,
                    [&](const Tensor& x, const Tensor& y) { return wrapped.step(x, y); });
  for (std::uint64_t i = 0; i < 4; ++i) {
    const Tensor x = index_tensor({5, 2}, 11, i), y = index_tensor({5, 2}, 11, 50 + i);
    CHECK(step(x, y).item() == direct.step(x, y).item());
  }
  check_same(direct, wrapped);
  CHECK(step.reason().empty());
}

TEST_CASE(
    "captured training has the bits of training without: optimizers, clipping, dropout, LSTM") {
  if (!have_gpu()) return;
  const Bounds bounds;
  for (const int which : {0, 1, 2}) {
    CAPTURE(which);
    Task plain(which), captured(which);
    auto step = captured.captured();
    const optim::Exponential schedule({.factor = 0.9});
    for (std::uint64_t i = 0; i < 8; ++i) {
      const Tensor x = batch(3, i), y = batch(3, 50 + i);
      for (Task* task : {&plain, &captured}) {
        if (i > 2) schedule.apply(*task->optimizer, static_cast<std::int64_t>(i));
      }
      const Var expected = plain.step(x, y);
      const Var loss = step(x, y);
      CHECK(loss.item() == expected.item());
    }
    check_same(plain, captured);
    CHECK(step.graph_runs() == 6);  // after one run without a graph and one captured run
    CHECK(step.reason().empty());
    CHECK(step.bytes() > 0);
    captured.step(batch(3, 1), batch(3, 2));  // the step still works without a graph
    plain.step(batch(3, 1), batch(3, 2));
    check_same(plain, captured);
  }
}

TEST_CASE("every form of a sequence on the GPU can be captured") {
  if (!have_gpu()) return;
  const Bounds bounds;
  struct Form {
    explicit Form(cuda::RecurrentForm form) { cuda::set_recurrent_form(form); }
    ~Form() { cuda::set_recurrent_form(cuda::RecurrentForm::automatic); }
  };
  for (const auto form : {cuda::RecurrentForm::alternating, cuda::RecurrentForm::persistent}) {
    const Form set(form);
    Task plain(0), captured(0);
    auto step = captured.captured();
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor x = batch(2, i), y = batch(2, 50 + i);
      CHECK(step(x, y).item() == plain.step(x, y).item());
    }
    CHECK(step.graph_runs() == 2);
    check_same(plain, captured);
  }
}

TEST_CASE(
    "a captured step recomputes segments with dropout, returns a norm, and may hold another step") {
  if (!have_gpu()) return;
  const Bounds bounds;
  struct Long {
    Random random{7};
    nn::Lstm lstm{{.input = 3, .hidden = 4, .layers = 2, .dropout = 0.5, .recompute = {.steps = 3}},
                  random};
    optim::Adam adam{[this] {
                       nn::move(lstm, Device::cuda);
                       return nn::parameters(lstm);
                     }(),
                     {.learning_rate = 0.05}};
    std::array<Tensor, 2> step(const Tensor& x, const Tensor& h, const Tensor& c) {
      Tape tape;
      const auto [ys, last] = lstm(Var(x), nn::State<2>(Var(h), Var(c)));
      tape.backward(mean(square(ys)));
      const optim::GradNorm norm = optim::clip_grad_norm_each(adam.parameters(), 0.01);
      adam.step();
      adam.zero_grad();
      return {norm.tensor(), concat({last[0], last[1]}, 0).value()};
    }
  };
  Long plain, captured;
  CapturedStep inner(Device::cuda, [&](const Tensor& x, const Tensor& h, const Tensor& c) {
    return captured.step(x, h, c);
  });
  CapturedStep step(Device::cuda, [&](const Tensor& x, const Tensor& h, const Tensor& c) {
    return inner(x, h, c);
  });
  Tensor state = Tensor::zeros({4, 2, 4}, DType::float32, Device::cuda);
  Tensor other = state.clone();
  for (std::uint64_t i = 0; i < 6; ++i) {
    const Tensor x = random_tensor({8, 2, 3}, i, DType::float32).to(Device::cuda);
    const auto expected = plain.step(x, state.slice(0, 0, 2), state.slice(0, 2, 4));
    const auto result = step(x, other.slice(0, 0, 2), other.slice(0, 2, 4));
    CHECK(result[0].item() == expected[0].item());
    state = expected[1];
    other = result[1];
    CHECK(same_bits(other.to(Device::cpu), state.to(Device::cpu)));
  }
  CHECK(step.graph_runs() == 4);
  CHECK(inner.graph_runs() == 0);
}

TEST_CASE("a captured step that gave memory back before it took tables has new masks at each run") {
  if (!have_gpu()) return;
  Random random(3), same(3);
  // 64 KB blocks that the step gives back: tables from the host must not lie in them.
  const auto masks = [](const Tensor& x, Random& numbers) {
    for (int i = 0; i < 2; ++i) tanh(Var(x));
    return dropout(Var(Tensor::full({64}, 1, DType::float32, Device::cuda)), 0.5, numbers);
  };
  CapturedStep step(Device::cuda, [&](const Tensor& x) {
    const Tape tape;  // dropout acts while a tape records
    return masks(x, random);
  });
  const Tensor x = random_tensor({64, 256}, 1, DType::float32).to(Device::cuda);
  for (int i = 0; i < 5; ++i) {
    CAPTURE(i);
    const Tensor drawn = step(x).value().cpu();
    const Tape tape;
    CHECK(same_bits(drawn, masks(x, same).value().cpu()));
  }
  CHECK(step.graph_runs() == 3);
}

TEST_CASE("a captured step with activations of ordinary size trains as without a graph") {
  if (!have_gpu()) return;
  const auto train = [](bool captured) {
    Random random(5);
    nn::Linear layer(256, 256, random);
    nn::move(layer, Device::cuda);
    optim::Adam adam(nn::parameters(layer), {});
    const auto one = [&](const Tensor& x) {
      Tape tape;
      const Var loss = mean(square(tanh(layer(Var(x)))));
      tape.backward(loss);
      adam.step();
      adam.zero_grad();
      return loss;
    };
    CapturedStep step(Device::cuda, one);
    double last = 0;
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor x = random_tensor({64, 256}, i, DType::float32).to(Device::cuda);
      last = captured ? step(x).item() : one(x).item();
    }
    return last;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE(
    "a step on a Schedule that was made before is captured; if the Schedule ends, it is anew") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Random random(3);
  nn::ChildSumTreeLstm tree({.input = 4, .hidden = 6}, random);
  nn::move(tree, Device::cuda);
  const std::vector<std::int64_t> parents{4, 4, 5, 5, 6, 6, -1}, others{1, 2, 3, 4, 5, 6, -1};
  Schedule trees = Schedule::trees_by_parent(parents);
  const auto run = [&](const Tensor& x, const Schedule& schedule) -> std::array<Var, 2> {
    Tape tape;
    const Var leaf = parameter(x);
    const Var loss = sum(tree(leaf, schedule).h());
    return {loss, tape.gradient(loss, std::vector<Var>{leaf})[0]};
  };
  std::string reason;
  CapturedStep step(Device::cuda, [&](const Tensor& x) { return run(x, trees); },
                    {.tell = [&](const std::string& line) { reason = line; }});
  const auto check = [&](std::uint64_t seed) {
    const Tensor x = random_tensor({7, 4}, seed, DType::float32).to(Device::cuda);
    const auto found = step(x), expected = run(x, trees);
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(same_bits(found[i].value().to(Device::cpu), expected[i].value().to(Device::cpu)));
    }
  };
  for (std::uint64_t i = 0; i < 4; ++i) check(i);
  CHECK(step.graph_runs() == 2);
  CHECK(reason.empty());
  trees = Schedule::trees_by_parent(others);  // ends the schedule that the graph knows
  check(7);
  CHECK(step.graph_runs() == 2);
  CHECK(reason.find("a Schedule was made in the step") != std::string::npos);
}

TEST_CASE("cells with fixed matrices are captured: their copies on the GPU are made once") {
  if (!have_gpu()) return;
  const auto check = [](auto& stack) {
    nn::move(stack, Device::cuda);
    CapturedStep step(Device::cuda, [&](const Tensor& x) { return sum(stack(Var(x)).ys); });
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor x = random_tensor({5, 2, 3}, i, DType::float32).to(Device::cuda);
      CHECK(step(x).item() == sum(stack(Var(x)).ys).item());
    }
    CHECK(step.reason().empty());
    CHECK(step.graph_runs() == 2);
  };
  Random random(3);
  nn::Lmu lmu({.input = 3, .hidden = 4}, random);
  check(lmu);
  nn::Clockwork clockwork({.input = 3, .hidden = 4}, random);
  check(clockwork);
}

TEST_CASE("results of a captured step are tensors of their own") {
  if (!have_gpu()) return;
  CapturedStep step(Device::cuda, [](const Tensor& x) {
    return std::array<Var, 2>{Var(x) * 2.0, sum(Var(x))};
  });
  std::vector<std::array<Var, 2>> results;
  for (int i = 0; i < 5; ++i) {
    results.push_back(step(Tensor::full({3}, i)));                  // inputs from the cpu
    if (i > 2) results.push_back(step(results.back()[0].value()));  // uses a result as input
  }
  CHECK(step.graph_runs() == 5);
  CHECK(results[4][1].item() == 18);
  for (std::size_t i = 0; i < 3; ++i) CHECK(results[i][1].item() == static_cast<double>(3 * i));
}

TEST_CASE("each set of shapes has its graph, and only so many are kept") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Task plain(1), captured(1);
  auto step = captured.captured({.most_shapes = 2});
  const auto both = [&](std::int64_t n, std::uint64_t i) {
    const Tensor x = batch(n, i), y = batch(n, 50 + i);
    CHECK(step(x, y).item() == plain.step(x, y).item());
  };
  std::uint64_t i = 0;
  for (const std::int64_t n : {3, 2, 3, 2, 3, 2, 3, 2}) both(n, i++);
  CHECK(step.graph_runs() == 4);
  both(4, i++);  // evicts the graph of 3
  both(3, i++);  // evicts the graph of 2
  const std::int64_t before = step.graph_runs();
  both(2, i++);
  CHECK(step.graph_runs() == before);
  check_same(plain, captured);
}

TEST_CASE("weights that got other memory: the step is captured anew") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Task plain(1), captured(1);
  auto step = captured.captured();
  for (std::uint64_t i = 0; i < 8; ++i) {
    const Tensor x = batch(3, i), y = batch(3, 50 + i);
    if (i == 4) {
      for (Task* task : {&plain, &captured}) {
        task->head.weight.set_value(random_tensor({11, 6}, 9, DType::float32).to(Device::cuda));
      }
    }
    CHECK(step(x, y).item() == plain.step(x, y).item());
  }
  CHECK(step.graph_runs() == 5);
  check_same(plain, captured);
}

TEST_CASE("a captured step asks for one graph, waits for nothing and takes no memory") {
  if (!have_emulation()) return;
  Task task(1);
  auto step = task.captured();
  const Tensor x = batch(3, 1), y = batch(3, 2);
  Var loss;
  for (int i = 0; i < 4; ++i) loss = step(x, y);
  const std::int64_t graphs = emulation::graph_launches();
  const std::int64_t waits = emulation::waits();
  const std::size_t in_use = emulation::bytes_in_use();
  const std::int64_t heap_calls = memory::stats().heap_calls;
  for (int i = 0; i < 3; ++i) loss = step(x, y);
  CHECK(memory::stats().heap_calls == heap_calls);
  CHECK(emulation::graph_launches() == graphs + 3);
  CHECK(emulation::waits() == waits);
  CHECK(emulation::bytes_in_use() == in_use);
}

TEST_CASE("steps of an optimizer that a graph cannot repeat run without one") {
  if (!have_gpu()) return;
  struct Failing final : optim::Optimizer {
    explicit Failing(const ParameterList& list) : Optimizer("failing") { add_group(list, 1, {}); }
    void update(const Turn&) const override { fail("failing", "never works"); }
  };
  const auto ones = [](DType dtype) { return Tensor::full({2, 2}, 1, dtype, Device::cuda); };
  for (const int which : {0, 1, 2}) {
    CAPTURE(which);
    const auto train = [&](bool captured) {
      const Var p = parameter(ones(DType::float32));
      optim::Sgd sgd({{"p", p}}, {.learning_rate = 0.5, .momentum = 0.9});
      Failing failing({{"p", p}});
      if (which == 1) p.set_value(ones(DType::float64));  // the state is converted
      const auto body = [&](const Tensor& g) {
        p.set_grad((Var(g) * 1.0).value());
        if (which == 0) CHECK(throws_with("never works", [&] { failing.step(); }));
        optim::clip_grad_norm({{"p", p}}, 1e9);
        sgd.step();
        p.zero_grad();
      };
      CapturedStep step(Device::cuda, body, {.warm_up = 0, .tell = [](const std::string&) {}});
      const Tensor g = ones(p.dtype());
      for (int i = 0; i < 6; ++i) {
        if (i == 3) sgd.set_learning_rate(0.25);
        if (i == 4 && which == 2) p.set_value(p.value().transpose(0, 1));  // the same memory
        captured ? step(g) : body(g);
      }
      return p.value().cpu().contiguous();
    };
    CHECK(same_bits(train(true), train(false)));
  }
}

}  // namespace tapeloop::test
