// SPDX-License-Identifier: MIT
// Times rows (rows.h) on the GPU. Prints one line of JSON for each form of each row, as the peers
// do (bench/peers/row.h); the first line describes the GPU. No optimizer.
//   gpu_bench [--quick] [ROW...]           without rows: the main ones; ends with 77 without a GPU
//   gpu_bench [--quick] --times FILE [ROW...]
//       only measures the divisions of recurrent layers; writes FILE for cuda::use_recurrent_times
//   gpu_bench --list main|all|quick        prints the names of rows, one a line; needs no GPU
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <set>

#include "bench/gpu/facts.h"
#include "bench/gpu/multiply_add.h"
#include "bench/gpu/rows.h"
#include "bench/gpu/times.h"
#include "bench/op_by_op_cell.h"
#include "bench/peers/row.h"
#include "examples/custom_cell/my_lstm.h"
#include "tapeloop/autograd/device/backend.h"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tapeloop/autograd/tape/captured_step.h"

namespace bench {
namespace {

using namespace tapeloop;
using Step = std::function<void()>;

constexpr int kNoGpu = 77;

// The median of this many samples. A sample has so many steps that its wait at the end takes no
// noticeable share. An idle GPU needs a part of the warm-up to reach its full clock.
struct Effort {
  int samples = 21;
  double sample_seconds = 0.02, warm_up_seconds = 0.5;
};

struct Timing {
  double median = 0, least = 0, most = 0;  // seconds of a step
  std::int64_t steps = 0;                  // timed in total
};

// The host enqueues the steps of a sample and waits once, as a training loop does.
double seconds_of(const Step& step, std::int64_t count) {
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < count; ++i) step();
  cuda::synchronize();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count() / static_cast<double>(count);
}

Timing time_of(const Step& step, const Effort& effort) {
  // Fills memory pools, and lets cuBLAS choose kernels.
  for (int i = 0; i < 3; ++i) seconds_of(step, 1);
  double one = std::min(seconds_of(step, 1), seconds_of(step, 2));
  one = std::min(one, seconds_of(step, peer::repeats_for(effort.warm_up_seconds, one)));
  const std::int64_t count = peer::repeats_for(effort.sample_seconds, one);
  std::vector<double> samples;
  for (int i = 0; i < effort.samples; ++i) samples.push_back(seconds_of(step, count));
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples.front(), samples.back(), count * effort.samples};
}

// The forms of recurrent layers on the GPU. Each form that fits the shape gets its own line.
struct Form {
  const char* name;
  cuda::RecurrentForm form;
};
constexpr Form kForms[] = {{"as the library chooses", cuda::RecurrentForm::automatic},
                           {"alternating", cuda::RecurrentForm::alternating},
                           {"persistent", cuda::RecurrentForm::persistent}};

// --- the step of each kind of row ---

// Normal numbers, made on the GPU: on the CPU they would take longer than the timing.
Tensor on_gpu(const Shape& shape, Random& random) {
  const Tensor draws = Tensor::empty(shape, DType::float32, Device::cuda);
  const auto count = static_cast<std::uint64_t>(shape.numel());
  backend(Device::cuda).normal(draws, random.seed, random.take(count));
  return draws;
}

template <class Cell>
Step layer_step(const peer::Row& row) {
  struct State {
    Random random{1};
    nn::Recurrent<Cell> model;
    Var xs, dys;
    explicit State(const peer::Row& r) : model({.input = r.at("I"), .hidden = r.at("H")}, random) {
      nn::move(model, Device::cuda);
      xs = parameter(on_gpu({r.at("T"), r.at("N"), r.at("I")}, random));
      dys = Var(on_gpu({r.at("T"), r.at("N"), r.at("H")}, random));
    }
  };
  const auto state = std::make_shared<State>(row);
  if (row.kind.find("/forward/") != std::string::npos) {
    return [state] { state->model(state->xs); };  // no tape: nothing is recorded
  }
  const auto step = [state] {
    Tape tape;
    tape.backward(state->model(state->xs).ys, state->dys);
    for (const NamedVar& p : nn::parameters(state->model)) p.var.zero_grad();
    state->xs.zero_grad();
  };
  // With an absent, zero or non-finite gradient the time would mean nothing.
  {
    Tape tape;
    tape.backward(state->model(state->xs).ys, state->dys);
    for (const NamedVar& p : nn::parameters(state->model)) {
      const double size = sum(square(p.var.grad())).item();
      if (!(size > 0) || !std::isfinite(size)) {
        throw std::runtime_error("the gradient of " + p.name + " is not to be used");
      }
    }
  }
  return step;
}

