// SPDX-License-Identifier: MIT
// FORMULA PAGE: what zoneout and dropout do within a step. Arguments are elements of [N, H].
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// old + k (new - old)
struct Mix {
  static constexpr const char* name = "mix";
  static constexpr const char* arguments = "k new old";
  TL_HD auto operator()(auto k, auto fresh, auto old) const { return old + k * (fresh - old); }
};
// The same with one k for all.
struct MixBy {
  static constexpr const char* name = "mix_by";
  static constexpr const char* arguments = "new old";
  double k = 1;  // the share of the new value
  TL_HD auto operator()(auto fresh, auto old) const { return old + k * (fresh - old); }
};
// new where k > 0, else old
struct Choose {
  static constexpr const char* name = "choose";
  static constexpr const char* arguments = "k new old";
  TL_HD auto operator()(auto k, auto fresh, auto old) const { return select(k > 0.0, fresh, old); }
};
// x mask
struct Masked {
  static constexpr const char* name = "masked";
  static constexpr const char* arguments = "x mask";
  TL_HD auto operator()(auto x, auto mask) const { return x * mask; }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct NoisePage : Page<Mix, MixBy, Choose, Masked> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::NoisePage::contains<F>) struct PageOf<F> {
  using type = nn::NoisePage;
};
}  // namespace tapeloop
