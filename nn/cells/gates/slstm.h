// SPDX-License-Identifier: MIT
// FORMULA PAGE: the sLSTM. Arguments are elements of [N, H]: pre-activations in the order i f g o,
// and the previous state. Beck et al. 2024, arXiv:2405.04517
#pragma once

#include "tapeloop/autograd/number/math.h"

namespace tapeloop::nn {

// Of the logarithm l of the forget gate. The state c e^m, n e^m is kept as c, n and m, so that no
// exponential overflows. n = 0 means that there is no state yet: m' = i then, whatever m is.
//   m' = max(l + m, i)
//   c' = e^(l + m - m') c + e^(i - m') tanh(g)
//   n' = e^(l + m - m') n + e^(i - m')
//   h' = sigmoid(o) c' / n'
TL_HD auto slstm_state(auto i, auto l, auto g, auto o, auto c, auto n, auto m) {
  auto m_next = select(n <= 0.0, i, max(l + m, i));
  auto keep = select(n <= 0.0, 0.0, exp(l + m - m_next));
  auto take = exp(i - m_next);
  auto c_next = keep * c + take * tanh(g);
  auto n_next = keep * n + take;
  return outputs(sigmoid(o) * (c_next / n_next), c_next, n_next, m_next);
}
// The forget gate is sigmoid(f).
struct SlstmGates {
  static constexpr const char* name = "slstm_gates";
  static constexpr const char* arguments = "i f g o c n m";
  static constexpr const char* results = "h c n m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c, auto n, auto m) const {
    return slstm_state(i, -softplus(-f), g, o, c, n, m);
  }
};
// The forget gate is e^f.
struct SlstmExponentialGates {
  static constexpr const char* name = "slstm_exponential_gates";
  static constexpr const char* arguments = "i f g o c n m";
  static constexpr const char* results = "h c n m";
  TL_HD auto operator()(auto i, auto f, auto g, auto o, auto c, auto n, auto m) const {
    return slstm_state(i, f, g, o, c, n, m);
  }
};

}  // namespace tapeloop::nn

#include "tapeloop/autograd/formula/kernel.h"

namespace tapeloop::nn {
struct SlstmPage : Page<SlstmGates, SlstmExponentialGates> {
  static std::span<const PointwiseKernel* const> kernels();
  static void register_cuda();
};
}  // namespace tapeloop::nn

namespace tapeloop {
template <class F>
requires(nn::SlstmPage::contains<F>) struct PageOf<F> {
  using type = nn::SlstmPage;
};
}  // namespace tapeloop
