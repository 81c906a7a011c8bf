// SPDX-License-Identifier: MIT
// CapturedStep: training by graphs is bit-identical to training without, also when shapes, learning
// rates and weights change. A step that cannot be captured runs without a graph and says so. Runs
// on a GPU; a second program runs it on the emulated GPU (cuda_emulation/).
#include "tapeloop/autograd/tape/captured_step.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <thread>

#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/schedule.h"
#include "tapeloop/optim/sgd.h"
#include "tests/device/device.h"

namespace tapeloop::test {
namespace {

// A character model with dropout, and its optimizer.
struct Task {
  Random random{5};
  nn::Embedding embed{11, 4, random};
  nn::Lstm lstm{{.input = 4, .hidden = 6, .layers = 2, .dropout = 0.25}, random};
  nn::Linear head{6, 11, random};
  std::unique_ptr<optim::Optimizer> optimizer;

  explicit Task(int which, Device device = Device::cuda) {
    nn::move(embed, device);
    nn::move(lstm, device);
    nn::move(head, device);
    const ParameterList list = nn::parameters(embed, lstm, head);
    if (which == 0) optimizer = std::make_unique<optim::Sgd>(list, optim::SgdOptions{0.1});
    if (which == 1) optimizer = std::make_unique<optim::Adam>(list, optim::AdamOptions{1e-2});
    if (which == 2) {
      optimizer = std::make_unique<optim::RmsProp>(
          list, optim::RmsPropOptions{.momentum = 0.5, .centered = true});
    }
  }

