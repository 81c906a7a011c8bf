// SPDX-License-Identifier: MIT
// Sets up the GPU, copies to and from it, and waits for it. Its memory is in memory.cpp.
#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tapeloop/autograd/device/graph_capture.h"
#include "tapeloop/autograd/tensor/error.h"

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

namespace tapeloop::cuda {
namespace {

constexpr const char* kWaits =
    "the host waited for the GPU, as item(), to(Device::cpu) and the like do; return the value "
    "instead and read it outside of the step";
// The size that cuBLAS recommends for sm_90.
constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20;

constexpr std::size_t kStaging = std::size_t{4} << 20;

// Returns 0 if there is no GPU; `reason` is then the driver's message.
int device_count(std::string* reason = nullptr) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count;
  cudaGetLastError();
  if (reason != nullptr) *reason = std::string(" (") + cudaGetErrorString(status) + ")";
  return 0;
}

int capability() {  // 90 for 9.0
  int major = 0, minor = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0));
  return 10 * major + minor;
}

// Everything that set_up() has created so far. If set_up() fails, the destructor releases all of
// it, and the next use of the GPU tries again.
struct Parts {
  Gpu gpu{};
  void* note = nullptr;
  void* halted = nullptr;
  void* workspace = nullptr;
  bool has_handle = false;
  bool complete = false;

  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() {
    if (complete) return;
    if (has_handle) blas().destroy(gpu.blas_handle);
    for (void* const block : {halted, workspace}) {
      if (block != nullptr) cudaFreeAsync(block, gpu.stream);
    }
    if (note != nullptr) cudaFreeHost(note);
    for (const cudaStream_t stream : {gpu.stream, gpu.beside}) {
      if (stream != nullptr) cudaStreamDestroy(stream);
    }
    cudaGetLastError();
  }
};

Gpu* set_up() {
  std::string reason;
  if (device_count(&reason) == 0) {
    fail("cuda",
         "there is no NVIDIA GPU that can be used" + reason + "; keep the tensors on Device::cpu");
  }
  if (const int found = capability(); found < 80) {
    fail("cuda", "the GPU has compute capability " + std::to_string(found / 10) + "." +
                     std::to_string(found % 10) +
                     ", 8.0 is the lowest that is supported; keep the tensors on Device::cpu");
  }
  check_device();
  blas();  // first, because it can be missing
  CUDA_CHECK(cudaSetDevice(0));
  Parts parts;
  Gpu& gpu = parts.gpu;
  CUDA_CHECK(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&gpu.beside, cudaStreamNonBlocking));
  CUDA_CHECK(cudaDeviceGetDefaultMemPool(&gpu.pool, 0));
  std::uint64_t keep_all = ~std::uint64_t{0};
  CUDA_CHECK(cudaMemPoolSetAttribute(gpu.pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
  CUDA_CHECK(cudaHostAlloc(&parts.note, sizeof(Mistake), cudaHostAllocMapped));
  gpu.notes.mistake = new (parts.note) Mistake{};
  CUDA_CHECK(cudaMallocAsync(&parts.halted, sizeof(int), gpu.stream));
  CUDA_CHECK(cudaMemsetAsync(parts.halted, 0, sizeof(int), gpu.stream));
  gpu.notes.halted = static_cast<int*>(parts.halted);
  CUDA_CHECK(blas().create(&gpu.blas_handle));
  parts.has_handle = true;
  CUDA_CHECK(blas().set_stream(gpu.blas_handle, gpu.stream));
  // A workspace of our own: the bits of a product then do not depend on other work.
  CUDA_CHECK(cudaMallocAsync(&parts.workspace, kBlasWorkspace, gpu.stream));
  CUDA_CHECK(blas().set_workspace(gpu.blas_handle, parts.workspace, kBlasWorkspace));
  parts.complete = true;
  return new Gpu(gpu);
}

}  // namespace

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  fail("cuda", std::string(call) + " failed: " + cudaGetErrorString(status));
}
void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail("cuda", std::string(call) + " failed: " + blas().status(status));
}

void check_device() {
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  if (device == 0) return;
  fail("cuda",
       "the current device of this thread is " + std::to_string(device) +
           ", but Tapeloop uses one GPU, device 0; call cudaSetDevice(0) in this thread, or "
           "choose the GPU by CUDA_VISIBLE_DEVICES");
}

static std::atomic<bool> in_use{false};
static std::atomic<std::uint64_t> mistakes_thrown{0};

std::uint64_t mistakes() { return mistakes_thrown; }

