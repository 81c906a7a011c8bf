// SPDX-License-Identifier: MIT
// CapturedStep where something goes wrong or ends: a step that cannot be captured runs without a
// graph and says so; errors, mistakes on the GPU, other threads, and memory that outlives a graph.
// Runs on a GPU; a second program runs it on the emulated GPU (cuda_emulation/).
#include "tests/device/captured_task.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <thread>

namespace tapeloop::test {

namespace {

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

}  // namespace

// The first case of the program: later ones set up the GPU.
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
  auto step = make();
  step(x);
  const std::int64_t objects = emulation::objects();
  emulation::refuse_instances(1);
  CHECK(throws_with("CUDA could not make a graph of the step (out of memory)", [&] { step(x); }));
  CHECK(emulation::objects() == objects);
  REQUIRE(others_can_work());
  CHECK(step(x).item() == 3);
  CHECK(step(x).item() == 3);
  CHECK(step.graph_runs() == 1);
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
      {"a Schedule was made in the step, also if lengths",
       [](Task& task, const Tensor& x, const Tensor& y) {
         const std::vector<std::int64_t> lengths{5, 2, 4};
         const Var loss = sum(task.lstm(task.embed(x), {}, lengths).ys) * 0.01;
         return task.step(x, y) + loss;
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

TEST_CASE("a Random that ends with the step, and no graph: the error comes through") {
  if (!have_emulation()) return;
  const Tensor x = Tensor::full({8}, 1, DType::float32, Device::cuda);
  CapturedStep step(Device::cuda,
                    [](const Tensor& given) {
                      Random own(3);
                      const Tape tape;
                      return sum(dropout(Var(given), 0.5, own));
                    },
                    {.warm_up = 0, .tell = [](const std::string&) {}});
  emulation::refuse_instances(1);
  CHECK(throws_with("CUDA could not make a graph of the step", [&] { step(x); }));
  const double first = step(x).item();
  CHECK(step(x).item() == first);
  CHECK(step.reason().find("lives only as long as the step") != std::string::npos);
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

}  // namespace tapeloop::test