  Var step(const Tensor& tokens, const Tensor& next) {
    Tape tape;
    const Var loss = cross_entropy(head(lstm(embed(tokens)).ys), next);
    tape.backward(loss);
    optim::clip_grad_norm(optimizer->parameters(), 0.5);
    optimizer->step();
    optimizer->zero_grad();
    return loss;
  }
  auto captured(CapturedStepOptions options = {}) {
    return CapturedStep(
        Device::cuda, [this](const Tensor& x, const Tensor& y) { return step(x, y); }, options);
  }
};

Tensor batch(std::int64_t n, std::uint64_t seed) {
  return index_tensor({5, n}, 11, seed).to(Device::cuda);
}

// True if other threads can use the GPU. A thread that cannot is left waiting.
bool others_can_work() {
  auto promise = std::make_shared<std::promise<void>>();
  const std::future<void> done = promise->get_future();
  std::thread([promise] {
    Tensor::full({3}, 1, DType::float32, Device::cuda).to(Device::cpu);
    promise->set_value();
  }).detach();
  return done.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
}

void check_same(const Task& a, const Task& b) {
  const ParameterList here = a.optimizer->parameters(), there = b.optimizer->parameters();
  for (std::size_t i = 0; i < here.size(); ++i) {
    CAPTURE(here[i].name);
    CHECK(same_bits(here[i].var.value().to(Device::cpu), there[i].var.value().to(Device::cpu)));
  }
  const StateDict state = a.optimizer->state_dict(), other = b.optimizer->state_dict();
  REQUIRE(state.size() == other.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    CAPTURE(state[i].name);
    CHECK(same_bits(state[i].tensor.to(Device::cpu), other[i].tensor.to(Device::cpu)));
  }
  for (const auto& [name, random] : nn::randoms(a.lstm)) {
    for (const auto& [same_name, same] : nn::randoms(b.lstm)) {
      if (name == same_name) CHECK(*random == *same);
    }
  }
}

}  // namespace

TEST_CASE("without a GPU the step runs as it is, and says so once") {
  if (!have_emulation()) return;
  setenv("EMULATED_GPU_NONE", "1", 1);
  int told = 0;
  CapturedStep step(Device::cuda, [](const Tensor& x) { return sum(Var(x)); },
                    {.tell = [&](const std::string& line) {
                      ++told;
                      CHECK(line.find("there is no NVIDIA GPU") != std::string::npos);
                    }});
  for (int i = 0; i < 3; ++i) CHECK(step(Tensor::full({3}, i)).item() == 3 * i);
  CHECK(told == 1);
  CHECK(step.graph_runs() == 0);
  unsetenv("EMULATED_GPU_NONE");
}

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
  for (const auto form : {cuda::RecurrentForm::alternating, cuda::RecurrentForm::persistent,
                          cuda::RecurrentForm::cluster}) {
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

TEST_CASE("other threads use the GPU while a step is captured") {
  if (!have_gpu()) return;
  Task plain(1), captured(1);
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0, sums = 0;
  std::thread other([&] {
    while (!stop) {
      const Tensor x = Tensor::full({100}, 2, DType::float32, Device::cuda);
      wrong += sum(Var(x)).item() != 200;
      ++sums;
    }
  });
  for (std::int64_t n = 1; n < 6; ++n) {
    auto step = captured.captured();
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor x = batch(n, i), y = batch(n, 50 + i);
      const double expected = plain.step(x, y).item();
      CHECK(step(x, y).item() == expected);
    }
    CHECK(step.graph_runs() == 2);
  }
  while (sums < 20) std::this_thread::yield();
  stop = true;
  other.join();
  CHECK(wrong == 0);
  check_same(plain, captured);
}

TEST_CASE("another thread runs sequences of new shapes while a step with one is captured") {
  if (!have_gpu()) return;
  const auto run = [](nn::Lstm& lstm, std::int64_t n) {
    return lstm(Var(Tensor::full({2, n, 3}, 1, DType::float32, Device::cuda))).ys;
  };
  const auto make = [](std::int64_t hidden) {
    Random random{3};
    nn::Lstm lstm({.input = 3, .hidden = hidden}, random);
    nn::move(lstm, Device::cuda);
    return lstm;
  };
  std::atomic<bool> stop = false;
  std::thread other([&] {
    nn::Lstm lstm = make(23);
    for (std::int64_t n = 1; !stop; ++n) run(lstm, n);
  });
  nn::Lstm lstm = make(24);
  for (std::int64_t n = 1; n < 80; ++n) {
    CapturedStep step(Device::cuda,
                      [&](const Tensor& x) { return sum(run(lstm, n)) + sum(Var(x)); },
                      {.warm_up = 0});
    step(Tensor::full({1}, 1));
    CHECK(step.reason().empty());
  }
  stop = true;
  other.join();
}

TEST_CASE(
    "a graph that cannot be made, and an error on the way: nothing of it stays, not its lock") {
  if (!have_emulation()) return;
  const Bounds bounds;
  const auto make = [] {
    return CapturedStep(Device::cuda, [](const Tensor& y) { return sum(Var(y)); });
  };
  const Tensor x = Tensor::full({3}, 1, DType::float32, Device::cuda);
  auto other = make();
  other(x);
  const std::int64_t before = emulation::waits();
  other(x);  // is captured
  const std::int64_t waits = emulation::waits() - before;
  auto step = make();
  step(x);
  const std::int64_t objects = emulation::objects();
  emulation::refuse_instances(1);
  // The waits of the step succeed. The next wait fails: that of the pool, which frees unused memory
  // before it.
  emulation::refuse_waits(static_cast<int>(waits), 1);
  CHECK(throws_with("unspecified launch failure", [&] { step(x); }));
  CHECK(emulation::objects() == objects);
  REQUIRE(others_can_work());
  for (const int refused : {2, 0}) {
    emulation::refuse_instances(refused);
    if (refused == 2) {
      CHECK(throws_with("CUDA could not make a graph of it (out of memory)", [&] { step(x); }));
      CHECK(emulation::objects() == objects);
    } else {
      CHECK(step(x).item() == 3);
    }
  }
  CHECK(step(x).item() == 3);
  CHECK(step.graph_runs() == 1);
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

TEST_CASE("runs of a graph after a mistake do nothing; a loaded state lets it run again") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Tensor wrong = Tensor::full({5, 3}, 99, DType::int64).to(Device::cuda);
  for (const int which : {0, 1, 2}) {
    CAPTURE(which);
    Task plain(which), captured(which);
    auto step = captured.captured();
    for (std::uint64_t i = 0; i < 9; ++i) {
      const bool bad = i == 1 || i == 5;  // in the captured run, and in a later run
      const Tensor x = batch(3, i), y = batch(3, 50 + i);
      const StateDict state = plain.optimizer->state_dict();
      const auto act = [&](Task& task, auto&& run) {
        if (!bad) {
          CHECK(run(x, y).item() > 0);
          return;
        }
        run(x, wrong);
        const Var loss = run(x, y);  // enqueued before the host sees the mistake
        CHECK(throws_with("a target on the GPU is 99", [&] { loss.item(); }));
        CHECK(throws_with("load a state or a checkpoint first", [&] { run(x, y); }));
        task.optimizer->zero_grad();
        // The mistake of one step stops all optimizers on the GPU.
        for (Task* each : {&plain, &captured}) each->optimizer->load_state_dict(state);
      };
      act(plain, [&](const Tensor& a, const Tensor& b) { return plain.step(a, b); });
      act(captured, step);
      CHECK(captured.optimizer->steps() == plain.optimizer->steps());
      CHECK(captured.optimizer->steps() == static_cast<std::int64_t>(i + 1 - (i > 0) - (i > 4)));
      for (const auto& [name, random] : nn::randoms(plain.lstm)) {  // a refused run takes none
        for (const auto& [same_name, same] : nn::randoms(captured.lstm)) {
          if (name == same_name) *same = *random;
        }
      }
      check_same(plain, captured);
    }
    CHECK(step.graph_runs() == 9);
  }
}

TEST_CASE("a graph reads memory of another captured step that is gone since") {
  if (!have_gpu()) return;
  const Bounds bounds;
  Var kept;
  auto maker = std::make_unique<CapturedStep<std::function<Var(const Tensor&)>>>(
      Device::cuda, [&](const Tensor& x) { return kept = Var(x) * 2.0; });
  const Tensor x = Tensor::full({300}, 1, DType::float32, Device::cuda);
  for (int i = 0; i < 3; ++i) (*maker)(x);
  CapturedStep reader(Device::cuda, [&](const Tensor& y) { return sum(kept * Var(y)); });
  for (int i = 0; i < 3; ++i) CHECK(reader(x).item() == 600);
  maker.reset();
  kept = Var(Tensor::full({300}, 5, DType::float32, Device::cuda));
  const Tensor other = Tensor::full({300}, 7, DType::float32, Device::cuda);  // of equal size
  CHECK(reader(x).item() == 600);  // the values at the capture
  CHECK(reader.graph_runs() == 2);
}

TEST_CASE("a graph that cannot be launched: its run has not happened, and the next call goes on") {
  if (!have_emulation()) return;
  const Bounds bounds;
  for (const std::uint64_t refused : {1u, 3u}) {  // the captured run, and a later run
    CAPTURE(refused);
    Task plain(1), captured(1);
    auto step = captured.captured();
    for (std::uint64_t i = 0; i < 6; ++i) {
      const Tensor x = batch(3, i), y = batch(3, 50 + i);
      if (i == refused) {
        emulation::refuse_graphs(1);
        CHECK(throws_with("cudaGraphLaunch failed", [&] { step(x, y); }));
        CHECK(captured.optimizer->steps() == static_cast<std::int64_t>(i));
        if (i == 1) continue;  // the run has used its random numbers
      }
      const double expected = plain.step(x, y).item();
      const double loss = step(x, y).item();
      if (refused == 3) CHECK(loss == expected);
    }
    if (refused == 3) check_same(plain, captured);
    CHECK(captured.optimizer->steps() == (refused == 3 ? 6 : 5));
    CHECK(step.graph_runs() == (refused == 3 ? 4 : 3));
  }
}

TEST_CASE("tensors and graphs that outlive the runtime, as static objects may, end quietly") {
  if (!have_emulation()) return;
  auto task = std::make_unique<Task>(1);
  std::size_t held = 0;
  {
    auto step = task->captured();
    Var loss;
    for (std::uint64_t i = 0; i < 3; ++i) loss = step(batch(3, i), batch(3, 50 + i));
    CHECK(loss.item() > 0);
    held = emulation::bytes_in_use();
    emulation::unload(true);
  }
  task.reset();
  // the runtime is gone: nothing was freed, and nothing failed
  CHECK(emulation::bytes_in_use() == held);
  emulation::unload(false);
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

TEST_CASE("what a graph cannot hold runs as it is, is done once, and the reason is told") {
  if (!have_gpu()) return;
  const Bounds bounds;
  struct Refused {
    const char* reason;
    std::function<Var(Task&, const Tensor&, const Tensor&)> step;
  };
  Random outside(3);
  const Refused cases[] = {
      {"the host waited for the GPU",
       [](Task& task, const Tensor& x, const Tensor& y) {
         const Var loss = task.step(x, y);
         CHECK(loss.item() > 0);
         return loss * 1.0;
       }},
      {"copied from the CPU",
       [](Task& task, const Tensor& x, const Tensor& y) {
         return task.step(x, y) * Var(Tensor::full({}, 2).to(Device::cuda));
       }},
      {"drawn on the host",
       [&](Task& task, const Tensor& x, const Tensor& y) {
         const double factor = outside.uniform();
         return task.step(x, y) * (factor < 2 ? 1.0 : 0.0);
       }},
      {"lives only as long as the step",
       [](Task& task, const Tensor& x, const Tensor& y) {
         Random mine(4);
         return task.step(x, y) +
                sum(dropout(Var(Tensor::full({9}, 1, DType::float32, Device::cuda)), 0.5, mine));
       }},
      {"parameters on the CPU",
       [&](Task& task, const Tensor& x, const Tensor& y) {
         const Var w = parameter(Tensor::full({2}, 1));
         w.set_grad(Tensor::full({2}, 1));
         optim::Sgd beside(detail::numbered({&w, 1}), {.learning_rate = 1});
         beside.step();
         CHECK(w.value().at({0}) == 0);
         return task.step(x, y);
       }},
      {"not contiguous",
       [](Task& task, const Tensor& x, const Tensor& y) { return task.step(x, y); }},
  };
  for (const Refused& refused : cases) {
    CAPTURE(refused.reason);
    Task plain(1), captured(1);
    if (std::string(refused.reason) == "not contiguous") {
      for (Task* task : {&plain, &captured}) {
        const Tensor wide = random_tensor({6, 11}, 3, DType::float32).clone().to(Device::cuda);
        task->head.weight.set_value(wide.transpose(0, 1));
      }
    }
    int told = 0;
    CapturedStep step(
        Device::cuda,
        [&](const Tensor& x, const Tensor& y) { return refused.step(captured, x, y); },
        {.tell = [&](const std::string& line) {
          ++told;
          CHECK(line.find(refused.reason) != std::string::npos);
        }});
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor x = batch(3, i), y = batch(3, 50 + i);
      const Random before = outside;
      const double expected = refused.step(plain, x, y).item();
      outside = before;
      CHECK(step(x, y).item() == expected);
    }
    CHECK(told == 1);
    CHECK(step.graph_runs() == 0);
    CHECK(step.reason().find(refused.reason) != std::string::npos);
    check_same(plain, captured);
  }
}

TEST_CASE("an error in the step comes through, and the next call goes on") {
  if (!have_gpu()) return;
  const Bounds bounds;
  int calls = 0;
  const Var w = parameter(Tensor::full({3}, 1, DType::float32, Device::cuda));
  optim::Sgd sgd(detail::numbered({&w, 1}), {.learning_rate = 1});
  CapturedStep step(Device::cuda, [&](const Tensor& x) {
    Tape tape;
    tape.backward(sum(w * Var(x)));
    sgd.step();
    sgd.zero_grad();
    if (++calls == 2) reshape(Var(x), Shape{4});  // the capture
  });
  const Tensor x = Tensor::full({3}, 1, DType::float32, Device::cuda);
  step(x);
  CHECK(throws_with("reshape", [&] { step(x); }));
  CHECK(w.value().at({0}) == -1);  // as without a graph: executed before the error
  for (int i = 0; i < 3; ++i) step(x);
  CHECK(w.value().at({2}) == -4);
  CHECK(step.graph_runs() == 2);
}

TEST_CASE("memory that a graph uses is kept while it lives, and given back after") {
  if (!have_gpu()) return;
  const Bounds bounds;
  const std::size_t before = emulation::bytes_in_use();
  Var kept;
  {
    Task task(1);
    auto step = task.captured();
    for (std::uint64_t i = 0; i < 4; ++i) step(batch(3, i), batch(3, 50 + i));
    CapturedStep leaving(Device::cuda, [&](const Tensor& x) {
      kept = Var(x) * 2.0;
      return kept;
    });
    Tensor x = Tensor::full({300}, 1, DType::float32, Device::cuda);
    for (int i = 0; i < 3; ++i) leaving(x);
    x = Tensor();
    CHECK(step.bytes() > 0);
  }
  CHECK(kept.value().at({7}) == 2);  // its memory outlives the graph
  kept = Var();
  if (emulation::present()) CHECK(emulation::bytes_in_use() == before);
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

}  // namespace tapeloop::test
