// SPDX-License-Identifier: MIT
// Runs a whole sequence of recurrent() in one launch: chooses the form, prepares the buffers
// through which blocks exchange h, and fills in the addresses. The kernels are in recurrent.cuh;
// recurrent_plan.cpp has the estimates behind the choice.
#include "tapeloop/autograd/device/cuda/recurrent/persistent.h"

#include <atomic>
#include <map>
#include <string>
#include <tuple>

#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/device/cuda/launch.cuh"
#include "tapeloop/autograd/device/cuda/recurrent/resident.cuh"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::cuda {
namespace {

std::atomic<RecurrentForm> wanted_form{RecurrentForm::automatic};
std::atomic<RecurrentForm> last_form{RecurrentForm::automatic};

DeviceLimits device_limits() {
  static const DeviceLimits kLimits = [] {
    gpu();
    int multiprocessors = 0, shared_bytes = 0, major = 0;
    CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
    CUDA_CHECK(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    return DeviceLimits{multiprocessors, shared_bytes, major >= 9};
  }();
  return kLimits;
}

// The input of a plan, and the key under which the plan is kept.
struct Wanted {
  RecurrentShape shape;
  RecurrentForm form;
  const RecurrentEntry* entry;  // of the formula
  bool narrow;                  // float32

  auto key() const {
    return std::tuple(shape.hidden, shape.gates, shape.batch, shape.operands, shape.backward, form,
                      entry, narrow);
  }
};

// Takes the form with the best estimate. If the GPU has no room for it, tries the next one, in the
// order cluster, persistent, alternating.
RecurrentPlan make_plan(const Wanted& wanted) {
  DeviceLimits limits = device_limits();
  limits.clusters = limits.clusters && wanted.entry->clusters;
  const RecurrentRoom has_room = wanted.entry->has_room[wanted.narrow ? 0 : 1];
  RecurrentPlan plan = plan_recurrent(wanted.shape, limits, wanted.form);
  if (plan.form == RecurrentForm::cluster && !has_room(plan)) {
    limits.clusters = false;
    plan = plan_recurrent(wanted.shape, limits, wanted.form);
  }
  if (plan.form == RecurrentForm::persistent && !has_room(plan)) {
    plan = plan_recurrent(wanted.shape, limits, RecurrentForm::alternating);
  }
  return plan;
}

const RecurrentPlan& plan_for(const Wanted& wanted) {
  static auto& kPlans = *new std::map<decltype(wanted.key()), RecurrentPlan>;
  // Locks working(), not a mutex of its own: has_room() locks working() too, and a thread that
  // captures a step already holds it.
  const std::scoped_lock lock(working());
  auto found = kPlans.find(wanted.key());
  if (found == kPlans.end()) found = kPlans.emplace(wanted.key(), make_plan(wanted)).first;
  return found->second;
}

// Throws: the form that was set by set_recurrent_form() is not possible.
[[noreturn]] void fail_form(const RecurrentSequence& run, RecurrentForm form,
                            const std::string& reason) {
  const bool cluster = form == RecurrentForm::cluster;
  fail((std::string("recurrent \"") + run.kernel->name + "\"").c_str(),
       std::string("set_recurrent_form() asked for RecurrentForm::") +
           (cluster ? "cluster" : "persistent") + ", but " + reason +
           "; RecurrentForm::automatic chooses a form that is possible");
}

[[noreturn]] void fail_plan(const RecurrentSequence& run, const Wanted& wanted) {
  const DeviceLimits limits = device_limits();
  DeviceLimits with_clusters = limits;
  with_clusters.clusters = true;
  const RecurrentPlan plan = plan_recurrent(wanted.shape, with_clusters, wanted.form);
  const std::string sizes = "N = " + std::to_string(wanted.shape.batch) +
                            ", H = " + std::to_string(wanted.shape.hidden) + ", " +
                            std::to_string(wanted.shape.gates) + " gates in " +
                            (wanted.narrow ? "float32" : "float64");
  if (plan.form == RecurrentForm::alternating) {
    fail_form(run, wanted.form,
              (wanted.shape.backward ? "for its gradient " : "") + sizes +
                  " do not fit: the weights must be in the shared memory of " +
                  (wanted.form == RecurrentForm::cluster
                       ? "at most " + std::to_string(kPortable) + " blocks"
                       : "at most " + std::to_string(limits.multiprocessors) + " blocks") +
                  " of " + std::to_string(limits.shared_bytes) + " bytes");
  }
  if (wanted.form == RecurrentForm::cluster) {
    if (!limits.clusters) {
      fail_form(run, wanted.form, "this GPU has no clusters (compute capability 9.0 has)");
    }
    if (!wanted.entry->clusters) {
      fail_form(run, wanted.form, "the formula was compiled for GPUs before 9.0 only");
    }
  }
  fail_form(run, wanted.form,
            "the GPU has no room for " + std::to_string(plan.slices * plan.groups) + " blocks of " +
                std::to_string(plan.shared_bytes) + " bytes at once (" + sizes +
                "): it may be shared with others");
}

struct Choice {
  RecurrentLaunch launch = nullptr;  // null: alternating
  RecurrentShape shape{};
};

// Returns the kernel for a whole sequence, if the formula has one and the plan uses it. Then fills
// in all of `given` but its memory.
Choice choose(const RecurrentSequence& run, bool backward, PersistentRun& given) {
  last_form = RecurrentForm::alternating;
  const RecurrentForm form = wanted_form;
  if (form == RecurrentForm::alternating) return {};
  const RecurrentEntry* const entry = find_recurrent(*run.kernel);
  if (entry == nullptr) {
    if (form == RecurrentForm::automatic) return {};
    fail_form(run, form,
              std::string(backward ? "its gradient" : "it") +
                  " has no kernel for a whole sequence; add register_recurrent<F>() to a .cu file");
  }
  const bool narrow = run.zx.dtype() == DType::float32;
  const RecurrentLaunch launch = entry->launch[narrow ? 0 : 1];
  const std::int64_t hidden = run.w.dim(1), gates = run.w.dim(0) / hidden, batch = run.zx.dim(1);
  const auto parts = static_cast<std::int64_t>(run.states.size());
  const std::int64_t operands =
      backward ? run.kernel->inputs + 1 : gates * (run.apart ? 2 : 1) + parts;
  const RecurrentShape shape{hidden, gates, batch, operands, size_of(run.zx.dtype()), backward};
  const Wanted wanted{shape, form, entry, narrow};
  given.plan = plan_for(wanted);
  if (given.plan.form == RecurrentForm::alternating) {
    if (form != RecurrentForm::automatic) fail_plan(run, wanted);
    return {};
  }
  last_form = given.plan.form;
  const auto per_step = [](const Tensor& x) {
    return x.dim(0) == 1 ? std::int64_t{0} : x.dim(1) * x.dim(2);
  };
  given.steps = run.zx.dim(0);
  given.batch = static_cast<int>(batch);
  given.hidden = static_cast<int>(hidden);
  given.gates = static_cast<int>(gates);
  given.parts = static_cast<int>(parts);
  given.apart = run.apart;
  given.takes_h = run.takes_h;
  given.reverse = run.reverse;
  given.w = run.w.raw();
  given.w_row = run.w.stride(0);
  given.w_column = run.w.stride(1);
  given.zx = {run.zx.raw(), per_step(run.zx)};
  given.z = {run.z.raw(), per_step(run.z)};
  for (std::size_t k = 0; k < run.states.size(); ++k) {
    given.initial[k] = run.initial[k].raw();
    given.states[k] = {run.states[k].raw(), per_step(run.states[k])};
  }
  return {launch, shape};
}

// Fills both buffers of the exchange: the initial h (null: zeros) in the first buffer, zeros
// elsewhere. Sets all flags to 0.
template <class T>
__global__ void __launch_bounds__(kThreads)
    prepare_kernel(T* exchange, unsigned* flags, const T* h, std::int64_t per_chunk,
                   std::int64_t chunks, std::int64_t rows, std::int64_t batch, std::int64_t hidden,
                   std::int64_t count, std::int64_t flag_count) {
  const std::int64_t i = thread_number();
  if (i < flag_count) flags[i] = 0;
  if (i >= count) return;
  const Divided element = divide(i, per_chunk);
  const Divided row = divide(element.quotient, rows);
  const Divided chunk = divide(row.quotient, chunks);
  const Divided buffer = divide(chunk.quotient, 2);
  const std::int64_t n = buffer.quotient * rows + row.rest;
  const std::int64_t k = chunk.rest * per_chunk + element.rest;
  exchange[i] =
      h != nullptr && buffer.rest == 0 && n < batch && k < hidden ? h[n * hidden + k] : T{0};
}

// Runs the sequence. Takes the memory that it needs besides its tensors.
void run_persistent(const RecurrentSequence& run, const Choice& choice, PersistentRun& given) {
  const bool cluster = given.plan.form == RecurrentForm::cluster;
  const std::int64_t chunks = choice.shape.chunks();
  const std::int64_t exchanged =
      cluster ? 0 : 2 * given.plan.groups * chunks * given.plan.rows * kChunkBytes;
  const std::int64_t flag_count = cluster ? 0 : given.plan.groups * given.plan.slices;
  const Scratch lengths(run.lengths.size_bytes());
  const Scratch exchange(static_cast<std::size_t>(exchanged));
  const Scratch flags(static_cast<std::size_t>(flag_count) * sizeof(unsigned));
  upload(lengths.as<std::int64_t>(), run.lengths.data(), run.lengths.size_bytes());
  given.lengths = lengths.as<std::int64_t>();
  given.exchange = exchange.as<char>();
  given.flags = flags.as<unsigned>();
  if (!cluster) {
    with_float_type(run.zx.dtype(), [&]<class T>(T) {
      const std::int64_t count = exchanged / static_cast<std::int64_t>(sizeof(T));
      const Grid grid(std::max(count, flag_count));
      launch(prepare_kernel<T>, grid.blocks, grid.threads, 0, exchange.as<T>(),
             flags.as<unsigned>(),
             choice.shape.backward ? nullptr : static_cast<const T*>(given.initial[0]),
             choice.shape.per_chunk(), chunks, given.plan.rows, choice.shape.batch,
             choice.shape.hidden, count, flag_count);
    });
  }
  choice.launch(run.functor, given);
}

}  // namespace

void allow_shared_memory(const void* kernel, std::size_t bytes) {
  static std::map<const void*, std::size_t>& kAllowed = *new std::map<const void*, std::size_t>;
  std::size_t& allowed = kAllowed[kernel];
  if (bytes <= allowed) return;  // never lower the limit: a captured launch may rely on it
  check(with_room([&] {
          return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(bytes));
        }),
        "cudaFuncSetAttribute");
  allowed = bytes;
}

