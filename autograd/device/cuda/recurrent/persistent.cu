// SPDX-License-Identifier: MIT
// Runs a whole sequence of recurrent() in one launch: chooses the form, prepares the buffers
// through which blocks exchange h, and fills in the addresses. The kernels are in recurrent.cuh;
// recurrent_plan.cpp has the rules of the choice.
#include "tapeloop/autograd/device/cuda/recurrent/persistent.h"

#include <atomic>
#include <map>
#include <string>
#include <tuple>

#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/sequence.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

std::atomic<RecurrentForm> wanted_form{RecurrentForm::automatic};
std::atomic<RecurrentForm> last_form{RecurrentForm::automatic};

DeviceLimits device_limits() {
  static const DeviceLimits kLimits = [] {
    gpu();
    DeviceLimits limits{};
    CUDA_CHECK(cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    CUDA_CHECK(
        cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    return limits;
  }();
  return kLimits;
}

// The measured times, and the plans of the shapes that have run. Protected by working().
struct Plans {
  using Key =
      std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, bool, RecurrentForm>;
  struct Plan {
    RecurrentPlan plan;
    bool has_room = true;  // the last launch found room for all blocks
  };
  std::vector<RecurrentTime> times;
  std::map<Key, Plan> by_shape;

  Plan& of(const RecurrentShape& s, RecurrentForm form) {
    const Key key(s.hidden, s.gates, s.batch, s.operands, s.backward, form);
    const auto found = by_shape.find(key);
    if (found != by_shape.end()) return found->second;
    return by_shape[key] = {plan_recurrent(s, device_limits(), form, times)};
  }
};
Plans& plans() {
  static Plans& kPlans = *new Plans;
  return kPlans;
}

// Throws because the form that set_recurrent_form() asked for is not possible.
[[noreturn]] void fail_form(const RecurrentSequence& run, const std::string& reason) {
  fail((std::string("recurrent \"") + run.kernel->name + "\"").c_str(),
       "set_recurrent_form() asked for RecurrentForm::persistent, but " + reason +
           "; RecurrentForm::automatic chooses a form that is possible");
}

std::string text_of(const RecurrentShape& s) {
  return "N = " + std::to_string(s.batch) + ", H = " + std::to_string(s.hidden) + ", " +
         std::to_string(s.gates) + " gates";
}

// The arguments of the kernels, but not the plan and the memory that blocks share. The only place
// that knows both the tensors of a sequence and the kernels' view of them.
PersistentRun addresses_of(const RecurrentSequence& run, const RecurrentForward* forward,
                           const RecurrentBackward* backward) {
  const auto numbers = [](const Tensor& x) {
    return x.defined() ? static_cast<float*>(x.raw()) : nullptr;
  };
  const auto per_step = [&](const Tensor& x) {
    return StepMemory<float>{numbers(x), x.dim(0) == 1 ? 0 : x.dim(1) * x.dim(2)};
  };
  PersistentRun r{};
  r.steps = run.zx.dim(0);
  r.batch = static_cast<int>(run.zx.dim(1));
  r.hidden = static_cast<int>(run.w.dim(1));
  r.gates = static_cast<int>(run.w.dim(0) / run.w.dim(1));
  r.parts = static_cast<int>(run.states.size());
  r.apart = run.apart;
  r.takes_h = run.takes_h;
  r.reverse = run.reverse;
  r.w = numbers(run.w);
  r.w_row = run.w.stride(0);
  r.w_column = run.w.stride(1);
  r.zx = {numbers(run.zx), per_step(run.zx).step};
  r.z = per_step(run.z);
  for (std::size_t k = 0; k < run.states.size(); ++k) {
    r.initial[k] = numbers(run.initial[k]);
    r.states[k] = per_step(run.states[k]);
  }
  if (forward != nullptr) r.bias = numbers(forward->bias);
  if (backward == nullptr) return r;
  r.dhs = numbers(backward->dhs);
  r.dz = numbers(backward->dz);
  r.dzx = numbers(backward->dzx);
  for (std::size_t k = 0; k < run.states.size(); ++k) r.dstates[k] = numbers(backward->dstates[k]);
  return r;
}

// Fills both buffers of the exchange, a thread for each chunk: the initial h (null: zeros) in the
// first buffer, zeros elsewhere. Sets all flags to 0.
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(PersistentRun run, const float* h, std::int64_t chunks, std::int64_t count) {
  const std::int64_t i = thread_number(), rows = run.plan.rows;
  if (i < run.plan.groups * run.plan.slices) run.flags[i] = 0;
  if (i >= count) return;
  const Divided row = divide(i, rows);
  const Divided chunk = divide(row.quotient, chunks);
  const Divided buffer = divide(chunk.quotient, 2);
  const std::int64_t n = buffer.quotient * rows + row.rest;
  Chunk to;
  for (int v = 0; v < kChunkSize; ++v) {
    const std::int64_t k = chunk.rest * kChunkSize + v;
    const bool there = h != nullptr && buffer.rest == 0 && n < run.batch && k < run.hidden;
    to.at[v] = there ? h[n * run.hidden + k] : 0;
  }
  run.exchange[i] = to;
}

// Runs the sequence in one launch. Returns false if that is not possible: then the alternating form
// must run it. Throws instead if set_recurrent_form() asked for the persistent form.
bool run_persistent(const RecurrentSequence& run, const RecurrentForward* forward,
                    const RecurrentBackward* backward) {
  last_form = RecurrentForm::alternating;
  const RecurrentForm form = wanted_form;
  if (form == RecurrentForm::alternating) return false;
  const bool asked = form == RecurrentForm::persistent;
  const std::string which = backward != nullptr ? "its gradient " : "it ";
  if (run.zx.dtype() != DType::float32) {
    if (asked) fail_form(run, which + "is in float64, and only float32 has this form");
    return false;
  }
  const RecurrentLaunch kernel = find_recurrent(*run.kernel);
  if (kernel == nullptr) {
    if (!asked) return false;
    fail_form(run, which +
                       "has no kernel for a whole sequence; add register_recurrent<F>() to a .cu "
                       "file");
  }
  PersistentRun given = addresses_of(run, forward, backward);
  const std::int64_t operands = backward != nullptr
                                    ? run.kernel->inputs + 1
                                    : given.gates * (run.apart ? 2 : 1) + given.parts;
  const RecurrentShape shape{given.hidden, given.gates, given.batch, operands, backward != nullptr};
  const std::scoped_lock lock(working());
  Plans::Plan& chosen = plans().of(shape, form);
  if (!chosen.plan.persistent() && asked) {
    fail_form(run, std::string(backward != nullptr ? "for its gradient " : "") + text_of(shape) +
                       " do not fit: the weights must be in the shared memory of at most " +
                       std::to_string(device_limits().multiprocessors) + " blocks of " +
                       std::to_string(device_limits().shared_bytes) + " bytes, with at most " +
                       std::to_string(kMostRows) + " rows each");
  }
  if (!chosen.plan.persistent() || (!chosen.has_room && !asked)) return false;
  given.plan = chosen.plan;
  const std::int64_t blocks = given.plan.groups * given.plan.slices;
  const std::int64_t count = 2 * given.plan.groups * shape.chunks() * given.plan.rows;
  const Scratch exchange(static_cast<std::size_t>(count) * sizeof(Chunk));
  const Scratch flags(static_cast<std::size_t>(blocks) * sizeof(unsigned));
  given.exchange = exchange.as<Chunk>();
  given.flags = flags.as<unsigned>();
  const Grid grid(std::max(count, blocks));
  launch(prepare_kernel, grid.blocks, grid.threads, 0, given,
         backward != nullptr ? nullptr : given.initial[0], shape.chunks(), count);
  chosen.has_room = kernel(run.functor, given);
  if (!chosen.has_room && asked) {
    fail_form(run, "the GPU has no room for " + std::to_string(blocks) + " blocks of " +
                       std::to_string(given.plan.shared_bytes) + " bytes at once (" +
                       text_of(shape) + "): it may be shared with others");
  }
  if (chosen.has_room) last_form = RecurrentForm::persistent;
  return chosen.has_room;
}

}  // namespace

void allow_shared_memory(const void* kernel) {
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  device_limits().shared_bytes));
}

