// SPDX-License-Identifier: MIT
// The CPU backend: splits work over threads and calls the kernels for this instruction set.
#include "tapeloop/autograd/device/backend.h"

#include <algorithm>

#include "tapeloop/autograd/device/cpu/kernels.h"
#include "tapeloop/autograd/device/cpu/levels.h"
#include "tapeloop/autograd/device/cpu/packed_weight.h"
#include "tapeloop/autograd/device/cpu/scan/scan.h"
#include "tapeloop/autograd/device/cpu/tensor_loops.h"
#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/device/cpu/walk.h"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/formula/compiled_arithmetic.h"
#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {
namespace {

// With fewer elements a second thread costs more than it saves.
constexpr std::int64_t kGrain = 16384;

// This many rows of x stay in the cache while the loop passes over all panels of a weight.
constexpr std::int64_t kRowsAtOnce = 128;
// A product with so few columns would leave most of a panel empty.
constexpr std::int64_t kFewColumns = 4;
constexpr double kFlopsPerThread = 1e6;

template <class T>
T* written(const Tensor& to) {
  to.mark_written();
  return static_cast<T*>(to.raw());
}

template <class T>
MatrixView<T> matrix(const Tensor& batch, std::int64_t index) {
  return {batch.read<T>() + index * batch.stride(0), batch.stride(1), batch.stride(2)};
}

cpu::ReducePlan reduce_plan(const Tensor& to, const Tensor& from) {
  cpu::ReducePlan plan;
  for (int axis = 0; axis < from.rank(); ++axis) {
    std::int64_t size = from.shape()[axis];
    if (size == 1) continue;
    if (to.shape()[axis] == 1) {
      int n = plan.reduced;
      if (n > 0 && plan.reduced_from[n - 1] == size * from.stride(axis)) {
        --n;
        plan.reduced_sizes[n] *= size;
      } else {
        plan.reduced_sizes[n] = size;
      }
      plan.reduced_from[n] = from.stride(axis);
      plan.reduced = n + 1;
    } else {
      int n = plan.kept++;
      plan.kept_sizes[n] = size;
      plan.kept_from[n] = from.stride(axis);
      plan.kept_to[n] = to.stride(axis);
    }
  }
  return plan;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend() { detail::check_denormals(); }

  void pointwise(const PointwiseKernel& kernel, const void* functor, DType dtype,
                 const LoopPlan& plan) const override {
    const bool one_row = plan.rank == 1;
    const std::int64_t length = plan.sizes[plan.rank - 1];
    const std::int64_t items = one_row ? length : plan.rows();
    const std::int64_t grain = one_row ? kGrain : std::max<std::int64_t>(1, kGrain / length);
    parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
      if (dtype == DType::float32) {
        cpu::walk<float>(kernel, functor, plan, begin, end);
      } else {
        cpu::walk<double>(kernel, functor, plan, begin, end);
      }
    });
  }

  void pointwise_each(const PointwiseKernel& kernel, DType dtype,
                      std::span<const PointwiseItem> items, GraphCapture*) const override {
    for (const PointwiseItem& item : items) {
      if (item.strided != nullptr) {
        pointwise(kernel, item.functor, dtype, *item.strided);
      } else if (item.count > 0) {
        pointwise(kernel, item.functor, dtype, plan_of(kernel, item));
      }
    }
  }

  bool targets(const Tensor& known, const Tensor& counted, const Tensor& target,
               std::int64_t ignore_index, std::int64_t classes) const override {
    return cpu::targets(known, counted, target, ignore_index, classes);
  }
  void norms(const Tensor& to, std::span<const Tensor> from,
             std::span<const std::string_view>) const override {
    cpu::norms(to, from);
  }

  void matmul(const Tensor& to, std::span<const Product> products, bool accumulate) const override {
    with_float_type(to.dtype(), [&]<class T>(T) {
      PoolVector<GemmPiece<T>> pieces(products.size());
      for (std::int64_t i = 0; i < to.dim(0); ++i) {
        for (std::size_t p = 0; p < products.size(); ++p) {
          pieces[p] = {matrix<T>(products[p].a, i), matrix<T>(products[p].b, i),
                       products[p].a.dim(2)};
        }
        cpu::kernels().of<T>().gemm(to.dim(1), to.dim(2), pieces, written<T>(to) + i * to.stride(0),
                                    to.stride(1), accumulate);
      }
    });
  }

  void linear(const Tensor& to, const Tensor& x, const Tensor& w,
              const Tensor& init) const override {
    with_float_type(to.dtype(), [&]<class T>(T) {
      const std::int64_t m = x.dim(0);
      const std::int64_t k = x.dim(1);
      const std::int64_t n = w.dim(0);
      if (m == 0 || n == 0) return;
      // In both branches a row of the result has the same bits for any number of rows.
      if (n <= kFewColumns || k == 0) {
        if (init.defined()) cpu::copy(to, init);
        const Product product[] = {{x.insert_axis(0), w.transpose(0, 1).insert_axis(0)}};
        return matmul(to.insert_axis(0), product, init.defined());
      }
      const Tensor rows = x.stride(1) == 1 || k == 1 ? x : x.contiguous();
      const bool added_in_place = init.defined() && init.stride(1) != 1;
      if (added_in_place) cpu::copy(to, init);
      const Tensor& start = added_in_place ? to : init;
      const cpu::PackedWeight<T> packed(w, {w.read<T>(), w.stride(1), w.stride(0)}, k, n);
      PanelProduct<T> product{m,
                              k,
                              rows.read<T>(),
                              rows.stride(0),
                              packed.panels(),
                              0,
                              packed.panels_per_group(),
                              n,
                              start.defined() ? start.read<T>() : nullptr,
                              start.defined() ? start.stride(0) : 0,
                              written<T>(to),
                              n};
      const double flops = 2.0 * static_cast<double>(m * n) * static_cast<double>(k);
      const std::int64_t panels = product.last;
      const auto parts = std::min(panels, static_cast<std::int64_t>(flops / kFlopsPerThread));
      parallel_for(panels, parts < 2 ? panels : (panels + parts - 1) / parts,
                   [&](std::int64_t first, std::int64_t last) {
                     PanelProduct<T> part = product;
                     part.first = first;
                     part.last = last;
                     for (std::int64_t row = 0; row < m; row += part.m) {
                       part.m = std::min(kRowsAtOnce, m - row);
                       part.a = product.a + row * product.lda;
                       part.c = product.c + row * product.ldc;
                       if (product.init != nullptr)
                         part.init = product.init + row * product.ld_init;
                       cpu::kernels().of<T>().multiply_panels(part);
                     }
                   });
    });
  }

  void run_levels(const LevelForward& run) const override {
    with_float_type(run.states[0].dtype(), [&]<class T>(T) { cpu::run_levels<T>(run); });
  }
  void run_levels(const LevelBackward& run) const override {
    with_float_type(run.states[0].dtype(), [&]<class T>(T) { cpu::run_levels<T>(run); });
  }

  void reduce(Reduction kind, const Tensor& to, const Tensor& from) const override {
    if (from.numel() == 0) return cpu::fill(to, kind == Reduction::product ? 1.0 : 0.0);
    with_float_type(to.dtype(), [&]<class T>(T) {
      cpu::ReducePlan plan = reduce_plan(to, from);
      // Adjacent results are one item of work (see ReduceLoop::run).
      int last = plan.kept - 1;
      bool across = plan.kept > 0 && plan.kept_from[last] == 1 && plan.kept_to[last] == 1 &&
                    !(plan.reduced > 0 && plan.reduced_from[plan.reduced - 1] == 1);
      std::int64_t items = across ? to.numel() / plan.kept_sizes[last] : to.numel();
      std::int64_t grain =
          std::max<std::int64_t>(1, kGrain * items / std::max<std::int64_t>(1, from.numel()));
      auto run = cpu::kernels().of<T>().reduce[static_cast<std::size_t>(kind)];
      parallel_for(items, grain, [&](std::int64_t begin, std::int64_t end) {
        run(plan, from.read<T>(), written<T>(to), begin, end);
      });
    });
  }

  void cumulative_sum(const Tensor& to, const Tensor& from, int axis) const override {
    to.mark_written();
    cpu::cumulative_sum(to, from, axis);
  }
  void scan(const ScanRun& run) const override { cpu::scan(run); }
  void argmax(const Tensor& to, const Tensor& from) const override {
    to.mark_written();
    cpu::argmax(to, from);
  }
  void take_rows(const Tensor& to, const Tensor& from, const Tensor& index,
                 bool gaps) const override {
    to.mark_written();
    cpu::take_rows(to, from, index, gaps);
  }
  void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) const override {
    to.mark_written();
    cpu::add_rows(to, index, from);
  }
  void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis) const override {
    to.mark_written();
    cpu::gather(to, from, index, axis);
  }
  void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from,
                   int axis) const override {
    to.mark_written();
    cpu::scatter_add(to, index, from, axis);
  }

  void uniform(const Tensor& to, std::uint64_t seed, std::uint64_t first) const override {
    with_float_type(to.dtype(), [&]<class T>(T) {
      T* out = written<T>(to);
      parallel_for(to.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        cpu::kernels().of<T>().uniform(out + begin, end - begin, seed,
                                       first + static_cast<std::uint64_t>(begin));
      });
    });
  }
  void normal(const Tensor& to, std::uint64_t seed, std::uint64_t first) const override {
    with_float_type(to.dtype(), [&]<class T>(T) {
      T* out = written<T>(to);
      parallel_for(to.numel(), kGrain / 8, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          out[i] = static_cast<T>(normal_at(seed, first + static_cast<std::uint64_t>(i)));
        }
      });
    });
  }

  std::int64_t gradient_rows() const override { return kGemmGroup; }
  std::int64_t kept_bytes(const Tensor& w) const override {
    // Packed panels are padded to whole registers: by less than 32 rows for each gate (usually at
    // most 8 gates), and by less than 32 columns for the backward pass.
    constexpr std::int64_t kPadding = 32, kGates = 8;
    const std::int64_t rows = w.dim(0), columns = w.dim(1);
    return size_of(w.dtype()) * (2 * rows * columns + kPadding * (kGates * columns + rows));
  }
  std::uint64_t mistakes() const override { return 0; }
};

}  // namespace

const Backend& detail::cpu_backend() {
  static const CpuBackend kBackend;
  return kBackend;
}

}  // namespace tapeloop