Step step_of(const peer::Row& row) {
  const auto is = [&](const char* part) { return row.kind.starts_with(part); };
  Random random(2);
  if (is("gpu/lstm/")) return layer_step<nn::LstmCell>(row);
  if (is("gpu/gru/")) return layer_step<nn::GruCell>(row);
  if (is("gpu/user_cell/")) return layer_step<my::LstmCell>(row);
  if (is("gpu/op_by_op/")) return layer_step<OpByOpCell>(row);
  if (is("gpu/gemm/")) {
    const Var a(on_gpu({row.at("M"), row.at("K")}, random));
    const Var b(on_gpu({row.at("K"), row.at("N")}, random));
    return [=] { matmul(a, b); };
  }
  if (is("gpu/copy") || is("gpu/multiply_add")) {
    const Shape shape{row.at("MiB") * 1048576 / 4};
    const Tensor to = Tensor::zeros(shape, DType::float32, Device::cuda);
    const Var a(Tensor::full(shape, 1, DType::float32, Device::cuda)), b(a.value().clone()),
        c(a.value().clone());
    if (is("gpu/copy")) return [=] { to.copy_from(a.value()); };
    return [=] { pointwise(MultiplyAdd{}, a, b, c); };
  }
  const Var x(Tensor::full({row.at("N")}, 1, DType::float32, Device::cuda));
  return [=] { tanh(x); };
}

std::string rate_of(const std::string& row, double seconds) {
  const Work work = work_of(row);
  if (work.flops > 0) return fmt::format("{:.2f} TFLOP/s", work.flops / seconds / 1e12);
  if (work.bytes > 0) return fmt::format("{:.0f} GB/s", work.bytes / seconds / 1e9);
  return "";
}

void print(const std::string& row, const std::string& variant, const Timing& time) {
  fmt::print(
      "{{\"row\": {}, \"variant\": {}, \"seconds_per_step\": {:.9g}, \"least\": {:.9g}, "
      "\"most\": {:.9g}, \"steps\": {}, \"rate\": {}}}\n",
      peer::quoted(row), peer::quoted(variant), time.median, time.least, time.most, time.steps,
      peer::quoted(rate_of(row, time.median)));
  std::fflush(stdout);  // the program may be stopped at any time
}

// Times the step as a CUDA graph. Throws if the step cannot be captured.
Timing captured_time_of(const Step& step, const Effort& effort) {
  CapturedStep captured(Device::cuda, [&] { step(); }, {.tell = [](const std::string&) {}});
  const Timing time = time_of([&] { captured(); }, effort);
  if (captured.graph_runs() == 0) throw std::runtime_error("no graph: " + captured.reason());
  return time;
}

void print_error(const std::string& row, const std::string& variant, const std::exception& error) {
  fmt::print("{{\"row\": {}, \"variant\": {}, \"error\": {}}}\n", peer::quoted(row),
             peer::quoted(variant), peer::quoted(error.what()));
  std::fflush(stdout);
}

