// SPDX-License-Identifier: MIT
// Copies, gathers, scatters and running sums; each walks over rows along one axis.
#include "tapeloop/autograd/device/cpu/tensor_loops.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "tapeloop/autograd/device/cpu/threads.h"
#include "tapeloop/autograd/device/plan.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop::cpu {
namespace {

constexpr std::int64_t kGrain = 32768;

// Calls line(pointers of each operand) for rows [begin, end) of the plan.
template <std::size_t kOperands, class Line>
void walk_rows(const LoopPlan& plan, const std::array<std::int64_t, kOperands>& element_bytes,
               std::int64_t begin, std::int64_t end, Line line) {
  const int outer = plan.rank - 1;
  for (std::int64_t row = begin; row < end; ++row) {
    std::array<char*, kOperands> at;
    for (std::size_t k = 0; k < kOperands; ++k) at[k] = plan.operands[k].data;
    std::int64_t rest = row;
    for (int axis = outer - 1; axis >= 0; --axis) {
      std::int64_t index = rest % plan.sizes[axis];
      rest /= plan.sizes[axis];
      for (std::size_t k = 0; k < kOperands; ++k)
        at[k] += index * plan.operands[k].strides[axis] * element_bytes[k];
    }
    line(at);
  }
}

template <class To, class From>
void copy_row(To* to, std::int64_t to_stride, const From* from, std::int64_t from_stride,
              std::int64_t length) {
  if constexpr (std::is_same_v<To, From>) {
    if (to_stride == 1 && from_stride == 1) {
      std::memcpy(to, from, static_cast<std::size_t>(length) * sizeof(To));
      return;
    }
  }
  for (std::int64_t i = 0; i < length; ++i)
    to[i * to_stride] = static_cast<To>(from[i * from_stride]);
}

// A view of `tensor` with `axis` moved to the end.
Tensor axis_last(const Tensor& tensor, int axis) {
  std::array<int, kMaxRank> order{};
  int n = 0;
  for (int i = 0; i < tensor.rank(); ++i) {
    if (i != axis) order[static_cast<std::size_t>(n++)] = i;
  }
  order[static_cast<std::size_t>(n)] = axis;
  return tensor.permute({order.data(), static_cast<std::size_t>(tensor.rank())});
}

// Calls line(a, b, c) with the row of each operand along `axis`. The operands have the same size in
// all other axes.
template <class A, class B, class C, class Line>
void along_axis(const Tensor& a, const Tensor& b, const Tensor& c, int axis, Line line) {
  Tensor lines[3] = {axis_last(a, axis).select(-1, 0), axis_last(b, axis).select(-1, 0),
                     axis_last(c, axis).select(-1, 0)};
  LoopPlan plan = plan_loop(lines[0].shape(), lines);
  std::int64_t inner = plan.sizes[plan.rank - 1];
  walk_rows<3>(plan, {sizeof(A), sizeof(B), sizeof(C)}, 0, plan.rows(),
               [&](const std::array<char*, 3>& at) {
                 const LoopPlan::Operand* operand = plan.operands;
                 for (std::int64_t i = 0; i < inner; ++i) {
                   line(reinterpret_cast<A*>(at[0]) + i * operand[0].strides[plan.rank - 1],
                        reinterpret_cast<B*>(at[1]) + i * operand[1].strides[plan.rank - 1],
                        reinterpret_cast<C*>(at[2]) + i * operand[2].strides[plan.rank - 1]);
                 }
               });
}

std::string place_of(std::int64_t flat, const Shape& shape) {
  std::array<std::int64_t, kMaxRank> index{};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = flat % shape[axis];
    flat /= shape[axis];
  }
  return fmt::format("[{}]", fmt::join(index.begin(), index.begin() + shape.rank(), ", "));
}

// Throws if an element does not fit int64: NaN, an infinity, or a number outside of [-2^63, 2^63).
template <class From>
void check_integers(const Tensor& from) {
  if constexpr (std::is_floating_point_v<From>) {
    const Tensor flat = from.contiguous();
    const From* x = flat.read<From>();
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      if (x[i] >= From(-0x1p63) && x[i] < From(0x1p63)) continue;
      fail("to(int64)",
           fmt::format(
               "element {} of {} is {}; that does not fit in int64: replace it first, or keep "
               "the tensor in {}",
               place_of(i, from.shape()), from.describe(), x[i], name(from.dtype())));
    }
  }
}

}  // namespace

