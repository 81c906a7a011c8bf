// SPDX-License-Identifier: MIT
// Construction and input of the SRU.
#include "tapeloop/nn/cells/sru.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

SruCell::SruCell(const RecurrentOptions& o, Random& random, const Options& given)
    : own(given), hidden_(o.hidden) {
  detail::check_sizes("sru", o);
  if (own.version != 1 && own.version != 2) {
    fail("sru", fmt::format("version is {}, expected 1 or 2", own.version));
  }
  if (!std::isfinite(own.scale)) {
    fail("sru", fmt::format("scale is {}, expected a finite number", own.scale));
  }
  weight_ih = detail::drawn({(o.input == o.hidden ? 3 : 4) * o.hidden, o.input}, o, random);
  if (own.version == 2) weight_ch = detail::drawn({2 * o.hidden}, o, random);
  if (o.bias) bias_ih = detail::drawn({2 * o.hidden}, o, random);
}

Var SruCell::bias() const {
  if (!bias_ih.defined()) return {};
  const Var zeros(Tensor::zeros({hidden_}, bias_ih.dtype(), bias_ih.device()));
  return skips_x() ? concat({zeros, bias_ih}, 0) : concat({zeros, bias_ih, zeros}, 0);
}

Var SruCell::input(const Var& x) const {
  detail::check_features("sru", x, weight_ih.dim(1));
  const Var z = linear(x, weight_ih, bias());
  return skips_x() ? concat({z, x}, -1) : z;
}

Linear SruCell::input_projection() const {
  Linear result;
  result.weight = weight_ih;
  result.bias = bias();
  if (!skips_x()) return result;
  result.weight = concat({weight_ih, detail::identity_like(hidden_, weight_ih)}, 0);
  if (result.bias.defined()) {
    const Var zeros(Tensor::zeros({hidden_}, bias_ih.dtype(), bias_ih.device()));
    result.bias = concat({result.bias, zeros}, 0);
  }
  return result;
}

}  // namespace tapeloop::nn