// One line for each form of the row, and one for its captured step. An error of one form loses no
// other form.
void answer(const std::string& name, const Effort& effort) {
  peer::Row row;
  try {
    row = peer::parse_row(name);
    work_of(name);  // throws for names that are not rows
  } catch (const std::exception& error) {
    return print_error(name, "", error);
  }
  cuda::allow_tf32(row.kind.find("/tf32") != std::string::npos);
  const bool formed = row.kind.starts_with("gpu/lstm/") || row.kind.starts_with("gpu/gru/") ||
                      row.kind.starts_with("gpu/user_cell/");
  const bool by_op = row.kind.starts_with("gpu/op_by_op/");
  for (const Form& form : kForms) {
    cuda::set_recurrent_form(form.form);
    const bool own = form.form == cuda::RecurrentForm::automatic;
    const std::string variant = formed ? form.name : by_op ? "op by op" : "one operation";
    try {
      const Step step = step_of(row);
      print(name, variant, time_of(step, effort));
      if (own && (formed || by_op)) {
        print(name, variant + ", captured", captured_time_of(step, effort));
      }
    } catch (const std::exception& error) {
      // A form that does not fit gets no line.
      const bool fits = std::string(error.what()).find("set_recurrent_form") == std::string::npos;
      if (own || fits) print_error(name, variant, error);
    }
    if (!formed) break;
  }
  cuda::set_recurrent_form(cuda::RecurrentForm::automatic);
}

// The cuBLAS files that this process has loaded; their names contain the version.
std::string blas_files() {
  std::set<std::string> files;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libcublas.so") != std::string::npos) files.insert(line.substr(line.find('/')));
  }
  std::string all;
  for (const std::string& file : files) all += (all.empty() ? "" : ", ") + file;
  return all.empty() ? "none" : all;
}

int list(const std::vector<std::string>& arguments) {
  const std::string which = arguments.size() == 2 ? arguments[1] : "";
  if (which != "main" && which != "all" && which != "quick") {
    fmt::print(stderr, "gpu_bench: got --list {}, expected --list main, all or quick\n", which);
    return 2;
  }
  for (const std::string& row : which == "main"  ? main_rows()
                                : which == "all" ? all_rows()
                                                 : quick_rows()) {
    fmt::print("{}\n", row);
  }
  return 0;
}

int run(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments[0] == "--list") return list(arguments);
  Effort effort;
  std::vector<std::string> rows;
  std::string times;
  bool quick = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--times" && i + 1 < arguments.size()) {
      times = arguments[++i];
    } else if (argument == "--quick") {
      quick = true;
      effort = {3, 1e-4, 0};
    } else if (argument.starts_with("-")) {
      fmt::print(
          stderr,
          "gpu_bench: unknown option {}; usage: gpu_bench [--quick] [--times FILE] [ROW...]\n",
          argument);
      return 2;
    } else {
      rows.push_back(argument);
    }
  }
  try {
    Tensor::empty({1}, DType::float32, Device::cuda);
  } catch (const Error& error) {
    fmt::print(stderr, "gpu_bench: {}\n", error.what());
    return cuda::available() ? 1 : kNoGpu;  // 1: for example, a GPU without cuBLAS
  }
  const GpuFacts gpu = gpu_facts().value();
  fmt::print(
      "{{\"peer\": \"Tapeloop\", \"gpu\": {}, \"capability\": {}, \"driver_cuda\": {}, "
      "\"runtime_cuda\": {}, \"multiprocessors\": {}, \"memory_gib\": {:.1f}, \"emulated\": "
      "{}, \"cublas\": {}}}\n",
      peer::quoted(gpu.name), peer::quoted(gpu.capability), peer::quoted(gpu.driver_cuda),
      peer::quoted(gpu.runtime_cuda), gpu.multiprocessors, gpu.memory_gib, gpu.emulated,
      peer::quoted(blas_files()));
  std::fflush(stdout);
  if (rows.empty()) rows = quick ? quick_rows() : main_rows();
  if (!times.empty()) {
    const int count = write_times(times, rows, [&](const std::string& row) {
      return time_of(step_of(peer::parse_row(row)), effort).median;
    });
    fmt::print("{} times in {}\n", count, times);
    return 0;
  }
  for (const std::string& row : rows) answer(row, effort);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "gpu_bench: {}\n", error.what());
    return 1;
  }
}
