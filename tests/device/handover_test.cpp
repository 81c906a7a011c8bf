// SPDX-License-Identifier: MIT
// The hand-over between blocks of the persistent kernels of recurrent(), with one CPU thread for
// each device thread (cuda_emulation/threads.h). Compares results. Under the thread sanitizer, it
// finds reads of data that were not handed over.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "tapeloop/autograd/device/cuda/recurrent/recurrent.cuh"
#include "tapeloop/autograd/ops/ops.h"
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/nn/cells/gates/gru.h"
#include "tapeloop/nn/cells/gates/lstm.h"
#include "tests/support.h"
#include "threads.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#endif
#ifndef UNDER_THREAD_SANITIZER
#define UNDER_THREAD_SANITIZER 0
#endif

namespace tapeloop::test {
namespace {

using cuda::Chunk;
using cuda::PersistentRun;
using cuda::RecurrentForm;
using cuda::RecurrentPlan;
using cuda::RecurrentShape;
using emulation::Broken;

float* numbers(const Tensor& tensor) { return static_cast<float*>(tensor.raw()); }

// T time steps, N batch, H hidden units.
struct Sizes {
  std::int64_t steps, batch, hidden;
};

template <class F>
Recurrence recurrence_of(const Var& w, const Var& bias) {
  if constexpr (std::is_same_v<F, nn::GruGates>) {
    return Recurrence(F{}, of::input(), of::product(w, of::state(0), bias), of::state(0));
  } else {
    return Recurrence(F{}, of::input() + of::product(w), of::state(1));
  }
}

// A sequence, and the results of the CPU.
template <class F>
struct Case {
  static constexpr bool kApart = std::is_same_v<F, nn::GruGates>;
  static constexpr std::int64_t kGates = kApart ? 3 : 4;
  static constexpr std::size_t kParts = kResultCount<F>;
  Sizes sizes;
  bool reverse;
  Var w, bias, zx;
  PoolVector<Var> initial;
  Tensor z;                    // as in the steps of the CPU: zx + w h, or w h + bias
  std::vector<Tensor> states;  // [T, N, H]
  Tensor dhs;                  // upstream gradient of the states
  std::vector<Tensor> dlast;   // upstream gradients of the last state
  Tensor dzx;                  // gradients
  std::vector<Tensor> dinitial;

  Case(const Sizes& s, bool backwards) : sizes(s), reverse(backwards) {
    const DType dtype = DType::float32;
    const std::int64_t t = s.steps, n = s.batch, h = s.hidden;
    w = parameter(random_tensor({kGates * h, h}, 1, dtype));
    w.value().copy_from((Var(w.value()) * (1.0 / std::sqrt(static_cast<double>(h)))).value());
    zx = parameter(random_tensor({t, n, kGates * h}, 2, dtype));
    if (kApart) bias = parameter(random_tensor({kGates * h}, 3, dtype));
    for (std::size_t k = 0; k < kParts; ++k) {
      initial.push_back(parameter(random_tensor({n, h}, 4 + k, dtype)));
      dlast.push_back(random_tensor({n, h}, 14 + k, dtype));
    }
    dhs = random_tensor({t, n, h}, 24, dtype);
    calculate();
  }

  // Calculates step by step, with ordinary operations.
  void calculate() {
    const std::int64_t t = sizes.steps, n = sizes.batch, h = sizes.hidden;
    const Recurrence recurrence = recurrence_of<F>(w, bias);
    z = Tensor::zeros({t, n, kGates * h}, zx.dtype());
    for (std::size_t k = 0; k < kParts; ++k) states.push_back(Tensor::zeros({t, n, h}, zx.dtype()));
    Tape tape;
    const PoolVector<Var> inputs = unstack(zx);
    PoolVector<Var> state = initial;
    Var loss(Tensor::zeros({}, zx.dtype()));
    for (std::int64_t i = 0; i < t; ++i) {
      const std::int64_t time = reverse ? t - 1 - i : i;
      const auto at = static_cast<std::size_t>(time);
      z.select(0, time).copy_from(
          linear(state[0].detach(), w.detach(), kApart ? bias.detach() : inputs[at].detach())
              .value());
      PoolVector<Var> next = recurrence.step(inputs[at], state);
      for (std::size_t k = 0; k < kParts; ++k) {
        states[k].select(0, time).copy_from(next[k].value());
      }
      state = std::move(next);
      loss = loss + sum(state[0] * Var(dhs.select(0, time)));
    }
    for (std::size_t k = 0; k < kParts; ++k) loss = loss + sum(state[k] * Var(dlast[k]));
    std::vector<Var> xs{zx};
    xs.insert(xs.end(), initial.begin(), initial.end());
    const std::vector<Var> gradients = tape.gradient(loss, xs);
    dzx = gradients[0].value();
    for (std::size_t k = 0; k < kParts; ++k) dinitial.push_back(gradients[1 + k].value());
  }
};

// The arguments of the kernels, in separate memory, on a small emulated GPU.
template <class F>
struct Device {
  const Case<F>& c;
  RecurrentShape shape;
  PersistentRun run{};
  std::vector<Chunk> exchange;
  std::vector<unsigned> flags;