void copy(const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  const Tensor operands[] = {to, from};
  LoopPlan plan = plan_loop(to.shape(), operands);
  std::int64_t length = plan.sizes[plan.rank - 1];
  std::int64_t to_stride = plan.operands[0].strides[plan.rank - 1];
  std::int64_t from_stride = plan.operands[1].strides[plan.rank - 1];
  with_any_type(to.dtype(), [&]<class To>(To) {
    with_any_type(from.dtype(), [&]<class From>(From) {
      if constexpr (std::is_integral_v<To>) check_integers<From>(from);
      parallel_for(plan.rows(), std::max<std::int64_t>(1, kGrain / length),
                   [&](std::int64_t begin, std::int64_t end) {
                     walk_rows<2>(plan, {sizeof(To), sizeof(From)}, begin, end,
                                  [&](const std::array<char*, 2>& at) {
                                    copy_row(reinterpret_cast<To*>(at[0]), to_stride,
                                             reinterpret_cast<const From*>(at[1]), from_stride,
                                             length);
                                  });
                   });
    });
  });
}

void fill(const Tensor& to, double value) {
  if (to.numel() == 0) return;
  LoopPlan plan = plan_loop(to.shape(), {&to, 1});
  std::int64_t length = plan.sizes[plan.rank - 1];
  std::int64_t stride = plan.operands[0].strides[plan.rank - 1];
  with_any_type(to.dtype(), [&]<class T>(T) {
    walk_rows<1>(plan, {sizeof(T)}, 0, plan.rows(), [&](const std::array<char*, 1>& at) {
      T* row = reinterpret_cast<T*>(at[0]);
      if (stride == 1) {
        std::fill_n(row, length, static_cast<T>(value));
      } else {
        for (std::int64_t i = 0; i < length; ++i) row[i * stride] = static_cast<T>(value);
      }
    });
  });
}

void cumulative_sum(const Tensor& to, const Tensor& from, int axis) {
  if (to.numel() == 0) return;
  with_any_type(to.dtype(), [&]<class T>(T) {
    along_axis<T, T, T>(to, from, from, axis, [&](T* result, const T* x, const T*) {
      // Accumulates float32 in float64: each result is rounded once, not once per element before
      // it.
      std::conditional_t<std::is_same_v<T, float>, double, T> total = 0;
      for (std::int64_t i = 0; i < to.dim(axis); ++i) {
        total += x[i * from.stride(axis)];
        result[i * to.stride(axis)] = static_cast<T>(total);
      }
    });
  });
}

namespace {

// Index of the first largest value. NaN counts as larger than any number.
template <class T>
std::int64_t first_largest(const T* x, std::int64_t stride, std::int64_t size) {
  constexpr std::int64_t kBlock = 64;
  std::int64_t best = 0, i = 0;
  const auto look = [&](std::int64_t end) {
    for (; i < end; ++i) {
      if (x[i * stride] <= x[best * stride]) continue;
      best = i;
      if (x[i * stride] != x[i * stride]) i = size;  // NaN: end the search
    }
  };
  if (x[0] != x[0]) return 0;
  // The inner loop is vectorised: it skips blocks that hold nothing larger.
  while (stride == 1 && size - i >= kBlock) {
    const T largest = x[best];
    int larger = 0;
    for (std::int64_t k = i; k < i + kBlock; ++k) larger |= !(x[k] <= largest);
    if (larger != 0) {
      look(i + kBlock);
    } else {
      i += kBlock;
    }
  }
  look(size);
  return best;
}

}  // namespace

void argmax(const Tensor& to, const Tensor& from) {
  if (to.numel() == 0) return;
  with_any_type(from.dtype(), [&]<class T>(T) {
    const int axis = from.rank() - 1;
    const std::int64_t size = from.dim(axis), stride = from.stride(axis);
    along_axis<std::int64_t, T, T>(to.insert_axis(-1), from, from, axis,
                                   [=](std::int64_t* result, const T* x, const T*) {
                                     *result = first_largest(x, stride, size);
                                   });
  });
}

