// SPDX-License-Identifier: MIT
// The CUDA backend: a call of the kernel for each operation.
#include "tapeloop/autograd/device/backend.h"

#include "tapeloop/autograd/device/cuda/capture.cuh"
#include "tapeloop/autograd/device/cuda/cuda.h"
#include "tapeloop/autograd/device/cuda/gpu.cuh"
#include "tapeloop/autograd/device/cuda/kernels.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {
namespace {

template <class... Tensors>
void need_gpu(const char* kernel, const Tensors&... tensors) {
  const auto need = [&](const Tensor& tensor) {
    if (tensor.defined() && tensor.device() != Device::cuda) {
      fail(kernel, "got " + tensor.describe() +
                       " on the cpu beside tensors on cuda; copy it by to(Device::cuda)");
    }
  };
  (need(tensors), ...);
}

Tensor on_gpu(const Tensor& index) {
  if (index.device() == Device::cuda) return index;
  const Tensor near = index.contiguous();
  Tensor result = Tensor::empty(index.shape(), index.dtype(), Device::cuda);
  cuda::upload(result.raw(), near.raw(),
               static_cast<std::size_t>(near.numel()) * sizeof(std::int64_t));
  return result;
}

class CudaBackend final : public Backend {
 public:
  void pointwise(const PointwiseKernel& kernel, const void* functor, DType dtype,
                 const LoopPlan& plan) const override {
    cuda::find_pointwise(kernel, dtype)(functor, plan, nullptr);
  }
  void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                      std::span<const PointwiseItem> items, GraphCapture* rerun) const override {
    cuda::pointwise_each(kernel, dtype, items, rerun);
  }
  bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
               std::int64_t ignore_index, std::int64_t classes) const override {
    cuda::targets(known, counted, target.contiguous(), ignore_index, classes);
    return false;
  }
  void norms(const Tensor& to, std::span<const Tensor> from,
             std::span<const std::string_view> names) const override {
    cuda::norms(to, from, names);
  }
  void matmul(const Tensor& to, std::span<const Product> products, bool accumulate) const override {
    for (const Product& p : products) need_gpu("matmul", p.a, p.b);
    cuda::matmul(to, products, accumulate);
  }
  void linear(const Tensor& to, const Tensor& x, const Tensor& w,
              const Tensor& init) const override {
    need_gpu("linear", x, w, init);
    cuda::linear(to, x, w, init);
  }
  void run_levels(const LevelForward& run) const override { cuda::run_levels(run); }
  void run_levels(const LevelBackward& run) const override { cuda::run_levels(run); }
  void reduce(Reduction kind, const Tensor& to, const Tensor& from) const override {
    cuda::reduce(kind, to, from);
  }
  void cumulative_sum(const Tensor& to, const Tensor& from, int axis) const override {
    cuda::cumulative_sum(to, from, axis);
  }
  void scan(const ScanRun& run) const override { cuda::scan(run); }
  void argmax(const Tensor& to, const Tensor& from) const override { cuda::argmax(to, from); }
  void take_rows(const Tensor& to, const Tensor& from, const Tensor& index,
                 bool gaps) const override {
    cuda::take_rows(to, from, on_gpu(index), gaps);
  }
  void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) const override {
    need_gpu("add_rows", from);
    cuda::add_rows(to, on_gpu(index), from);
  }
  void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis) const override {
    cuda::gather(to, from, on_gpu(index), axis);
  }
  void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from,
                   int axis) const override {
    need_gpu("scatter_add", from);
    cuda::scatter_add(to, on_gpu(index), from, axis);
  }
  void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first) const override {
    cuda::uniform(to, seed, first);
  }
  void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) const override {
    cuda::normal(to, seed, first);
  }

  // One block: cuBLAS chooses the order of a sum by the shape, so small blocks would cost time and
  // would not give equal bits.
  std::int64_t gradient_rows() const override { return std::int64_t{1} << 40; }
  std::int64_t kept_bytes(const Tensor&) const override { return 0; }
  std::uint64_t mistakes() const override { return cuda::mistakes(); }
};

}  // namespace

std::unique_ptr<GraphCapture> detail::new_cuda_capture() {
  return std::make_unique<cuda::Capture>();
}

const Backend& detail::cuda_backend() {
  cuda::gpu();  // throws if there is no GPU
  cuda::check_device();
  static const CudaBackend& kBackend = *new CudaBackend;
  return kBackend;
}

}  // namespace tapeloop
