// SPDX-License-Identifier: MIT
// Construction and names of the recurrent highway network.
#include "tapeloop/nn/cells/recurrent_highway.h"

#include <fmt/format.h>

#include <cmath>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

RecurrentHighwayCell::RecurrentHighwayCell(const RecurrentOptions& o, Random& random,
                                           const Options& own)
    : coupled(own.coupled) {
  detail::check_sizes("recurrent_highway", o);
  constexpr int kMost = 16;  // weights of a step
  if (own.depth < 1 || own.depth > kMost) {
    fail("recurrent_highway", fmt::format("depth is {}, expected 1 to {}", own.depth, kMost));
  }
  if (!std::isfinite(own.transform_bias)) {
    fail("recurrent_highway",
         fmt::format("transform_bias is {}, expected a finite number", own.transform_bias));
  }
  const std::int64_t rows = (coupled ? 2 : 3) * o.hidden;
  weight_ih = detail::drawn({rows, o.input}, o, random);
  for (int l = 0; l < own.depth; ++l) {
    weight_hh.push_back(detail::drawn({rows, o.hidden}, o, random));
    bias.push_back(o.bias ? detail::drawn({rows}, o, random) : Var());
    detail::add_to_bias(bias.back(), o.hidden, o.hidden, own.transform_bias);
  }
}

void RecurrentHighwayCell::visit(Visitor& v) const {
  v("weight_ih", weight_ih);
  for (std::size_t l = 0; l < weight_hh.size(); ++l) {
    v("weight_hh_d" + std::to_string(l), weight_hh[l]);
    v("bias_d" + std::to_string(l), bias[l]);
  }
}

}  // namespace tapeloop::nn