void take_rows(const Tensor& to, const Tensor& from, const Tensor& index, bool gaps) {
  const std::int64_t width = to.dim(1);
  const std::int64_t* row = index.read<std::int64_t>();
  with_any_type(to.dtype(), [&]<class T>(T) {
    const T zero{};
    parallel_for(to.dim(0), std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, width)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i) {
                     const std::int64_t source = row[i * index.stride(0)];
                     const bool gap = gaps && source < 0;
                     copy_row(static_cast<T*>(to.raw()) + i * to.stride(0), to.stride(1),
                              gap ? &zero : from.read<T>() + source * from.stride(0),
                              gap ? 0 : from.stride(1), width);
                   }
                 });
  });
}

namespace {

// At most this many numbers are added one after the other in float32: more would lose digits.
constexpr std::int64_t kMostRunning = 4096;

// Calls add(sums, T{}) to add numbers to places, at most `most` to one place. `sums` is `to`. If
// too many numbers may meet in a float32 place, `sums` is a float64 copy, which is rounded to `to`
// afterwards.
template <class T, class Add>
void with_sums(const Tensor& to, std::int64_t most, Add add) {
  if (std::is_same_v<T, float> && most > kMostRunning) {
    const Tensor wide = to.to(DType::float64);
    add(wide, double{});
    copy(to, wide);
  } else {
    add(to, T{});
  }
}

// How often the most frequent row occurs in the index. For a short index: its length, a bound.
std::int64_t most_frequent(const Tensor& index, std::int64_t rows) {
  const std::int64_t count = index.dim(0);
  if (count <= kMostRunning) return count;
  const std::int64_t* row = index.read<std::int64_t>();
  PoolVector<std::int64_t> times(static_cast<std::size_t>(rows), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    ++times[static_cast<std::size_t>(row[i * index.stride(0)])];
  }
  return *std::max_element(times.begin(), times.end());
}

}  // namespace

void add_rows(const Tensor& to, const Tensor& index, const Tensor& from) {
  const std::int64_t width = to.dim(1);
  const std::int64_t* row = index.read<std::int64_t>();
  with_any_type(to.dtype(), [&]<class T>(T) {
    const auto add = [&]<class Sum>(const Tensor& sums, Sum) {
      for (std::int64_t i = 0; i < from.dim(0); ++i) {
        Sum* sum = static_cast<Sum*>(sums.raw()) + row[i * index.stride(0)] * sums.stride(0);
        const T* x = from.read<T>() + i * from.stride(0);
        for (std::int64_t k = 0; k < width; ++k)
          sum[k * sums.stride(1)] += static_cast<Sum>(x[k * from.stride(1)]);
      }
    };
    with_sums<T>(to, most_frequent(index, to.dim(0)), add);
  });
}

void gather(const Tensor& to, const Tensor& from, const Tensor& index, int axis) {
  if (to.numel() == 0) return;
  with_any_type(to.dtype(), [&]<class T>(T) {
    along_axis<T, T, std::int64_t>(
        to, from, index, axis, [&](T* result, const T* x, const std::int64_t* number) {
          for (std::int64_t i = 0; i < to.dim(axis); ++i) {
            result[i * to.stride(axis)] = x[number[i * index.stride(axis)] * from.stride(axis)];
          }
        });
  });
}

void scatter_add(const Tensor& to, const Tensor& index, const Tensor& from, int axis) {
  if (from.numel() == 0) return;
  with_any_type(to.dtype(), [&]<class T>(T) {
    const auto add = [&]<class Sum>(const Tensor& sums, Sum) {
      along_axis<Sum, T, std::int64_t>(
          sums, from, index, axis, [&](Sum* sum, const T* x, const std::int64_t* number) {
            for (std::int64_t i = 0; i < from.dim(axis); ++i) {
              sum[number[i * index.stride(axis)] * sums.stride(axis)] +=
                  static_cast<Sum>(x[i * from.stride(axis)]);
            }
          });
    };
    with_sums<T>(to, from.dim(axis), add);
  });
}

}  // namespace tapeloop::cpu