  Device(const Case<F>& given, bool backward) : c(given) {
    const std::int64_t gates = c.kGates, parts = c.kParts, h = c.sizes.hidden;
    const std::int64_t operands =
        backward ? kArity<Backward<F>> + 1 : gates * (c.kApart ? 2 : 1) + parts;
    shape = {h, gates, c.sizes.batch, operands, backward};
    run.plan = plan_of_several_blocks();
    run.steps = c.sizes.steps;
    run.batch = static_cast<int>(c.sizes.batch);
    run.hidden = static_cast<int>(h);
    run.gates = static_cast<int>(gates);
    run.parts = static_cast<int>(parts);
    run.apart = c.kApart;
    run.takes_h = c.kApart;
    run.reverse = c.reverse;
    run.w = numbers(c.w.value());
    run.w_row = c.w.value().stride(0);
    run.w_column = c.w.value().stride(1);
    run.bias = c.bias.defined() ? numbers(c.bias.value()) : nullptr;
    const std::int64_t step = c.sizes.batch * h;
    run.zx = {numbers(c.zx.value()), step * gates};
    for (std::size_t k = 0; k < c.kParts; ++k) run.initial[k] = numbers(c.initial[k].value());
    // Prepares the memory as prepare_kernel of persistent.cu does.
    const std::int64_t chunks = shape.chunks(), rows = run.plan.rows;
    exchange.resize(static_cast<std::size_t>(2 * run.plan.groups * chunks * rows), Chunk{});
    const float* const h0 = run.initial[0];
    for (std::int64_t n = 0; !backward && n < c.sizes.batch; ++n) {
      for (std::int64_t k = 0; k < h; ++k) {
        const std::int64_t chunk = n / rows * 2 * chunks + k / cuda::kChunkSize;
        exchange[static_cast<std::size_t>(chunk * rows + n % rows)].at[k % cuda::kChunkSize] =
            h0[n * h + k];
      }
    }
    flags.resize(static_cast<std::size_t>(run.plan.groups * run.plan.slices), 0);
    run.exchange = exchange.data();
    run.flags = flags.data();
  }

  // Chooses the shared memory so that the plan has several blocks, which wait for each other.
  RecurrentPlan plan_of_several_blocks() const {
    for (int bytes = 128 << 10; bytes > 0; bytes -= 1 << 10) {
      const RecurrentPlan plan = cuda::plan_recurrent(shape, {3, bytes}, RecurrentForm::persistent);
      if (plan.slices > 1) return plan;
    }
    FAIL("no division into several blocks");
    return {};
  }