Gpu& gpu() {
  // Lives as long as the process, because tensors in static objects release their memory at its
  // very end. If setting up fails, the next call tries again.
  static Gpu* const kGpu = [] {
    Gpu* const made = set_up();
    in_use = true;
    return made;
  }();
  return *kGpu;
}

bool available() { return device_count() > 0 && capability() >= 80; }

std::recursive_mutex& working() {
  static std::recursive_mutex& kMutex = *new std::recursive_mutex;
  return kMutex;
}

namespace {

// Pinned memory for uploads. Once the data is here, the caller may change the source. It has two
// halves: the host fills one while the GPU may still copy from the other.
class Staging {
 public:
  Staging() {
    void* block = nullptr;
    CUDA_CHECK(cudaHostAlloc(&block, kStaging, cudaHostAllocDefault));
    block_ = static_cast<char*>(block);
    for (cudaEvent_t& event : read_) {
      CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    }
  }
  static constexpr std::size_t kMost = kStaging / 2;

  // Returns a place for `bytes` bytes. Waits if the GPU still copies from that half.
  void* place(std::size_t bytes) {
    if (used_ + bytes > kMost) {
      CUDA_CHECK(cudaEventRecord(read_[half_], gpu().stream));
      half_ = 1 - half_;
      used_ = 0;
      CUDA_CHECK(cudaEventSynchronize(read_[half_]));
    }
    char* const place = block_ + half_ * kMost + used_;
    used_ += (bytes + 63) / 64 * 64;
    return place;
  }

 private:
  char* block_ = nullptr;
  cudaEvent_t read_[2] = {};  // recorded after the copies of each half
  std::size_t half_ = 0, used_ = 0;
};

}  // namespace

void upload(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  const std::scoped_lock lock(working());
  detail::cannot_capture(
      "a tensor was copied from the CPU to the GPU; make it an input of the step");
  const bool staged = bytes <= Staging::kMost;
  if (staged) {
    static Staging& kRing = *new Staging;
    void* const place = kRing.place(bytes);
    std::memcpy(place, from, bytes);
    from = place;
  }
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, gpu().stream));
  // Without staging the GPU may still read the source after the call, so wait.
  if (!staged) CUDA_CHECK(cudaStreamSynchronize(gpu().stream));
}

void download(void* to, const void* from, std::size_t bytes) {
  const std::scoped_lock lock(working());
  detail::cannot_capture(kWaits);
  if (bytes > 0) {
    CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, gpu().stream));
  }
  wait();
}

// Throws the mistake that a kernel has noted.
[[noreturn]] static void tell(const Mistake& mistake) {
  if (mistake.in == MistakeIn::clip) {
    const std::string which =
        mistake.index < 0 ? "the norm of the gradients is above what float64 can hold"
                          : std::string("the gradient of \"") + mistake.name + "\" is not finite";
    fail(
        "clip_grad_norm",
        which +
            " on the GPU; no parameter was updated since then. Lower the learning rate or look "
            "for log(0), 0/0 and the like in the loss; NonFinite::ignore returns the norm instead");
  }
  if (mistake.in == MistakeIn::integers) {
    fail("to(int64)", "element " + std::to_string(mistake.index) + ", in row-major order, of " +
                          std::to_string(mistake.size) +
                          " on the GPU is NaN, infinite, or beyond what int64 holds; do not use "
                          "results computed since then; no parameter was updated");
  }
  // In the order of MistakeIn, with the names of the operations that a user calls.
  constexpr const char* kNames[] = {
      "",       "embedding or take",      "the gradient of embedding or take",
      "gather", "the gradient of gather", "cross_entropy"};
  fail(kNames[static_cast<int>(mistake.in)],
       (mistake.in == MistakeIn::targets ? "a target on the GPU is " : "an index on the GPU is ") +
           std::to_string(mistake.index) + ", outside 0.." + std::to_string(mistake.size - 1) +
           "; do not use results computed since then; no parameter was updated");
}

void wait() {
  Gpu& g = gpu();
  // The lock is held during the wait: otherwise another thread could begin a capture, and the wait
  // would invalidate it.
  const std::scoped_lock lock(working());
  detail::cannot_capture(kWaits);
  CUDA_CHECK(cudaStreamSynchronize(g.stream));
  if (g.notes.mistake->in == MistakeIn::nothing) return;
  const Mistake mistake = *g.notes.mistake;
  CUDA_CHECK(cudaMemsetAsync(g.notes.halted, 0, sizeof(int), g.stream));
  *g.notes.mistake = {};  // after the call above: if it throws, the next wait tries again
  ++mistakes_thrown;
  tell(mistake);
}

void synchronize() {
  if (in_use) wait();
}

}  // namespace tapeloop::cuda