void set_recurrent_form(RecurrentForm form) { wanted_form = form; }
RecurrentForm recurrent_form() { return wanted_form; }
RecurrentForm last_recurrent_form() { return last_form; }

void use_recurrent_times(const std::string& file) {
  std::vector<RecurrentTime> times;
  if (!file.empty()) times = read_recurrent_times(file);
  const std::scoped_lock lock(working());
  plans().times = std::move(times);
  plans().by_shape.clear();
}

void decline_persistent(const StepLayout& step, bool may_refuse) {
  last_form = RecurrentForm::alternating;
  if (!may_refuse || wanted_form != RecurrentForm::persistent) return;
  const char* name = "recurrence";
  for (const StepLayout::Operation& op : step.operations) {
    if (op.kernel != nullptr) name = op.kernel->name;
  }
  fail((std::string("recurrent \"") + name + "\"").c_str(),
       "set_recurrent_form() asked for RecurrentForm::persistent, but only a batch of sequences of "
       "one length, with one product of h and one formula a step, runs in one launch; "
       "RecurrentForm::automatic chooses a form that is possible");
}

bool persistent_forward(const RecurrentForward& run) { return run_persistent(run, &run, nullptr); }

bool persistent_backward(const RecurrentBackward& run) {
  return run_persistent(run, nullptr, &run);
}

}  // namespace tapeloop::cuda