cudaLaunchConfig_t config_of(const ResidentGrid& grid, cudaLaunchAttribute& attribute) {
  attribute = {};
  if (grid.cluster == 0) {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  } else {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = grid.cluster;
    attribute.val.clusterDim.y = 1;
    attribute.val.clusterDim.z = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid.grid;
  config.blockDim = grid.block;
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = gpu().stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return config;
}

bool has_room(const void* kernel, const ResidentGrid& grid) {
  const std::scoped_lock lock(working());
  allow_shared_memory(kernel, grid.shared_bytes);
  cudaLaunchAttribute attribute;
  const cudaLaunchConfig_t config = config_of(grid, attribute);
  int found = 0;  // blocks per multiprocessor, or clusters on the GPU
  const cudaError_t status = with_room([&] {
    return grid.cluster == 0
               ? cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                     &found, kernel, static_cast<int>(grid.block.x), grid.shared_bytes)
               : cudaOccupancyMaxActiveClusters(&found, kernel, &config);
  });
  if (status == cudaErrorInvalidClusterSize || status == cudaErrorInvalidConfiguration ||
      status == cudaErrorInvalidValue) {  // the GPU never accepts such a size
    cudaGetLastError();
    return false;
  }
  check(status, "cudaOccupancyMaxActive...");  // an unknown answer must not be kept
  if (grid.cluster != 0) return found > 0;
  return std::int64_t{found} * device_limits().multiprocessors >=
         std::int64_t{grid.grid.x} * grid.grid.y;
}

void set_recurrent_form(RecurrentForm form) { wanted_form = form; }
RecurrentForm recurrent_form() { return wanted_form; }
RecurrentForm last_recurrent_form() { return last_form; }

bool persistent_forward(const RecurrentForward& run) {
  PersistentRun given{};
  const Choice choice = choose(run, false, given);
  if (choice.launch == nullptr) return false;
  if (run.bias.defined()) given.bias = run.bias.raw();
  run_persistent(run, choice, given);
  return true;
}

bool persistent_backward(const RecurrentBackward& run) {
  if (run.dh.defined()) {  // a tape that looks inside needs dh of every step
    last_form = RecurrentForm::alternating;
    return false;
  }
  PersistentRun given{};
  const Choice choice = choose(run, true, given);
  if (choice.launch == nullptr) return false;
  if (run.dhs.defined()) given.dhs = run.dhs.raw();
  for (std::size_t k = 0; k < run.dstates.size(); ++k) given.dstates[k] = run.dstates[k].raw();
  given.dz = run.dz.raw();
  given.dzx = run.dzx.raw();
  run_persistent(run, choice, given);
  return true;
}

}  // namespace tapeloop::cuda