  template <class G>
  void launch(const G& formula, Broken broken) {
    const RecurrentPlan& plan = run.plan;
    emulation::run_resident_threads(
        {static_cast<unsigned>(plan.slices), static_cast<unsigned>(plan.groups)},
        {cuda::kBlockThreads}, static_cast<std::size_t>(plan.shared_bytes), broken,
        [&] { cuda::persistent_kernel<G>()(formula, run); });
  }
};

bool near(const Tensor& a, const Tensor& b) { return distance(a, b) < 2e-5; }

template <class F>
void check_forward(const Case<F>& c, Broken broken = Broken::nothing) {
  Device<F> device(c, false);
  const Tensor z = Tensor::zeros(c.z.shape(), c.z.dtype());
  std::vector<Tensor> states;
  device.run.z = {numbers(z), z.dim(1) * z.dim(2)};
  for (std::size_t k = 0; k < c.kParts; ++k) {
    states.push_back(Tensor::zeros(c.states[k].shape(), z.dtype()));
    device.run.states[k] = {numbers(states[k]), c.sizes.batch * c.sizes.hidden};
  }
  device.launch(F{}, broken);
  if (broken != Broken::nothing) return;
  CHECK(near(z, c.z));
  for (std::size_t k = 0; k < c.kParts; ++k) CHECK(near(states[k], c.states[k]));
}

template <class F>
void check_backward(const Case<F>& c, Broken broken = Broken::nothing) {
  Device<F> device(c, true);
  const Tensor dz = Tensor::zeros(c.z.shape(), c.z.dtype());
  const Tensor dzx = c.kApart ? Tensor::zeros(c.z.shape(), c.z.dtype()) : dz;
  std::vector<Tensor> dstates;
  device.run.z = {numbers(c.z), c.z.dim(1) * c.z.dim(2)};
  if (!c.kApart) device.run.zx = {numbers(c.z), c.z.dim(1) * c.z.dim(2)};
  device.run.dhs = numbers(c.dhs);
  device.run.dz = numbers(dz);
  device.run.dzx = numbers(dzx);
  for (std::size_t k = 0; k < c.kParts; ++k) {
    dstates.push_back(c.dlast[k].clone());
    device.run.dstates[k] = numbers(dstates[k]);
    device.run.states[k] = {numbers(c.states[k]), c.sizes.batch * c.sizes.hidden};
  }
  device.launch(Backward<F>{}, broken);
  if (broken != Broken::nothing) return;
  CHECK(near(dzx, c.dzx));
  for (std::size_t k = 0; k < c.kParts; ++k) CHECK(near(dstates[k], c.dinitial[k]));
}

template <class F>
void check(const Sizes& sizes, bool reverse = false) {
  CAPTURE(sizes.steps);
  CAPTURE(sizes.batch);
  CAPTURE(sizes.hidden);
  const Case<F> c(sizes, reverse);
  check_forward(c);
  check_backward(c);
}

}  // namespace

TEST_CASE("persistent kernels hand h and dz on between blocks by flags") {
  check<nn::LstmGates>({6, 3, 40});
  check<nn::LstmGates>({5, 1, 33}, true);
  check<nn::GruGates>({5, 2, 37});
  const Case<nn::LstmGates> c({3, 20, 24}, false);  // several warps copy and read a stage
  CHECK(Device<nn::LstmGates>(c, false).run.plan.column_tiles > 1);
  check_forward(c);
}

// Runs a hand-over that is broken as an environment variable says. Tests call it in a new process.
static void run_broken(const char* wanted) {
  const auto broken = static_cast<Broken>(std::atoi(wanted));
  const Case<nn::LstmGates> c({5, 3, 40}, false);
  if (std::getenv("BACKWARD") != nullptr) {
    check_backward(c, broken);
  } else {
    check_forward(c, broken);
  }
}

TEST_CASE(
    "the thread sanitizer reports a hand-over without its release, its fence or its barrier") {
  if (const char* const wanted = std::getenv("BROKEN")) return run_broken(wanted);
  if (!UNDER_THREAD_SANITIZER) {
    std::printf("SKIPPED: this program has no thread sanitizer; handover_sanitized_test has\n");
    return;
  }
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  for (const Broken broken : {Broken::nothing, Broken::release, Broken::fence,
                              Broken::even_barriers, Broken::odd_barriers}) {
    for (const char* pass : {"FORWARD", "BACKWARD"}) {
      CAPTURE(static_cast<int>(broken));
      CAPTURE(std::string(pass));
      // One report is enough, and nobody reads it.
      const std::string command =
          "env TSAN_OPTIONS=exitcode=66:halt_on_error=1:symbolize=0 BROKEN=" +
          std::to_string(static_cast<int>(broken)) + " " + pass + "=1 '" + program +
          "' -tc='the thread sanitizer reports*' 2>&1";
      std::FILE* child = popen(command.c_str(), "r");
      REQUIRE(child != nullptr);
      std::string text;
      std::array<char, 4096> line;
      while (std::fgets(line.data(), line.size(), child) != nullptr) text += line.data();
      const int status = pclose(child);
      const bool reported = text.find("WARNING: ThreadSanitizer: data race") != std::string::npos;
      CHECK(reported == (broken != Broken::nothing));
      CHECK((status == 0) == (broken == Broken::nothing));
    }
  }
}

}  // namespace tapeloop::test
